//! `[pipelines.<name>]` and `[defaults]`: stages, and what holds for a run.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use singer_core::SecretSource;
use singer_core::nearest::nearest;
use toml::de::DeValue;

use super::keys::{self, Key};
use super::place::{Name, Node, Place};
use super::reader::{Reader, Table};
use super::{Backwards, ConfigSource, Count, LocalTime, Pipeline, Role, Stage, inline, schedule};

/// The longest name of a pipeline: it becomes a folder, a systemd unit, a label of metrics.
const LONGEST_NAME: usize = 100;

/// What a pipeline says besides its stages.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    schedule: Option<String>,
    local_time: LocalTime,
    timeout: Option<Duration>,
    grace: Duration,
    retries: u32,
    retry_wait: Duration,
    retry_on: Vec<i32>,
    notify: Vec<String>,
    backwards: Backwards,
    count: Count,
    environment: BTreeMap<String, SecretSource>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            schedule: None,
            local_time: LocalTime::Utc,
            timeout: None,
            grace: Duration::from_secs(30),
            retries: 2,
            retry_wait: Duration::from_secs(30),
            retry_on: Vec::new(),
            notify: Vec::new(),
            backwards: Backwards::Refuse,
            count: Count::Auto,
            environment: BTreeMap::new(),
        }
    }
}

/// Reads pipelines; knows what they may refer to.
#[derive(Debug)]
pub(super) struct Pipelines<'n> {
    /// The names under `[notify]`, also of those that are broken.
    pub(super) notifiers: BTreeSet<&'n str>,
    /// Schedules that were found good: many pipelines share one.
    schedules: BTreeSet<String>,
    /// The longest grace so far.
    pub(super) longest_grace: Duration,
}

impl<'n> Pipelines<'n> {
    pub(super) fn new(notifiers: BTreeSet<&'n str>) -> Self {
        Self {
            notifiers,
            schedules: BTreeSet::new(),
            longest_grace: Duration::ZERO,
        }
    }

    /// `[defaults]`
    pub(super) fn read_defaults<'a>(
        &mut self,
        reader: &mut Reader<'a>,
        node: &'a Node<'a>,
    ) -> Settings {
        let Some(table) = reader.open_table(node, "a table") else {
            return Settings::default();
        };
        for name in table.entries.keys() {
            let typed: &str = name.get_ref();
            if keys::STAGES.iter().any(|key| key.name == typed) {
                reader.fault(
                    Place::Key(name),
                    "{key} is a stage: each pipeline has its own",
                );
            } else if !keys::SETTINGS.iter().any(|key| key.name == typed) {
                reader.unknown(name, keys::SETTINGS.iter().map(|key| key.name));
            }
        }
        self.read_settings(reader, table, &Settings::default())
    }

    /// One pipeline.
    pub(super) fn read<'a>(
        &mut self,
        reader: &mut Reader<'a>,
        name: &'a Name<'a>,
        node: &'a Node<'a>,
        defaults: &Settings,
    ) -> Option<Pipeline> {
        check_name(reader, name);
        let table = reader.open_table(node, "a table")?;
        let known = || {
            keys::STAGES
                .iter()
                .chain(keys::SETTINGS)
                .map(|key| key.name)
        };
        for key in table.entries.keys() {
            let typed: &str = key.get_ref();
            if !known().any(|name| name == typed) {
                reader.unknown(key, known());
            }
        }
        let mut catalog = None;
        let tap = read_end(reader, table, Role::Tap, &mut catalog);
        let maps = read_maps(reader, table);
        let target = read_end(reader, table, Role::Target, &mut None);
        let settings = self.read_settings(reader, table, defaults);
        if settings.grace > self.longest_grace {
            self.longest_grace = settings.grace;
        }
        let name: &str = name.get_ref();
        Some(Pipeline {
            name: name.to_owned(),
            tap: tap?,
            maps,
            target: target?,
            catalog,
            schedule: settings.schedule,
            local_time: settings.local_time,
            timeout: settings.timeout,
            grace: settings.grace,
            retries: settings.retries,
            retry_wait: settings.retry_wait,
            retry_on: settings.retry_on,
            notify: settings.notify,
            backwards: settings.backwards,
            count: settings.count,
            environment: settings.environment,
        })
    }

    fn read_settings<'a>(
        &mut self,
        reader: &mut Reader<'a>,
        table: Table<'a>,
        defaults: &Settings,
    ) -> Settings {
        let mut settings = defaults.clone();
        if let Some(node) = table.get("schedule") {
            settings.schedule = self.read_schedule(reader, node);
        }
        if let Some(local) = table.get("local_time").and_then(|node| reader.flag(node)) {
            settings.local_time = if local {
                LocalTime::Local
            } else {
                LocalTime::Utc
            };
        }
        if let Some(node) = table.get("timeout") {
            settings.timeout = if is_none(node) {
                None
            } else {
                reader.positive_duration(node)
            };
        }
        if let Some(node) = table.get("grace")
            && let Some(grace) = reader.duration(node)
        {
            settings.grace = grace;
        }
        if let Some(retries) = table
            .get("retries")
            .and_then(|node| reader.integer(node, 0, 100))
        {
            settings.retries = u32::try_from(retries).unwrap_or_default();
        }
        if let Some(wait) = table
            .get("retry_wait")
            .and_then(|node| reader.duration(node))
        {
            settings.retry_wait = wait;
        }
        if let Some(node) = table.get("retry_on") {
            settings.retry_on = reader
                .items(node)
                .into_iter()
                .filter_map(|item| reader.integer(item, 1, 255))
                .filter_map(|code| i32::try_from(code).ok())
                .collect();
        }
        if let Some(node) = table.get("notify") {
            settings.notify = self.read_notify(reader, node);
        }
        if let Some(backwards) = table.get("state_backwards").and_then(|node| {
            let words = [
                ("refuse", Backwards::Refuse),
                ("warn", Backwards::Warn),
                ("accept", Backwards::Accept),
            ];
            reader.word(node, &words)
        }) {
            settings.backwards = backwards;
        }
        if let Some(count) = table.get("count").and_then(|node| {
            let words = [
                ("auto", Count::Auto),
                ("lines", Count::Lines),
                ("metrics", Count::Metrics),
            ];
            reader.word(node, &words)
        }) {
            settings.count = count;
        }
        if let Some(node) = table.get("environment") {
            read_environment(reader, node, &mut settings.environment);
        }
        if let Some(node) = table.get("shards") {
            reader.fault(
                Place::Value(node),
                "{key} is reserved: this version runs a pipeline in one piece",
            );
        }
        settings
    }

    fn read_schedule<'a>(&mut self, reader: &mut Reader<'a>, node: &'a Node<'a>) -> Option<String> {
        if is_none(node) {
            return None;
        }
        let text = reader.text(node)?;
        if !self.schedules.contains(text) {
            if let Err(error) = schedule::check(text) {
                reader.fault_with_hint(
                    Place::Value(node),
                    format!("{{key}} is no schedule: {}", error.message()),
                    error.hints().first().cloned(),
                );
                return None;
            }
            self.schedules.insert(text.to_owned());
        }
        Some(text.to_owned())
    }

    fn read_notify<'a>(&self, reader: &mut Reader<'a>, node: &'a Node<'a>) -> Vec<String> {
        let mut names = Vec::new();
        for item in reader.items(node) {
            let Some(name) = reader.text(item) else {
                continue;
            };
            if self.notifiers.contains(name) {
                names.push(name.to_owned());
                continue;
            }
            let hint = match nearest(name, self.notifiers.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("a table `[notify.{name}]` would make it one"),
            };
            reader.fault_with_hint(
                Place::Value(item),
                format!("{{key}} names `{name}`, and there is no such notifier"),
                Some(hint),
            );
        }
        names
    }
}

fn check_name<'a>(reader: &mut Reader<'a>, name: &'a Name<'a>) {
    let text: &str = name.get_ref();
    let is_plain = text
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte))
        && text.starts_with(|first: char| first.is_ascii_alphanumeric() || first == '_');
    if !is_plain || text.len() > LONGEST_NAME {
        reader.fault(
            Place::Key(name),
            format!(
                "{{key}} is no name of a pipeline: letters, digits, `_`, `-` and `.`, at most \
                 {LONGEST_NAME}, the first a letter or a digit"
            ),
        );
    }
}

/// Whether a setting takes back its default.
fn is_none(node: &Node<'_>) -> bool {
    node.get_ref().as_str() == Some("none")
}

fn read_environment<'a>(
    reader: &mut Reader<'a>,
    node: &'a Node<'a>,
    environment: &mut BTreeMap<String, SecretSource>,
) {
    let Some(table) = reader.open_table(node, "a table of variables") else {
        return;
    };
    for (name, value) in table.entries.iter() {
        let text: &str = name.get_ref();
        if text.is_empty() || text.contains(['=', '\0']) {
            reader.fault(Place::Key(name), "{key} is no name of a variable");
        } else if let Some(value) = reader.secret(value) {
            environment.insert(text.to_owned(), value);
        }
    }
}

/// The tap or the target.
fn read_end<'a>(
    reader: &mut Reader<'a>,
    table: Table<'a>,
    role: Role,
    catalog: &mut Option<PathBuf>,
) -> Option<Stage> {
    let label = if role == Role::Tap { "tap" } else { "target" };
    let Some(node) = table.get(label) else {
        reader.fault_with_hint(
            table.place,
            format!("{{key}} has no `{label}`"),
            Some(format!(
                "{label} = {{ exec = \"{label}-…\", config = \"{label}.json\" }}"
            )),
        );
        return None;
    };
    read_stage(reader, node, role, label.to_owned(), catalog)
}

fn read_maps<'a>(reader: &mut Reader<'a>, table: Table<'a>) -> Vec<Stage> {
    let Some(node) = table.get("map") else {
        return Vec::new();
    };
    let items = reader.items(node).into_iter().zip(1..);
    items
        .filter_map(|(item, number)| {
            let label = if number == 1 {
                "map".to_owned()
            } else {
                format!("map-{number}")
            };
            read_stage(reader, item, Role::Map, label, &mut None)
        })
        .collect()
}

fn read_stage<'a>(
    reader: &mut Reader<'a>,
    node: &'a Node<'a>,
    role: Role,
    label: String,
    catalog: &mut Option<PathBuf>,
) -> Option<Stage> {
    if node.get_ref().is_str() {
        let exec = reader.text(node)?.to_owned();
        return Some(Stage {
            label,
            role,
            exec,
            args: Vec::new(),
            config: Vec::new(),
            rejects_path: None,
        });
    }
    let table = reader.open_table(node, "a program or a table `{ exec, config, args }`")?;
    check_stage_keys(reader, table, role);
    if let Some(node) = table.get("catalog")
        && role == Role::Tap
    {
        *catalog = reader.path(node);
    }
    let rejects_path = table
        .get("rejects_path")
        .filter(|_| role == Role::Target)
        .and_then(|node| reader.path(node));
    let args = match table.get("args") {
        Some(node) if node.get_ref().is_array() => read_arguments(reader, node),
        Some(node) => {
            reader.expected(node, "a list of texts");
            Vec::new()
        }
        None => Vec::new(),
    };
    let config = table
        .get("config")
        .map(|node| reader.items(node))
        .unwrap_or_default()
        .into_iter()
        .filter_map(|item| read_config(reader, item))
        .collect();
    let Some(exec) = table.get("exec") else {
        reader.fault(table.place, "{key} has no `exec`");
        return None;
    };
    let exec = reader.text(exec)?.to_owned();
    Some(Stage {
        label,
        role,
        exec,
        args,
        config,
        rejects_path,
    })
}

fn check_stage_keys<'a>(reader: &mut Reader<'a>, table: Table<'a>, role: Role) {
    let belongs = |key: &&Key| match key.name {
        "catalog" => role == Role::Tap,
        "rejects_path" => role == Role::Target,
        _ => true,
    };
    let known = keys::STAGE.iter().filter(belongs).map(|key| key.name);
    for name in table.entries.keys() {
        let typed: &str = name.get_ref();
        if known.clone().any(|key| key == typed) {
            continue;
        }
        match typed {
            "catalog" => reader.fault(Place::Key(name), "{key}: the catalog belongs to the tap"),
            "rejects_path" => reader.fault(
                Place::Key(name),
                "{key}: only a target leaves records that were refused",
            ),
            _ => reader.unknown(name, known.clone()),
        }
    }
}

/// Arguments may be empty texts.
fn read_arguments<'a>(reader: &mut Reader<'a>, node: &'a Node<'a>) -> Vec<String> {
    let mut arguments = Vec::new();
    for item in reader.items(node) {
        match item.get_ref() {
            DeValue::String(text) => arguments.push(text.to_string()),
            _ => reader.expected(item, "a text"),
        }
    }
    arguments
}

fn read_config<'a>(reader: &mut Reader<'a>, node: &'a Node<'a>) -> Option<ConfigSource> {
    match node.get_ref() {
        DeValue::String(text) if text == "ENV" => Some(ConfigSource::Environment),
        DeValue::String(_) => reader.path(node).map(ConfigSource::File),
        DeValue::Table(table) => {
            let object = inline::object(reader, table)?;
            Some(ConfigSource::Inline(object))
        }
        _ => {
            reader.expected(node, "a path, \"ENV\", a table, or a list of these");
            None
        }
    }
}
