//! AWS as moto plays it: what is made is there, and messages arrive.

use singer_test::moto;

#[test]
fn what_is_put_into_a_bucket_is_there() {
    let Some(moto) = moto::shared() else { return };
    moto.create_bucket("kit-bucket");
    assert_eq!(moto.object("kit-bucket", "nothing"), None);
}

#[test]
fn queues_are_emptied_by_reading() {
    let Some(moto) = moto::shared() else { return };
    let topic = moto.create_topic("kit-topic");
    let queue = moto.create_queue("kit-queue");
    moto.subscribe(&topic, &queue);
    assert_eq!(moto.receive(&queue).len(), 0);
    let published = moto.publish(&topic, "dots and & and \u{e9}");
    assert_eq!(published.status, 200, "{}", published.text);
    let messages = moto.receive(&queue);
    assert_eq!(messages.len(), 1);
    assert_eq!(messages[0].body, "dots and & and \u{e9}");
    assert_eq!(moto.receive(&queue).len(), 0);
}

#[test]
fn a_server_that_judges_refuses_who_does_not_sign() {
    let Some(moto) = moto::Moto::start() else {
        return;
    };
    let topic = moto.create_topic("kit-closed");
    let (key, secret) = moto.require_permissions("kit-user", &["sns:Publish"]);
    assert!(!key.is_empty() && !secret.is_empty());
    let refused = moto.publish(&topic, "anything");
    assert_eq!(refused.status, 403, "{}", refused.text);
}
