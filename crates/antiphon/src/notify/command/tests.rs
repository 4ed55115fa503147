//! Commands that read, do not read, fail.

use crate::notify::tests::Project;

fn notifier(command: &str) -> String {
    format!("[notify.ops]\ntype = \"command\"\ncommand = '''{command}'''\n")
}

#[tokio::test]
async fn a_command_gets_the_notice_on_stdin_and_its_parts_as_variables() {
    let command = "cat > notice.json; echo \"$ANTIPHON_EVENT/$ANTIPHON_NOTIFIER/$ANTIPHON_SUBJECT/$ANTIPHON_RUN\" > variables";
    let project = Project::new(&notifier(command)).await;
    project.test().await.unwrap();
    let notice: serde_json::Value =
        serde_json::from_str(&project.folder.read("notice.json")).unwrap();
    assert_eq!(notice["event"], "test");
    let variables = project.folder.read("variables");
    let subject = notice["subject"].as_str().unwrap();
    assert_eq!(variables, format!("test/ops/{subject}/\n"));
}

#[tokio::test]
async fn a_command_need_not_read_and_may_print_without_end() {
    let project = Project::new(&notifier(
        "exec 0<&-; yes | head -c 1000000; echo done > said",
    ))
    .await;
    project.test().await.unwrap();
    assert_eq!(project.folder.read("said"), "done\n");
}

#[tokio::test]
async fn what_a_command_leaves_in_the_background_is_not_waited_for() {
    // It holds the pipes as long as it lives.
    let project = Project::new(&notifier("sleep 600 & echo $! > child")).await;
    project.test().await.unwrap();
    let child: u32 = project.folder.read("child").trim().parse().unwrap();
    let line = std::fs::read(format!("/proc/{child}/cmdline")).unwrap_or_default();
    singer_test::bin::send_signal(child, singer_test::bin::Signal::Kill);
    assert!(line.starts_with(b"sleep"), "it was killed or waited for");
}

#[tokio::test]
async fn a_command_that_fails_says_how() {
    let error = Project::new(&notifier("exit 3"))
        .await
        .test()
        .await
        .unwrap_err();
    assert!(
        error.message().contains("`ops` ended with exit code 3"),
        "{error}"
    );
    assert_eq!(error.kind(), singer_core::Kind::Internal);
    let error = Project::new(&notifier("exit 75"))
        .await
        .test()
        .await
        .unwrap_err();
    assert_eq!(error.kind(), singer_core::Kind::Transient);
    let error = Project::new(&notifier("kill -9 $$"))
        .await
        .test()
        .await
        .unwrap_err();
    assert!(error.message().contains("a signal"), "{error}");
}
