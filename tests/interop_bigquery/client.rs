//! Google's own client against the stand-in of BigQuery that the other tests use: what the stand-in takes
//! and answers is what that client sends and understands.

use sandbox::Options;
use singer_test::bin::workspace;
use singer_test::bqemulator::{self, PROJECT};
use singer_test::runtime::wait;

#[test]
fn our_stand_in_is_bigquery_to_googles_client() {
    let Some(environment) = bqemulator::environment() else {
        return;
    };
    let sandbox = wait(sandbox::start(Options::default())).expect("the sandbox starts");
    let rest = sandbox.bigquery_url();
    let grpc = sandbox.grpc_url();
    let address = grpc
        .strip_prefix("http://")
        .expect("an address without TLS");
    let ended = bqemulator::python(&environment)
        .arg(workspace().join("tests/interop/client_bigquery.py"))
        .args([rest.as_str(), address, PROJECT])
        .finish();
    ended.expect_code(0);
    assert!(ended.text().ends_with("the end\n"), "{}", ended.text());
}
