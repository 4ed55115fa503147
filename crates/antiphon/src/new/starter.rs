//! The texts of a starter: `antiphon.toml`, the configs, what to do next.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::about::{PLACEHOLDER, Setting};
use super::files::Outcome;
use super::{Part, Written};
use crate::spec::keys::{self, Key};
use crate::spec::{Role, written_key};

/// What a new file begins with.
const HEAD: &str = "\
# Pipelines of antiphon. What stands behind `#` is an example, and does nothing until its `#` is gone.
# Texts are taken as they stand, without $VARIABLES; secrets are { env = \"NAME\" }, { file = \"PATH\" }
# or { command = \"…\" }. Paths count from this folder.

# [store]
# url = \"s3://bucket/prefix\"    # states, history, logs, rejects; the folder .antiphon if left out

# [notify.ops]                  # a pipeline names it: notify = \"ops\"
# type = \"webhook\"              # or sns, email, command
# url = { env = \"OPS_WEBHOOK\" }
# rejects = \"5%\"
# no_records = true
";

/// An example of each key that a pipeline may have besides its stages.
const EXAMPLES: &[(&str, &str)] = &[
    ("schedule", "\"*/15 * * * *\""),
    ("local_time", "true"),
    ("timeout", "\"2h\""),
    ("grace", "\"30s\""),
    ("retries", "2"),
    ("retry_wait", "\"30s\""),
    ("retry_on", "[1]"),
    ("notify", "\"ops\""),
    ("count", "\"auto\""),
    ("state_backwards", "\"refuse\""),
    (
        "environment",
        "{ TZ = \"UTC\", TOKEN = { env = \"TOKEN\" } }",
    ),
];

/// The whole text of the project: what it was, and the new pipeline.
pub(super) fn project(parts: &[Part], name: &str, before: Option<&str>) -> String {
    let mut text = before.map_or_else(|| HEAD.to_owned(), str::to_owned);
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text.push('\n');
    text.push_str(&pipeline(parts, name));
    text
}

fn pipeline(parts: &[Part], name: &str) -> String {
    let mut text = format!("[pipelines.{}]\n", written_key(name));
    let stages = |role: Role| parts.iter().filter(move |part| part.stage.role == role);
    let catalog = catalog_file(name);
    for part in stages(Role::Tap) {
        line(&mut text, "tap", &stage(part, Some(&catalog)));
    }
    let maps: Vec<String> = stages(Role::Map).map(|part| stage(part, None)).collect();
    match maps.as_slice() {
        [] => {}
        [only] => line(&mut text, "map", only),
        several => line(&mut text, "map", &format!("[{}]", several.join(", "))),
    }
    for part in stages(Role::Target) {
        line(&mut text, "target", &stage(part, None));
    }
    for (key, example) in EXAMPLES {
        let comment = keys::SETTINGS
            .iter()
            .find(|known| known.name == *key)
            .map(explain)
            .unwrap_or_default();
        line(
            &mut text,
            &format!("# {key}"),
            &format!("{example}  # {comment}"),
        );
    }
    text
}

/// What a key takes, what holds without it, what it is for.
fn explain(key: &Key) -> String {
    let default = match key.default {
        "" => String::new(),
        default => format!(", default {default}"),
    };
    format!("{}{default}: {}", key.form, key.meaning)
}

fn line(text: &mut String, key: &str, value: &str) {
    text.push_str(key);
    text.push_str(" = ");
    text.push_str(value);
    text.push('\n');
}

fn stage(part: &Part, catalog: Option<&str>) -> String {
    let mut members = vec![format!("exec = {}", quoted(&part.stage.exec))];
    if part.has_config() {
        let file = quoted(&part.config_file());
        members.push(if takes_environment(part) {
            format!("config = [{file}, \"ENV\"]")
        } else {
            format!("config = {file}")
        });
    }
    if let Some(catalog) = catalog {
        members.push(format!("catalog = {}", quoted(catalog)));
    }
    format!("{{ {} }}", members.join(", "))
}

/// A text as TOML writes it.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            control if control.is_control() => {
                quoted.push_str(&format!("\\u{:04X}", u32::from(control)));
            }
            letter => quoted.push(letter),
        }
    }
    quoted.push('"');
    quoted
}

/// Where the catalog of a pipeline is to lie.
pub(super) fn catalog_file(name: &str) -> String {
    format!("{name}.catalog.json")
}

/// The variable that holds a setting, by the rule of the Meltano SDK, which is ours too.
fn variable(part: &Part, setting: &Setting) -> String {
    format!("{}_{}", part.name(), setting.name)
        .replace(|letter: char| !letter.is_ascii_alphanumeric(), "_")
        .to_ascii_uppercase()
}

/// A program of the SDK has no form for a secret; it reads the environment instead.
fn takes_environment(part: &Part) -> bool {
    !part.is_ours && asked(part).any(|setting| setting.secret && !setting.takes_object)
}

/// The settings that a starter asks for: what is required, and secrets that prove who we are, unless the
/// program says otherwise.
fn asked(part: &Part) -> impl Iterator<Item = &Setting> {
    part.about
        .iter()
        .flat_map(|about| &about.settings)
        .filter(|setting| {
            let usual = setting.required || (setting.secret && setting.name != "proxy");
            setting.starter.unwrap_or(usual)
        })
}

/// The config of a program: placeholders for what must be given, no secrets.
pub(super) fn config(part: &Part) -> Value {
    let mut config = Map::new();
    for setting in asked(part) {
        let value = if !setting.secret {
            setting.placeholder.clone()
        } else if setting.takes_object {
            json!({ "env": variable(part, setting) })
        } else {
            continue;
        };
        config.insert(setting.name.clone(), value);
    }
    Value::Object(config)
}

/// What was written, what to fill in, and the commands that come next.
pub(super) fn next_steps(
    parts: &[Part],
    name: &str,
    folder: &Path,
    written: &Written,
    has_catalog: bool,
) -> String {
    let mut page = format!("pipeline `{name}` in {}\n", folder.display());
    for (file, outcome) in written {
        let what = match outcome {
            Outcome::Written => "written",
            Outcome::Kept => "kept as it was",
            Outcome::Extended => "extended",
        };
        text_line(&mut page, &format!("  {file:<32} {what}"));
    }
    for part in parts {
        page.push_str(&settings(part));
    }
    page.push_str("\nnext, in that folder:\n");
    for command in commands(parts, name, has_catalog) {
        text_line(&mut page, &format!("  {command}"));
    }
    page
}

fn text_line(page: &mut String, line: &str) {
    page.push_str(line.trim_end());
    page.push('\n');
}

/// What a program wants to be told, and what else it takes.
fn settings(part: &Part) -> String {
    let name = &part.stage.exec;
    let Some(about) = &part.about else {
        return match part.stage.role {
            Role::Map => String::new(),
            Role::Tap | Role::Target => format!(
                "\n{name} does not know --about: its README says what belongs into {}\n",
                part.config_file()
            ),
        };
    };
    let mut page = String::new();
    let asked: Vec<&Setting> = asked(part).collect();
    if !asked.is_empty() {
        text_line(
            &mut page,
            &format!("\n{name} needs ({}):", part.config_file()),
        );
    }
    for setting in &asked {
        let key = if setting.secret {
            format!("${}", variable(part, setting))
        } else {
            setting.name.clone()
        };
        text_line(&mut page, &format!("  {key:<32} {}", setting.description));
    }
    let others: Vec<String> = about
        .settings
        .iter()
        .filter(|setting| !asked.contains(setting))
        .map(|setting| match &setting.default {
            Some(default) if !default.is_object() => format!("{} ({default})", setting.name),
            _ => setting.name.clone(),
        })
        .collect();
    if !others.is_empty() {
        text_line(
            &mut page,
            &format!("\n{name} also takes (see {name} --about):"),
        );
        page.push_str(&wrapped(&others));
    }
    page
}

/// Words in lines of at most 100 letters.
fn wrapped(words: &[String]) -> String {
    let mut page = String::new();
    let mut line = String::new();
    for (index, word) in words.iter().enumerate() {
        let comma = if index + 1 < words.len() { "," } else { "" };
        if !line.is_empty() && line.chars().count() + word.chars().count() > 95 {
            text_line(&mut page, &format!("  {line}"));
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
        line.push_str(comma);
    }
    text_line(&mut page, &format!("  {line}"));
    page
}

fn commands(parts: &[Part], name: &str, has_catalog: bool) -> Vec<String> {
    let mut commands = Vec::new();
    for part in parts.iter().filter(|part| part.has_config()) {
        let file = part.config_file();
        if config(part).to_string().contains(PLACEHOLDER) || part.about.is_none() {
            commands.push(format!("${{EDITOR:-vi}} {file}"));
        }
        for setting in asked(part).filter(|setting| setting.secret) {
            commands.push(format!("export {}=…", variable(part, setting)));
        }
    }
    let call = |part: &Part| {
        let environment = if takes_environment(part) {
            " --config ENV"
        } else {
            ""
        };
        format!(
            "{} --config {}{environment}",
            part.stage.exec,
            part.config_file()
        )
    };
    for part in parts.iter().filter(|part| part.is_ours) {
        commands.push(format!("{} --check", call(part)));
    }
    let catalog = catalog_file(name);
    if !has_catalog {
        for part in parts.iter().filter(|part| part.stage.role == Role::Tap) {
            commands.push(format!("{} --discover > {catalog}", call(part)));
        }
    }
    commands.push(format!("antiphon select {catalog} --list"));
    commands.push(format!("antiphon select {catalog} 'STREAM'"));
    commands.push(format!("antiphon run {name} --dry-run"));
    commands.push(format!("antiphon run {name}"));
    commands.push(format!("antiphon history {name}"));
    commands
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{Project, Stage};

    fn part(exec: &str, role: Role) -> Part {
        Part {
            stage: Stage {
                label: String::new(),
                role,
                exec: exec.to_owned(),
                args: Vec::new(),
                config: Vec::new(),
                rejects_path: None,
            },
            about: None,
            is_ours: false,
        }
    }

    #[test]
    fn every_key_of_a_pipeline_has_a_line_and_its_example_is_good() {
        let parts = [part("tap-\"x\\", Role::Tap), part("target-y", Role::Target)];
        let text = project(&parts, "a.b", None);
        for key in keys::SETTINGS.iter().filter(|key| key.name != "shards") {
            assert!(
                text.contains(&format!("\n# {} = ", key.name)),
                "{}",
                key.name
            );
        }
        let file = Path::new("/p/antiphon.toml");
        let starter = Project::parse(file, &text).unwrap();
        assert_eq!(starter.pipeline("a.b").unwrap().tap.exec, "tap-\"x\\");
        let all: String = text
            .lines()
            .skip(4)
            .map(|line| format!("{}\n", line.strip_prefix("# ").unwrap_or(line)))
            .collect();
        let whole = Project::parse(file, &all).unwrap();
        assert_eq!(whole.pipelines["a.b"].notify, ["ops"]);
        assert_eq!(whole.pipelines["a.b"].retry_on, [1]);
    }

    #[test]
    fn words_are_wrapped() {
        let words: Vec<String> = (0..30).map(|number| format!("setting_{number}")).collect();
        let page = wrapped(&words);
        assert!(page.lines().count() > 2 && page.lines().all(|line| line.len() <= 100));
        assert!(page.ends_with("setting_29\n"));
    }
}
