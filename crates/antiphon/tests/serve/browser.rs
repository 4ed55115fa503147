//! The pages in a real headless Chromium, where this machine has one: their script runs, nothing is
//! refused by their own policy, they fit a phone, light and dark.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;
use singer_test::bin::{Finished, Run};
use singer_test::folder::Folder;

use crate::project::Project;

/// A browser starts slowly on a busy machine.
const PATIENCE: Duration = Duration::from_secs(180);

/// The browser, if there is one. Where everything is checked, `tests/setup` has installed it.
#[expect(
    clippy::disallowed_methods,
    reason = "where programs are found, and whether this is CI, are no settings"
)]
#[expect(clippy::print_stdout, reason = "a test that is skipped says so")]
fn chromium() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let found = std::env::split_paths(&path)
        .flat_map(|folder| names.map(|name| folder.join(name)))
        .find(|program| program.is_file());
    if found.is_none() {
        assert!(
            std::env::var_os("CI").is_none(),
            "continuous integration must not skip the browser"
        );
        println!("skipped: no Chromium on this machine; `tests/setup` installs it where it may");
    }
    found
}

/// How a page is looked at.
struct View {
    width: u32,
    dark: bool,
}

fn browse(chromium: &Path, view: &View, what: &str, url: &str) -> Finished {
    let profile = Folder::new();
    let scheme = u8::from(!view.dark);
    let run = Run::program(chromium)
        .args([
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--hide-scrollbars",
            "--enable-logging=stderr",
            "--virtual-time-budget=9000",
        ])
        .arg(format!("--blink-settings=preferredColorScheme={scheme}"))
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(format!("--window-size={},900", view.width))
        .args([what, url])
        .patience(PATIENCE)
        .finish();
    run.expect_code(0);
    let complaints: Vec<&str> = run
        .stderr
        .lines()
        .filter(|line| line.contains("CONSOLE"))
        .collect();
    assert!(complaints.is_empty(), "{complaints:#?}");
    run
}

const WIDE: View = View {
    width: 1_280,
    dark: false,
};

/// One pipeline that fails under a long name, one that runs, with all that a page may hold.
fn project() -> (Project, String) {
    let long = "a-name-that-somebody-thought-was-a-good-idea-when-there-were-only-three-pipelines";
    let project = Project::new(&[long, "live", "never"]);
    let mut last = String::new();
    for day in 1..=28 {
        let fault = json!({
            "stage": "tap", "ended": "exit code 1", "causes": [], "hints": [],
            "message": format!("cannot read `{}`", "x".repeat(300)),
        });
        let failed = json!({"fault": fault, "warnings": ["w".repeat(200)], "rejects": 1});
        let change = if day % 7 == 0 { failed } else { json!({}) };
        let outcome = if day % 7 == 0 { "failed" } else { "succeeded" };
        last = project.run(long, day, outcome, change);
    }
    for version in 1..=3 {
        let value = json!({"bookmarks": {"s".repeat(120): {"at": "v".repeat(400), "n": version}}});
        project.state(long, version, &value);
    }
    project.running("live", 12_345);
    (project, last)
}

#[test]
fn the_script_refreshes_what_runs_and_the_browser_complains_of_nothing() {
    let Some(chromium) = chromium() else { return };
    let (project, _) = project();
    let server = project.serve();
    for path in ["/", "/pipelines/live"] {
        let url = format!("http://{}{path}", server.address);
        let dom = browse(&chromium, &WIDE, "--dump-dom", &url).text();
        let refreshed = dom
            .split("data-refreshed=\"")
            .nth(1)
            .and_then(|rest| rest.split('"').next());
        let times: u32 = refreshed
            .expect("the script has refreshed the page")
            .parse()
            .unwrap();
        assert!(times >= 1);
        assert!(dom.contains("12,345") && dom.contains("id=\"live\""));
        assert_eq!(dom.matches("id=\"live\"").count(), 1);
    }
}

#[test]
fn pages_fit_a_phone_and_follow_the_colours_of_the_system() {
    let Some(chromium) = chromium() else { return };
    let (project, last) = project();
    let server = project.serve();
    let long = last_pipeline(&server.get("/").body);
    let folder = Folder::new();
    let run = format!("{long}/runs/{last}");
    let (state, diff) = (format!("{long}/states/2"), format!("{long}/states/1..3"));
    let paths = [
        "/",
        &long,
        &run,
        &state,
        &diff,
        "/pipelines/live",
        "/pipelines/never",
        "/nothing",
    ];
    // A frame of each page without its script, so that one browser measures all of them.
    for width in [360, 1_280] {
        let mut frames = String::new();
        for path in paths {
            let body = server.get(path).body;
            let still = body.split("<script").next().unwrap_or_default();
            let quoted = still.replace('&', "&amp;").replace('"', "&quot;");
            frames.push_str(&format!(
                "<iframe srcdoc=\"{quoted}\" width=\"{width}\" height=\"800\"></iframe>"
            ));
        }
        let measure = "<script>onload = () => { document.body.dataset.widths = Array.from(frames).map((it) => \
             it.document.documentElement.scrollWidth + ':' + it.innerWidth).join(' ');\
             document.body.dataset.ground = frames[0].getComputedStyle(frames[0].document.body).backgroundColor }</script>";
        let page = folder.write(
            "frames.html",
            format!("<!doctype html><body>{frames}{measure}"),
        );
        for (dark, ground) in [(false, "rgb(247, 248, 249)"), (true, "rgb(18, 22, 27)")] {
            let view = View { width: 1_400, dark };
            let url = format!("file://{}", page.display());
            let dom = browse(&chromium, &view, "--dump-dom", &url).text();
            let widths = attribute(&dom, "data-widths");
            assert_eq!(widths.split(' ').count(), paths.len());
            for (pair, path) in widths.split(' ').zip(paths) {
                let (needed, given) = pair.split_once(':').unwrap();
                let (needed, given): (u32, u32) = (needed.parse().unwrap(), given.parse().unwrap());
                assert!(needed <= given, "{path} needs {needed} of {given} pixels");
            }
            assert_eq!(attribute(&dom, "data-ground"), ground);
        }
    }
}

#[test]
fn pictures_can_be_taken() {
    let Some(chromium) = chromium() else { return };
    let (project, _) = project();
    let server = project.serve();
    let folder = Folder::new();
    let mut pictures = Vec::new();
    for dark in [false, true] {
        let picture = folder.file(&format!("{dark}.png"));
        let view = View { width: 360, dark };
        let what = format!("--screenshot={}", picture.display());
        browse(
            &chromium,
            &view,
            &what,
            &format!("http://{}/", server.address),
        );
        let bytes = fs::read(&picture).unwrap();
        assert!(bytes.starts_with(b"\x89PNG"));
        // Width and height stand behind the signature and the head of the first chunk.
        assert_eq!(bytes[16..20], 360u32.to_be_bytes());
        assert!(
            bytes.len() > 10_000,
            "a picture of nothing: {} bytes",
            bytes.len()
        );
        pictures.push(bytes);
    }
    assert_ne!(pictures[0], pictures[1], "dark and light look the same");
}

fn attribute(dom: &str, name: &str) -> String {
    let value = dom
        .split(&format!("{name}=\""))
        .nth(1)
        .and_then(|rest| rest.split('"').next());
    value
        .unwrap_or_else(|| panic!("the page has no {name}"))
        .to_owned()
}

/// The way to the first pipeline of the overview.
fn last_pipeline(overview: &str) -> String {
    let link = overview
        .split("href=\"/pipelines/")
        .nth(1)
        .unwrap()
        .split('"')
        .next()
        .unwrap();
    format!("/pipelines/{link}")
}
