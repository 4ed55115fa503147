//! The pages over made-up values: what they say, what they hide, how large they become.

use std::collections::BTreeMap;

use axum::body::to_bytes;
use axum::http::StatusCode;
use chrono::{DateTime, TimeDelta, Utc};

use super::page::{Page, Part};
use super::view::{
    Detail, LogTail, Outage, Overview, Paged, Pipeline, RejectGroup, RunDetail, Runner, Running,
    Schedule, StateDetail, StateDiff, StateLine,
};
use super::{metrics, notice, overview, page, pipeline, run_page, states};
use crate::history::{Brief, Counts, Fault, Kind, Outcome, StageEnd, Summary};
use crate::live::{Live, LiveStage};
use crate::state::diff;

const HOSTILE: &str = "<script>alert(1)</script>\"'&";

fn now() -> DateTime<Utc> {
    "2026-11-23T18:00:00Z".parse().unwrap()
}

fn brief(hours_ago: i64, outcome: Outcome) -> Brief {
    let started_at = now() - TimeDelta::hours(hours_ago);
    Brief {
        run: format!("{}-1a2b", started_at.format("%Y%m%dT%H%M%S.123Z")),
        kind: Kind::Sync,
        is_partial: false,
        started_at,
        duration_seconds: 60.0 + f64::from(u32::try_from(hours_ago * 37 % 90).unwrap()),
        outcome,
        exit_code: 0,
        stage: (!outcome.is_good()).then(|| "tap".to_owned()),
        words: (!outcome.is_good()).then(|| "cannot connect to `db.example:5439`".to_owned()),
        records: outcome
            .is_good()
            .then(|| u64::try_from(hours_ago * 7919 % 5_000).unwrap()),
        rejects: 0,
        state_before: Some(41),
        state_after: Some(42),
        schemas: BTreeMap::new(),
    }
}

fn pipeline_of(name: &str, runs: Vec<Brief>) -> Pipeline {
    Pipeline {
        name: name.to_owned(),
        stages: vec![
            "tap-redshift".to_owned(),
            "map-records".to_owned(),
            "target-pendo".to_owned(),
        ],
        schedule: Some(Schedule {
            line: "15 * * * *".to_owned(),
            zone: "UTC",
            next: Some(now() + TimeDelta::minutes(15)),
        }),
        last_good: runs.iter().rev().find(|run| run.outcome.is_good()).cloned(),
        runs,
        running: None,
        rejects_open: 0,
        rejects_in: Vec::new(),
        state_version: Some(42),
        trouble: None,
    }
}

fn running() -> Running {
    let counts = Counts {
        records: Some(12_345),
        ..Counts::default()
    };
    Running {
        live: Live {
            run: "20261123T175800.123Z-9".to_owned(),
            pipeline: "live".to_owned(),
            host: "worker-3".to_owned(),
            started_at: now() - TimeDelta::minutes(2),
            updated_at: now(),
            attempt: 1,
            stages: vec![LiveStage {
                label: "tap".to_owned(),
                exec: "/opt/secret-place/tap-redshift".to_owned(),
                pid: 7,
                ended: None,
            }],
            streams: BTreeMap::from([("public.account".to_owned(), counts)]),
            rate: Some(103.4),
            state: Some(7),
            tail: vec!["tap | INFO reading".to_owned()],
        },
        runner: Runner::Alive,
    }
}

fn summary(outcome: Outcome) -> Summary {
    let brief = brief(1, outcome);
    let counts = Counts {
        records: Some(1_234),
        sent: Some(1_200),
        rejected: Some(34),
        ..Counts::default()
    };
    let end = |label: &str, exec: &str, ended: &str| StageEnd {
        label: label.to_owned(),
        exec: exec.to_owned(),
        ended: ended.to_owned(),
    };
    Summary {
        run: brief.run,
        pipeline: "accounts".to_owned(),
        kind: Kind::Sync,
        select: Vec::new(),
        host: "worker-3".to_owned(),
        started_at: brief.started_at,
        duration_seconds: 61.0,
        outcome,
        exit_code: 1,
        attempts: 3,
        fault: (!outcome.is_good()).then(|| Fault {
            stage: "tap".to_owned(),
            ended: "exit code 1".to_owned(),
            message: "cannot connect to `db.example:5439`".to_owned(),
            causes: vec!["connection refused (os error 111)".to_owned()],
            hints: vec!["is the cluster paused? `aws redshift describe-clusters` tells".to_owned()],
        }),
        warnings: vec!["the state went backwards at `public.account`".to_owned()],
        stages: vec![
            end("tap", "/opt/secret-place/tap-redshift", "exit code 1"),
            end("target", "target-pendo", "exit code 0"),
        ],
        streams: BTreeMap::from([("public.account".to_owned(), counts)]),
        rejects: 34,
        state_before: Some(41),
        state_after: Some(42),
    }
}

fn state_line(version: u64) -> StateLine {
    StateLine {
        version,
        at: "2026-11-23T17:01:01Z".to_owned(),
        run: Some("20261123T170000.123Z-1a2b".to_owned()),
        cause: "printed by the target".to_owned(),
        bytes: 412,
    }
}

fn detail(pipeline: Pipeline) -> Detail {
    let items: Vec<Brief> = pipeline.runs.iter().rev().take(25).cloned().collect();
    Detail {
        read_at: now(),
        summaries: vec![summary(Outcome::Failed), summary(Outcome::Succeeded)],
        runs: Paged {
            pages: 2,
            page: 1,
            total: 40,
            items,
        },
        states: vec![state_line(42), state_line(41)],
        rejects: vec![RejectGroup {
            stream: "public.account".to_owned(),
            code: Some("INVALID".to_owned()),
            reason: "no such account".to_owned(),
            count: 34,
        }],
        pipeline,
    }
}

fn overview_of(pipelines: Vec<Pipeline>) -> Overview {
    Overview {
        project: "crm".to_owned(),
        read_at: now(),
        pipelines,
    }
}

/// The whole page as text.
fn html(page: &Page) -> String {
    let response = page::answer(StatusCode::OK, "crm", page, Part::Whole);
    let body = to_bytes(response.into_body(), usize::MAX);
    let bytes = singer_test::runtime::wait(body).unwrap();
    String::from_utf8(bytes.into()).unwrap()
}

fn overview_html(view: &Overview, query: &overview::Query) -> String {
    html(&overview::page(view, query, now()))
}

#[test]
fn the_failing_come_first_and_say_why() {
    let view = overview_of(vec![
        pipeline_of("a-fine", vec![brief(1, Outcome::Succeeded)]),
        pipeline_of("b-never", Vec::new()),
        pipeline_of(
            "c-failing",
            vec![brief(2, Outcome::Succeeded), brief(1, Outcome::Failed)],
        ),
        Pipeline {
            rejects_open: 3,
            ..pipeline_of("d-rejects", vec![brief(1, Outcome::Succeeded)])
        },
        pipeline_of(
            "e-stopped",
            vec![brief(2, Outcome::Failed), brief(1, Outcome::Interrupted)],
        ),
    ]);
    let text = overview_html(&view, &overview::Query::default());
    let place = |name: &str| text.find(&format!(">{name}</a>")).unwrap();
    let order = ["c-failing", "e-stopped", "d-rejects", "a-fine", "b-never"].map(place);
    assert!(order.is_sorted(), "{order:?}");
    assert!(text.contains("tap: cannot connect to `db.example:5439`"));
    assert!(text.contains("<title>2 failing · crm · antiphon</title>"));
}

#[test]
fn a_search_and_a_chip_narrow_the_list() {
    let view = overview_of(vec![
        pipeline_of("accounts", vec![brief(1, Outcome::Failed)]),
        pipeline_of("Visitors", vec![brief(1, Outcome::Succeeded)]),
    ]);
    let ask = |q: &str, show: &str| {
        let query = overview::Query {
            q: q.to_owned(),
            show: show.to_owned(),
            page: "99".to_owned(),
        };
        overview_html(&view, &query)
    };
    let by_name = ask("VISIT pendo", "");
    assert!(by_name.contains(">Visitors</a>") && !by_name.contains(">accounts</a>"));
    let failing = ask("", "failing");
    assert!(!failing.contains(">Visitors</a>") && failing.contains(">accounts</a>"));
    assert!(ask("nothing like it", "").contains("No pipeline fits"));
    assert!(ask(HOSTILE, "").contains("value=\"&lt;script&gt;"));
}

#[test]
fn hostile_names_and_messages_are_text_on_every_page() {
    let mut hostile = pipeline_of(
        HOSTILE,
        vec![brief(2, Outcome::Succeeded), brief(1, Outcome::Failed)],
    );
    hostile.stages = vec![HOSTILE.to_owned()];
    hostile.trouble = Some(HOSTILE.to_owned());
    hostile.running = Some(running());
    for run in &mut hostile.runs {
        run.words = Some(HOSTILE.to_owned());
        run.stage = Some(HOSTILE.to_owned());
        run.run = HOSTILE.to_owned();
    }
    let mut failed = summary(Outcome::Failed);
    failed.fault = Some(Fault {
        stage: HOSTILE.to_owned(),
        ended: HOSTILE.to_owned(),
        message: HOSTILE.to_owned(),
        causes: vec![HOSTILE.to_owned()],
        hints: vec![HOSTILE.to_owned()],
    });
    failed.warnings = vec![HOSTILE.to_owned()];
    failed.streams = BTreeMap::from([(HOSTILE.to_owned(), Counts::default())]);
    failed.stages[0].exec = HOSTILE.to_owned();
    failed.host = HOSTILE.to_owned();
    let mut view = detail(hostile.clone());
    view.summaries = vec![failed.clone()];
    view.rejects[0].reason = HOSTILE.to_owned();
    view.rejects[0].stream = HOSTILE.to_owned();
    view.states[0].cause = HOSTILE.to_owned();
    let run = RunDetail {
        read_at: now(),
        pipeline: HOSTILE.to_owned(),
        run: HOSTILE.to_owned(),
        summary: Some(failed),
        running: None,
        log: Some(LogTail {
            lines: vec![HOSTILE.to_owned(), format!("tap | CRITICAL {HOSTILE}")],
            before: 3,
            bytes: 10,
        }),
    };
    let state = StateDetail {
        pipeline: HOSTILE.to_owned(),
        line: state_line(1),
        newest: 2,
        before: None,
        leaves: vec![(vec![HOSTILE.to_owned()], HOSTILE.to_owned())],
    };
    let diff = StateDiff {
        pipeline: HOSTILE.to_owned(),
        before: state_line(1),
        after: state_line(2),
        changes: diff::changes(&serde_json::json!({HOSTILE: HOSTILE}).to_string(), "{}").unwrap(),
    };
    let outage = Outage {
        message: HOSTILE.to_owned(),
        causes: vec![HOSTILE.to_owned()],
        hints: vec![HOSTILE.to_owned()],
        last_good: None,
    };
    let pages = [
        overview::page(
            &overview_of(vec![hostile]),
            &overview::Query::default(),
            now(),
        ),
        overview::page_of_outage(&outage, &overview::Query::default(), now()),
        pipeline::page(&view, now()),
        run_page::page(&run, now()),
        states::page_of_version(&state, now()),
        states::page_of_diff(&diff, now()),
        notice::no_pipeline(HOSTILE, &[HOSTILE]),
        notice::login(notice::Login::Wrong, HOSTILE),
    ];
    for page in pages {
        let text = html(&page);
        assert!(!text.contains("<script>alert"), "{}", page.title);
        assert!(
            !text.contains("\"'&"),
            "an attribute could end early on {}",
            page.title
        );
        assert!(text.contains("&lt;script&gt;alert"), "{}", page.title);
    }
}

#[test]
fn a_page_shows_programs_without_their_folders() {
    let run = RunDetail {
        read_at: now(),
        pipeline: "accounts".to_owned(),
        run: "r".to_owned(),
        summary: Some(summary(Outcome::Failed)),
        running: None,
        log: None,
    };
    let text = html(&run_page::page(&run, now()));
    assert!(text.contains("tap-redshift") && !text.contains("secret-place"));
    assert!(text.contains("failed first"));
    let mut live = pipeline_of("live", Vec::new());
    live.running = Some(running());
    let text = html(&pipeline::page(&detail(live), now()));
    assert!(text.contains("tap-redshift") && !text.contains("secret-place"));
    assert!(text.contains("12,345") && text.contains("103"));
}

#[test]
fn the_page_of_a_pipeline_says_what_failed_and_what_to_do() {
    let runs = vec![brief(30, Outcome::Succeeded), brief(1, Outcome::Failed)];
    let text = html(&pipeline::page(
        &detail(pipeline_of("accounts", runs)),
        now(),
    ));
    for words in [
        "tap: cannot connect to `db.example:5439`",
        "cause: connection refused (os error 111)",
        "hint: is the cluster paused?",
        "antiphon logs 20261123T170000.123Z-1a2b",
        "The last good run was",
        "the state went backwards",
        "no such account",
        "href=\"/pipelines/accounts/states/41..42\"",
        "href=\"?page=2#runs\"",
        "Records of the last 2 runs:",
    ] {
        assert!(text.contains(words), "{words}");
    }
}

#[test]
fn empty_places_say_what_to_do() {
    let text = overview_html(&overview_of(Vec::new()), &overview::Query::default());
    assert!(text.contains("No pipelines yet") && text.contains("antiphon new"));
    let mut empty = detail(pipeline_of("my accounts", Vec::new()));
    empty.summaries.clear();
    empty.states.clear();
    empty.rejects.clear();
    let text = html(&pipeline::page(&empty, now()));
    assert!(text.contains("No runs yet") && text.contains("antiphon run 'my accounts'"));
}

#[test]
fn hundreds_of_pipelines_with_hundreds_of_runs_make_a_small_page() {
    let outcomes = [
        Outcome::Succeeded,
        Outcome::Failed,
        Outcome::Rejects,
        Outcome::TimedOut,
    ];
    let pipelines: Vec<Pipeline> = (0..300)
        .map(|number| {
            let runs = (0..100).rev().map(|hour| {
                let outcome = if hour % 9 == 0 {
                    outcomes[number % 4]
                } else {
                    Outcome::Succeeded
                };
                brief(hour + 1, outcome)
            });
            pipeline_of(
                &format!("a-rather-long-pipeline-name-{number:04}"),
                runs.collect(),
            )
        })
        .collect();
    let text = overview_html(&overview_of(pipelines.clone()), &overview::Query::default());
    assert!(text.len() < 100_000, "{}", text.len());
    assert!(text.contains("Page 1 of 10, 300 pipelines"));
    let text = html(&pipeline::page(&detail(pipelines[1].clone()), now()));
    assert!(text.len() < 100_000, "{}", text.len());
}

#[test]
fn metrics_name_each_pipeline_once_for_each_outcome() {
    let mut live = pipeline_of("li\"ve", vec![brief(1, Outcome::Failed)]);
    live.running = Some(running());
    let text = metrics::text(&overview_of(vec![live, pipeline_of("new", Vec::new())]));
    for line in [
        "antiphon_pipeline_last_run_outcome{pipeline=\"li\\\"ve\",outcome=\"failed\"} 1",
        "antiphon_pipeline_last_run_outcome{pipeline=\"li\\\"ve\",outcome=\"succeeded\"} 0",
        "antiphon_pipeline_running{pipeline=\"li\\\"ve\"} 1",
        "antiphon_pipeline_running{pipeline=\"new\"} 0",
        "antiphon_pipeline_running_records{pipeline=\"li\\\"ve\"} 12345",
        "antiphon_pipeline_last_run_timestamp_seconds{pipeline=\"li\\\"ve\"} 1795453297",
        "antiphon_pipeline_state_version{pipeline=\"new\"} 42",
        "antiphon_pipelines 2",
    ] {
        assert!(
            text.lines().any(|found| found == line),
            "{line}\nin\n{text}"
        );
    }
    assert!(!text.contains("last_success_timestamp_seconds{"));
    assert!(!text.contains("last_run_outcome{pipeline=\"new\""));
}
