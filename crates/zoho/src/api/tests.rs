//! Requests against services of a few lines: what each class of refusal leads to.

use serde_json::json;
use singer_core::Surroundings;
use singer_net::Bytes;
use tokio::time::timeout;

use super::*;
use crate::fault::catalyst::Catalyst;
use crate::testing::{
    Around, Folder, Log, Reply, Seen, Server, config, http, ok, page, server_of_tokens, shown,
    status, url_of,
};

mod downloads;

/// A service, its accounts server, and a client for it.
struct Stage {
    service: Server,
    accounts: Server,
    around: Arc<Around>,
    api: Api<Catalyst>,
}

impl Stage {
    async fn of(answer: impl Fn(usize, &Seen) -> Reply + Send + Sync + 'static) -> Self {
        Self::with(answer, server_of_tokens().await).await
    }

    async fn with(
        answer: impl Fn(usize, &Seen) -> Reply + Send + Sync + 'static,
        accounts: Server,
    ) -> Self {
        let service = Server::start(answer).await;
        let around = Around::new(&[]);
        let process: Arc<dyn Surroundings> = Arc::<Around>::clone(&around);
        let account = Account::new(&config(&accounts), &http(), process).unwrap();
        let account = account.in_a_hurry();
        let base = Base::parse("api_url", &service.base).unwrap();
        let mut api = Api::new(base, account, &http(), Duration::from_secs(600)).unwrap();
        api = api.with_waits(Duration::from_millis(1), Duration::from_millis(1));
        api.pace.broken = Backoff {
            first: Duration::from_millis(1),
            cap: Duration::from_millis(2),
        };
        Self {
            service,
            accounts,
            around,
            api,
        }
    }

    /// The call with which all of these tests ask.
    fn call(&self, repeat: Repeat) -> Call<'static> {
        let body = Bytes::from_static(b"{}");
        Call {
            what: "make a job",
            request: Request::post_json(url_of(&self.service, "jobs"), body),
            repeat,
            group: None,
        }
    }

    async fn send(&self, repeat: Repeat) -> Result<Answer, Fault> {
        self.api.send(self.call(repeat)).await
    }
}

fn good() -> Reply {
    ok(&json!({"status": "success", "data": {"job": 1}}))
}

fn failed(code: u16, error: &str) -> Reply {
    let data = json!({"error_code": error, "message": "so it is"});
    status(code, &json!({"status": "failure", "data": data}))
}

/// Fails so for the first requests, and is good then.
fn failing(times: usize, code: u16, error: &'static str) -> impl Fn(usize, &Seen) -> Reply {
    move |number, _| {
        if number < times {
            failed(code, error)
        } else {
            good()
        }
    }
}

#[tokio::test]
async fn a_request_has_the_token_and_the_headers_of_all_requests() {
    let mut stage = Stage::of(|_, _| good()).await;
    stage.api = stage.api.with_header("catalyst-org", "700").unwrap();
    let answer = stage.send(Repeat::Safely).await.unwrap();
    assert_eq!(answer.json().unwrap()["data"]["job"], 1);
    let seen = stage.service.seen().remove(0);
    for part in [
        "authorization: Zoho-oauthtoken token-0-hunter2",
        "catalyst-org: 700",
        "user-agent: test/1",
        "content-type: application/json",
    ] {
        assert!(seen.head.contains(part), "{}", seen.head);
    }
    assert!(
        stage
            .api
            .clone()
            .with_header("catalyst-org", "a\nb")
            .is_err()
    );
    let url = stage.api.url(&["a b", "c"]).unwrap();
    assert_eq!(url, url_of(&stage.service, "a%20b/c"));
}

#[tokio::test]
async fn a_refused_token_is_renewed_once_and_the_request_made_again() {
    let stage = Stage::of(failing(1, 401, "INVALID_TOKEN")).await;
    stage.send(Repeat::OnlyIfRefused).await.unwrap();
    let tokens: Vec<bool> = (stage.service.seen().iter())
        .map(|seen| seen.head.contains("token-1-hunter2"))
        .collect();
    assert_eq!(tokens, [false, true]);
    assert_eq!(stage.accounts.count(), 2);
    let traffic = stage.api.traffic();
    assert_eq!((traffic.requests, traffic.retried), (2, 1));
}

#[tokio::test]
async fn a_new_token_that_is_refused_as_well_names_the_data_centre() {
    let stage = Stage::of(failing(9, 401, "INVALID_TOKEN")).await;
    let fault = stage.send(Repeat::Safely).await.unwrap_err();
    assert_eq!(fault.class, Class::Denied);
    assert!(fault.is("INVALID_TOKEN"));
    assert_eq!((stage.service.count(), stage.accounts.count()), (2, 2));
    let error = fault.into_error("cannot make a job");
    assert_eq!(
        (error.kind(), error.message()),
        (Kind::Auth, "cannot make a job")
    );
    let shown = shown(&error);
    for part in [
        "data centre `eu`",
        &stage.accounts.base,
        "INVALID_TOKEN",
        "401",
    ] {
        assert!(shown.contains(part), "{shown}");
    }
}

#[tokio::test]
async fn a_token_of_somebody_else_that_is_old_as_well_is_not_the_end() {
    let answer = |_: usize, seen: &Seen| {
        if seen.head.contains("token-2") {
            good()
        } else {
            failed(401, "INVALID_TOKEN")
        }
    };
    let mut stage = Stage::of(answer).await;
    let folder = Folder::new();
    let mut shared = config(&stage.accounts);
    shared.token_cache_path = Some(folder.file("cache.json"));
    let account = || {
        let around: Arc<dyn Surroundings> = Arc::<Around>::clone(&stage.around);
        Account::new(&shared, &http(), around).unwrap().in_a_hurry()
    };
    let (ours, other) = (account(), account());
    let first = ours.token().await.unwrap();
    stage.around.pass(1);
    other.renew(&first).await.unwrap();
    stage.api.account = ours;
    stage.send(Repeat::OnlyIfRefused).await.unwrap();
    assert_eq!((stage.service.count(), stage.accounts.count()), (3, 3));
}

#[tokio::test]
async fn a_hundred_refused_requests_make_one_new_token() {
    let answer = |_: usize, seen: &Seen| {
        if seen.head.contains("token-0") {
            failed(401, "INVALID_TOKEN")
        } else {
            good()
        }
    };
    let stage = Arc::new(Stage::of(answer).await);
    let tasks: Vec<_> = (0..100)
        .map(|_| {
            let stage = Arc::clone(&stage);
            tokio::spawn(async move { stage.send(Repeat::Safely).await.is_ok() })
        })
        .collect();
    for task in tasks {
        assert!(task.await.unwrap());
    }
    assert_eq!(stage.accounts.count(), 2);
}

#[tokio::test]
async fn a_missing_scope_is_no_reason_for_a_new_token() {
    let stage = Stage::of(failing(9, 401, "OAUTH_SCOPE_MISMATCH")).await;
    let fault = stage.send(Repeat::Safely).await.unwrap_err();
    assert_eq!(fault.class, Class::Denied);
    assert_eq!((stage.service.count(), stage.accounts.count()), (1, 1));
    let shown = shown(&fault.into_error("x"));
    assert!(shown.contains("ZohoCatalyst.tables.bulk.READ"), "{shown}");
}

#[tokio::test]
async fn throttling_and_busy_slots_are_waited_out_whatever_the_request() {
    for (code, error) in [(429, "TOO_MANY_REQUESTS"), (200, "TOO_MANY_REQUESTS")] {
        let stage = Stage::of(failing(3, code, error)).await;
        stage.send(Repeat::OnlyIfRefused).await.unwrap();
        assert_eq!(stage.service.count(), 4);
    }
    let stage = Stage::of(failing(9, 429, "TOO_MANY_REQUESTS")).await;
    let mut api = stage.api.clone();
    api.pace.patience = Duration::from_millis(10);
    let fault = api.send(stage.call(Repeat::Safely)).await.unwrap_err();
    assert_eq!(fault.class, Class::Throttled);
    assert_eq!(fault.into_error("x").kind(), Kind::RateLimited);
}

#[tokio::test]
async fn a_pause_is_one_for_all_clones_and_as_long_as_the_service_says() {
    let stage = Stage::of(|number, _| match number {
        0 => Reply::Answer(429, "retry-after: 0.3\r\n", String::new()),
        _ => good(),
    })
    .await;
    let start = Instant::now();
    let (one, other) = (stage.api.clone(), stage.api.clone());
    let first = async {
        one.send(stage.call(Repeat::Safely)).await.unwrap();
    };
    let second = async {
        while stage.service.count() == 0 {
            tokio::task::yield_now().await;
        }
        // The answer is on its way: the second waits until it has come.
        while timeout(Duration::ZERO, one.shared.gate.pass())
            .await
            .is_ok()
        {
            tokio::task::yield_now().await;
        }
        other.send(stage.call(Repeat::Safely)).await.unwrap();
        assert!(start.elapsed() >= Duration::from_millis(290));
    };
    tokio::join!(first, second);
    assert_eq!(stage.service.count(), 3);
}

#[tokio::test]
async fn a_broken_service_is_asked_again_only_where_that_does_no_harm() {
    let stage = Stage::of(|number, _| match number {
        0 => page(502),
        1 => Reply::Drop,
        _ => good(),
    })
    .await;
    stage.send(Repeat::Safely).await.unwrap();
    assert_eq!(stage.service.count(), 3);

    for reply in [true, false] {
        let answer = move |_: usize, _: &Seen| if reply { page(503) } else { Reply::Drop };
        let stage = Stage::of(answer).await;
        let fault = stage.send(Repeat::OnlyIfRefused).await.unwrap_err();
        assert!(fault.is_unclear());
        assert_eq!(fault.into_error("x").kind(), Kind::Transient);
        assert_eq!(stage.service.count(), 1);
        let fault = stage.send(Repeat::Safely).await.unwrap_err();
        assert!(fault.is_unclear());
        assert_eq!(stage.service.count(), 4);
    }
}

#[tokio::test]
async fn what_was_never_sent_may_be_sent_again() {
    let accounts = server_of_tokens().await;
    let account = Account::new(&config(&accounts), &http(), Around::new(&[])).unwrap();
    let base = Base::parse("api_url", "http://127.0.0.1:1").unwrap();
    let patience = Duration::from_secs(60);
    let mut api: Api<Catalyst> = Api::new(base, account, &http(), patience).unwrap();
    api.pace.broken.first = Duration::from_millis(1);
    let call = Call {
        what: "make a job",
        request: Request::get(api.url(&["jobs"]).unwrap()),
        repeat: Repeat::OnlyIfRefused,
        group: None,
    };
    assert!(api.send(call).await.unwrap_err().is_unclear());
    assert_eq!(api.traffic().requests, 3);
}

#[tokio::test]
async fn what_waiting_does_not_heal_is_asked_once() {
    for (code, error, class, kind) in [
        (404, "INVALID_ID", Class::Missing, Kind::Protocol),
        (403, "API_LIMIT_REACHED", Class::Quota, Kind::RateLimited),
        (409, "DUPLICATE_ENTRY", Class::Exists, Kind::Protocol),
        (403, "NO_ACCESS", Class::Denied, Kind::Auth),
        (400, "INVALID_INPUT", Class::Fatal, Kind::Protocol),
    ] {
        let stage = Stage::of(failing(9, code, error)).await;
        let fault = stage.send(Repeat::Safely).await.unwrap_err();
        assert_eq!(fault.class, class);
        assert_eq!(fault.into_error("x").kind(), kind);
        assert_eq!((stage.service.count(), stage.accounts.count()), (1, 1));
    }
}

#[tokio::test]
async fn without_a_token_nothing_is_sent_and_the_kind_stays() {
    let refusing = Server::start(|_, _| ok(&json!({"error": "invalid_code"}))).await;
    let stage = Stage::with(|_, _| good(), refusing).await;
    let fault = stage.send(Repeat::Safely).await.unwrap_err();
    assert!(!fault.is_unclear());
    let error = fault.into_error("cannot make a job");
    assert_eq!(error.kind(), Kind::Auth);
    assert!(shown(&error).contains("data centre `eu`"));
    assert_eq!(stage.service.count(), 0);

    let broken = Server::start(|_, _| page(500)).await;
    let stage = Stage::with(|_, _| good(), broken).await;
    let fault = stage.send(Repeat::Safely).await.unwrap_err();
    assert_eq!(fault.into_error("x").kind(), Kind::Transient);
}

#[tokio::test]
async fn a_stop_request_ends_a_long_wait() {
    let stage = Stage::of(|_, _| Reply::Answer(429, "retry-after: 300\r\n", String::new())).await;
    let stop = async {
        while stage.service.count() == 0 {
            tokio::task::yield_now().await;
        }
        stage.around.stop();
    };
    let (sent, ()) = tokio::join!(stage.send(Repeat::Safely), stop);
    assert_eq!(sent.unwrap_err().into_error("x").kind(), Kind::Interrupted);
    assert_eq!(stage.service.count(), 1);
}

#[tokio::test]
async fn every_call_counts_among_all_and_some_in_their_group() {
    let mut stage = Stage::of(|_, _| good()).await;
    stage.api.allowances = [(ALL, 3), ("read", 1)]
        .map(|(group, calls)| Arc::new(Allowance::new(group, calls, Duration::from_millis(400))))
        .to_vec();
    let ask = async |group| {
        let call = Call {
            group,
            ..stage.call(Repeat::Safely)
        };
        stage.api.send(call).await.unwrap();
    };
    let start = Instant::now();
    ask(Some("read")).await;
    ask(None).await;
    ask(Some("write")).await;
    assert!(start.elapsed() < Duration::from_millis(400));
    ask(None).await;
    assert!(start.elapsed() >= Duration::from_millis(400));
    ask(Some("read")).await;
    let second = Instant::now();
    ask(Some("read")).await;
    assert!(second.elapsed() >= Duration::from_millis(300));
}

#[tokio::test]
async fn a_token_is_in_no_log_and_no_error() {
    let log = Log::keep();
    let echo = |seen: &Seen| json!({"status": "failure", "data": {"message": seen.head}});
    let stage = Stage::of(move |number, seen| match number {
        0 => status(401, &echo(seen)),
        _ => status(400, &echo(seen)),
    })
    .await;
    let fault = stage.send(Repeat::Safely).await.unwrap_err();
    let mut text = format!("{fault:?} {:?}", stage.api);
    text += &shown(&fault.into_error("cannot make a job"));
    text += &log.text();
    assert!(!text.contains("hunter2"), "{text}");
}

#[tokio::test]
async fn the_token_goes_to_no_other_host() {
    let other = Server::start(|_, _| good()).await;
    let stage = Stage::of(|_, _| good()).await;
    let call = Call {
        request: Request::get(url_of(&other, "x")),
        ..stage.call(Repeat::Safely)
    };
    let error = stage.api.send(call).await.unwrap_err().into_error("x");
    assert_eq!(error.kind(), Kind::Protocol);
    assert!(shown(&error).contains(&other.base));
    assert_eq!((other.count(), stage.accounts.count()), (0, 0));
}

#[test]
fn requests_can_be_sent_from_any_thread() {
    fn is_send<T: Send>(_: T) {}
    let _builds = |api: &'static Api<Catalyst>, call: Call<'static>| is_send(api.send(call));
}
