//! The example that cleans up leads of Zoho CRM: the commands of its README, its crontab, its filter, its catalog
//! and its demo.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sandbox::crm::CrmSample;
use sandbox::{Options, Sandbox};
use serde_json::{Value, json};
use singer_test::bin::Run;
use singer_test::folder::Folder;
use singer_test::runtime::wait;

use suite::demo;
use suite::world::{commands, crm_example, shell};

/// The example in a folder of its own, with what leads to the stand-in put over its configs.
struct Example {
    sandbox: Sandbox,
    top: Folder,
    folder: PathBuf,
}

impl Example {
    fn new() -> Example {
        let mut options = Options::default();
        options.crm.sample = CrmSample::Leads;
        options.crm.rows = 400;
        let sandbox = wait(sandbox::start(options)).expect("the sandbox starts");
        let top = Folder::new();
        let folder = top.file("examples/crm-cleanup");
        fs::create_dir_all(&folder).expect("a folder can be made");
        for entry in fs::read_dir(crm_example("")).expect("the example can be listed") {
            let path = entry.expect("the example can be listed").path();
            let name = path.file_name().expect("a file has a name");
            fs::copy(&path, folder.join(name)).expect("a file can be copied");
        }
        let url = sandbox.zoho_url();
        let over = json!({
            "client_id": "sandbox-client", "client_secret": "sandbox-secret",
            "refresh_token": "sandbox-refresh", "accounts_url": url, "api_url": url,
            "token_cache_path": top.file("tokens.json"),
        });
        for name in ["tap-crm.json", "target-crm-bulkwrite.json"] {
            overlay(&folder.join(name), &over);
        }
        Example {
            sandbox,
            top,
            folder,
        }
    }

    /// The jobs of the crontab, run as cron would.
    fn cron(&self, job: &str) {
        let secrets = "ZOHO_CLIENT_SECRET=x\nZOHO_REFRESH_TOKEN=y\n";
        let secrets = self.top.write("secrets", secrets);
        let finished = shell(job, &self.folder)
            .patience(Duration::from_secs(180))
            .env("ANTIPHON", &self.folder)
            .env("SECRETS", &secrets)
            .env("LOGS", self.top.path())
            .finish();
        finished.expect_code(0);
        // cron mails whatever is printed.
        assert_eq!(finished.text() + &finished.stderr, "");
    }

    fn put(&self, lead: &Value) {
        let put = self.sandbox.crm().put("Leads", &json!([lead]));
        put.expect("a lead can be put");
    }

    /// A lead that is no test.
    fn some_lead(&self) -> String {
        let leads = self.sandbox.crm().dump("Leads");
        let mut leads = leads.iter();
        let lead = leads.find(|lead| !is_test(lead)).expect("there are leads");
        text(lead, "id").to_owned()
    }

    fn lead(&self, id: &str) -> Value {
        let leads = self.sandbox.crm().dump("Leads");
        let mut leads = leads.into_iter();
        let lead = leads.find(|lead| text(lead, "id") == id);
        lead.expect("the lead is there")
    }

    /// How many leads are not as they should be.
    fn unclean(&self) -> usize {
        let leads = self.sandbox.crm().dump("Leads");
        let unclean = leads
            .iter()
            .filter(|lead| !is_test(lead) && !is_clean(lead));
        unclean.count()
    }
}

fn text<'a>(lead: &'a Value, field: &str) -> &'a str {
    lead[field].as_str().unwrap_or_default()
}

fn is_test(lead: &Value) -> bool {
    text(lead, "Last_Name") == "Test" || text(lead, "Email").starts_with("test")
}

fn is_clean(lead: &Value) -> bool {
    let is_number = |field: &str| {
        let number = text(lead, field);
        let (main, extension) = number.split_once(" x").unwrap_or((number, "0"));
        let digits =
            |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        number.is_empty() || main.strip_prefix('+').is_some_and(digits) && digits(extension)
    };
    let mail = text(lead, "Email");
    let is_mail =
        mail.is_empty() || mail.contains('@') && mail.trim() == mail && mail.to_lowercase() == mail;
    is_mail && is_number("Phone") && is_number("Mobile") && lead["Score"].is_u64()
}

fn overlay(path: &Path, over: &Value) {
    let mut config = json_of(path);
    for (key, value) in over.as_object().expect("a config is an object") {
        config[key] = value.clone();
    }
    fs::write(path, config.to_string()).expect("a file can be written");
}

fn json_of(path: &Path) -> Value {
    let text = fs::read_to_string(path).expect("the file can be read");
    serde_json::from_str(&text).expect("the file is JSON")
}

#[test]
fn the_commands_of_the_readme_run() {
    let example = Example::new();
    let readme = fs::read_to_string(crm_example("README.md")).expect("there is a README");
    let commands = commands(&readme);
    assert!(commands.len() > 15, "{commands:?}");
    assert!(example.unclean() > 300);
    // Whoever shows a sample stops to read, and the tap says that it has lost its reader: no fault of either.
    let commands: Vec<String> = (commands.into_iter())
        .map(|line| match line.contains("--sample") {
            true => format!("(set +o pipefail; {line})"),
            false => line,
        })
        .collect();
    let finished = shell(&commands.join("\n"), example.top.path())
        .patience(Duration::from_secs(300))
        .finish();
    finished.expect_code(0);
    assert_eq!(example.unclean(), 0);
    let kept = ".antiphon/pipelines/crm-cleanup/state";
    assert!(example.folder.join(kept).is_dir(), "no state was kept");
    let mut mine = json_of(&example.folder.join("my-catalog.json"));
    let top = &mut mine["streams"][0]["metadata"][0]["metadata"];
    // How many leads there are is nothing for a catalog that others read.
    let top = top.as_object_mut().expect("metadata is an object");
    assert!(top.remove("row-count").is_some());
    let catalog = json_of(&crm_example("catalog.json"));
    assert_eq!(mine, catalog, "the catalog is not what its README makes");
}

#[test]
fn the_lines_of_the_crontab_keep_leads_clean() {
    let example = Example::new();
    let now = json!({"window_lag_seconds": 0});
    overlay(&example.folder.join("tap-crm.json"), &now);
    let crontab = fs::read_to_string(crm_example("crontab")).expect("there is a crontab");
    let job = |time: &str| -> String {
        let line = crontab.lines().find_map(|line| line.strip_prefix(time));
        line.unwrap_or_else(|| panic!("no job at {time}"))
            .to_owned()
    };
    let (night, sunday) = (job("10 2 * * 1-6 "), job("10 2 * * 0 "));
    example.cron(&night);
    assert_eq!(example.unclean(), 0);
    let id = example.some_lead();
    example.put(&json!({"id": id, "Phone": "n/a", "Mobile": "0047 (20) 1234 ext. 5"}));
    // What changed in the second of a run is read by the next one.
    for _ in 0..10 {
        example.cron(&night);
        if example.unclean() == 0 {
            break;
        }
    }
    let lead = example.lead(&id);
    assert_eq!(lead["Mobile"], "+47201234 x5");
    assert_eq!(lead["Phone"], Value::Null, "a null clears");
    // What no night sees: a lead whose time of change is long ago.
    let old = "2023-01-01T00:00:00+00:00";
    example.put(&json!({"id": id, "Email": " Ann(at)EXAMPLE.org", "Modified_Time": old}));
    example.cron(&night);
    assert_eq!(example.unclean(), 1);
    example.cron(&sunday);
    assert_eq!(example.lead(&id)["Email"], "ann@example.org");
}

#[test]
fn the_filter_leaves_alone_what_it_has_made() {
    let test = |lead: &Value| -> String {
        let finished = Run::of("map-records")
            .args(["--config", "map-records.json", "--test", &lead.to_string()])
            .env("NO_COLOR", "1")
            .folder(crm_example(""))
            .finish();
        finished.expect_code(0).text()
    };
    let lead = json!({
        "id": "1", "Last_Name": "Öberg", "Country": "Sverige", "Phone": "tel. 020 12 34 56 Ext. 7",
        "Mobile": "+47-20 12 34 56", "Email": "Ann(at)Example.ORG ", "Lead_Source": "Trade Show",
        "No_of_Employees": 90_071_992_547_409_931_u64, "Score": null,
    });
    let shown = test(&lead);
    for line in [
        r#"+ Email: "ann@example.org""#,
        r#"+ Phone: "+4620123456 x7""#,
        r#"+ Mobile: "+4720123456""#,
        "+ Score: 100",
    ] {
        assert!(shown.contains(line), "no {line} in\n{shown}");
    }
    let mut clean = lead;
    clean["Email"] = "ann@example.org".into();
    clean["Phone"] = "+4620123456 x7".into();
    clean["Mobile"] = "+4720123456".into();
    clean["Score"] = 100.into();
    let shown = test(&clean);
    assert!(!shown.contains("+ "), "{shown}");
    let mut tried = clean;
    tried["Last_Name"] = "Test".into();
    tried["Phone"] = "n/a".into();
    let shown = test(&tried);
    assert!(!shown.contains("+ "), "{shown}");
}

#[test]
fn the_demo_runs_and_leaves_nothing_running() {
    let folder = Folder::new();
    let demo = Run::program(crm_example("demo.sh"))
        .env("DEMO_ROWS", "1500")
        .patience(Duration::from_secs(240));
    let programs = ["tap-crm", "map-records", "target-crm-bulkwrite", "antiphon"];
    let parts = [
        "would read",
        "killed after 1 of 3 files",
        "0 malformed phone numbers, 0 malformed addresses",
        " leads read, 0 written",
        "exit code 3",
        "field `Email`: INVALID_DATA",
        "Sent again",
        "Left alone",
    ];
    demo::run(demo, &folder, &programs, &parts);
}
