//! Who may look, and where it listens.

use crate::project::{Project, Server};

const TOKEN: &str = "a-token-that-is-long-enough";

fn guarded() -> (Project, Server) {
    let project = Project::new(&["accounts"]);
    let token = project.folder.write("token", format!("{TOKEN}\n"));
    let run = project.command().args(["--listen", "127.0.0.1:0"]);
    let server = Server::start(run.arg("--token-file").arg(token));
    (project, server)
}

#[test]
fn without_the_token_there_is_a_form_and_nothing_else() {
    let (_project, server) = guarded();
    for path in [
        "/",
        "/pipelines/accounts",
        "/metrics",
        "/api/pipelines",
        "/nothing",
    ] {
        let page = server
            .get(path)
            .expect(401)
            .says(&["<form method=\"post\" action=\"/login\">"]);
        assert!(!page.body.contains(">accounts</a>"));
        assert_eq!(page.header("www-authenticate"), "Bearer realm=\"antiphon\"");
        let line = server.ask("GET", path, &[], "").expect(401);
        assert!(!line.body.contains('<'), "{}", line.body);
    }
    server.get("/healthz").expect(200);
    server.ask("POST", "/", &[], "").expect(405);
}

#[test]
fn the_token_opens_as_bearer_as_address_and_by_the_form() {
    let (_project, server) = guarded();
    let bearer = format!("Bearer {TOKEN}");
    server
        .ask("GET", "/metrics", &[("Authorization", &bearer)], "")
        .expect(200);
    server
        .ask("GET", "/metrics", &[("Authorization", "Bearer wrong")], "")
        .expect(401);

    let sent = server
        .get(&format!("/pipelines/accounts?page=1&token={TOKEN}"))
        .expect(303);
    assert_eq!(sent.header("location"), "/pipelines/accounts?page=1");
    let cookie = sent.header("set-cookie");
    assert!(
        cookie.contains("HttpOnly; SameSite=Strict") && !cookie.contains(TOKEN),
        "{cookie}"
    );
    let cookie = cookie.split(';').next().unwrap().to_owned();
    server
        .ask("GET", "/pipelines/accounts", &[("Cookie", &cookie)], "")
        .expect(200);
    let forged = cookie.replacen('=', "=9", 1);
    server
        .ask("GET", "/", &[("Cookie", &forged)], "")
        .expect(401);
    server
        .get("/?token=wrong")
        .expect(401)
        .says(&["That is not the token."]);

    server.get("/login").expect(200);
    let form = format!("back=%2Fpipelines%2Faccounts&token={TOKEN}");
    let sent = server.ask("POST", "/login", &[], &form).expect(303);
    assert_eq!(sent.header("location"), "/pipelines/accounts");
    assert!(sent.header("set-cookie").starts_with("antiphon_serve="));
    server
        .ask("POST", "/login", &[], "token=wrong")
        .expect(401)
        .says(&["That is not the token."]);
    let elsewhere = format!("back=%2F%2Fevil.example&token={TOKEN}");
    let sent = server.ask("POST", "/login", &[], &elsewhere).expect(303);
    assert_eq!(sent.header("location"), "/");
}

#[test]
fn a_token_may_come_from_the_environment_and_is_in_no_log() {
    let project = Project::new(&["accounts"]);
    let run = project.command().args([
        "--listen",
        "127.0.0.1:0",
        "--token-env",
        "PAGE_TOKEN",
        "-vv",
    ]);
    let server = Server::start(run.env("PAGE_TOKEN", TOKEN));
    server.get(&format!("/?token={TOKEN}")).expect(303);
    assert!(!server.program.stderr().contains(TOKEN));
}

#[test]
fn a_name_that_is_not_ours_is_refused_on_loopback() {
    let project = Project::new(&["accounts"]);
    let run = project
        .command()
        .args(["--listen", "127.0.0.1:0", "--host", "status.example"]);
    let server = Server::start(run);
    for host in [
        "evil.example",
        "evil.example:8700",
        "localhost.evil.example",
    ] {
        let answer = server.ask("GET", "/", &[("Host", host)], "").expect(403);
        assert!(answer.body.contains("--host"), "{}", answer.body);
    }
    for host in [
        "localhost:1234",
        "127.0.0.1",
        "[::1]:8700",
        "status.example",
    ] {
        server.ask("GET", "/", &[("Host", host)], "").expect(200);
    }
}

#[test]
fn other_machines_need_a_token_or_a_word() {
    let project = Project::new(&["accounts"]);
    let refused = project.command().args(["--listen", "0.0.0.0:0"]).finish();
    refused
        .expect_code(2)
        .expect_log("there is no token")
        .expect_log("--token-file")
        .expect_log("--open");
    let server = Server::start(project.command().args(["--listen", "0.0.0.0:0", "--open"]));
    server
        .ask("GET", "/", &[("Host", "any.example")], "")
        .expect(200);
    let short = project
        .command()
        .args(["--listen", "0.0.0.0:0", "--token-env", "T"])
        .env("T", "short");
    short
        .finish()
        .expect_code(2)
        .expect_log("too few to be safe")
        .expect_log("openssl rand");
    let none = project
        .command()
        .args(["--token-env", "T_THAT_IS_NOT_THERE"])
        .finish();
    none.expect_code(2).expect_log("T_THAT_IS_NOT_THERE");
}

#[test]
fn a_port_that_is_taken_and_an_address_that_is_none_are_told() {
    let project = Project::new(&["accounts"]);
    let server = project.serve();
    let second = project
        .command()
        .args(["--listen", &server.address])
        .finish();
    second
        .expect_code(2)
        .expect_log("cannot listen on")
        .expect_log("something else listens there");
    let nowhere = project.command().args(["--listen", "nowhere"]).finish();
    nowhere
        .expect_code(2)
        .expect_log("is no address to listen on");
}
