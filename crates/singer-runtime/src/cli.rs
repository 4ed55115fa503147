//! The command line of taps, maps and targets.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::error::ErrorKind;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use singer_core::{Error, Result};
use tracing::Level;

use crate::about;
use crate::config::Source;
use crate::log;
use crate::monitor::Progress;
use crate::program::{Program, Role};
use crate::setting::{Flag, Setting, Shape};

/// What the command line asks for.
#[derive(Debug)]
pub(crate) enum Request {
    /// A text for stdout (`--help`, `--version`), and nothing else.
    Print(String),
    /// `--about`
    About(about::Format),
    /// A run.
    Run(Box<Invocation>),
}

/// A run as the command line describes it.
#[derive(Debug)]
pub(crate) struct Invocation {
    pub(crate) mode: Mode,
    pub(crate) config: Vec<Source>,
    /// Settings given as flags, by name.
    pub(crate) flags: Vec<(String, String)>,
    /// Switches that were given, by the names of their settings.
    pub(crate) switches: Vec<String>,
    pub(crate) log: log::Options,
    pub(crate) progress: Progress,
    pub(crate) tap: TapArguments,
    pub(crate) map: MapArguments,
    pub(crate) target: TargetArguments,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Run,
    Discover,
    Check,
    /// `--test`: a tap writes SCHEMA and one record of each stream.
    OneRecord,
    /// `--test=schema`: a tap writes SCHEMA messages alone.
    SchemasOnly,
}

/// The arguments of taps alone.
#[derive(Debug, Default)]
pub(crate) struct TapArguments {
    pub(crate) catalog: Option<PathBuf>,
    pub(crate) state: Option<PathBuf>,
    pub(crate) select: Vec<String>,
    pub(crate) jobs: usize,
}

/// The arguments of maps alone.
#[derive(Debug, Default)]
pub(crate) struct MapArguments {
    pub(crate) input: Option<PathBuf>,
    pub(crate) show: Option<Show>,
}

/// What a map shows instead of a run.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Show {
    /// `--test`: what becomes of this record or message.
    Test(String),
    /// `--sample`: what becomes of the first records of the input.
    Sample(u64),
}

/// The arguments of targets alone.
#[derive(Debug, Default)]
pub(crate) struct TargetArguments {
    pub(crate) input: Option<PathBuf>,
    pub(crate) state_file: Option<PathBuf>,
    pub(crate) dry_run: bool,
}

/// Reads the command line; an error is wrong usage.
pub(crate) fn parse(
    program: &Program,
    arguments: impl IntoIterator<Item = OsString>,
) -> Result<Request> {
    let matches = match command(program).try_get_matches_from(arguments) {
        Ok(matches) => matches,
        Err(error) => {
            return match error.kind() {
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
                    Ok(Request::Print(error.render().to_string()))
                }
                _ => Err(usage_error(program, &error)),
            };
        }
    };
    if matches.get_flag("about") {
        let format = match text(&matches, "format").as_deref() {
            Some("json") => about::Format::Json,
            Some("markdown") => about::Format::Markdown,
            _ => about::Format::Text,
        };
        return Ok(Request::About(format));
    }
    Ok(Request::Run(Box::new(invocation(program, &matches))))
}

fn invocation(program: &Program, matches: &ArgMatches) -> Invocation {
    let mut tap = TapArguments::default();
    let mut map = MapArguments::default();
    let mut target = TargetArguments::default();
    let mode = match program.role {
        Role::Tap => {
            tap = tap_arguments(matches);
            tap_mode(matches)
        }
        Role::Map => {
            map = map_arguments(matches);
            run_or_check(matches)
        }
        Role::Target => {
            target = TargetArguments {
                input: matches.get_one("input").cloned(),
                state_file: matches.get_one("state_file").cloned(),
                dry_run: matches.get_flag("dry_run"),
            };
            run_or_check(matches)
        }
    };
    let mut flags = Vec::new();
    let mut switches = Vec::new();
    for setting in &program.settings {
        match setting.flag {
            Flag::None => {}
            Flag::Value => {
                flags.extend(
                    text(matches, setting.name).map(|text| (setting.name.to_owned(), text)),
                );
            }
            Flag::Switch if matches.get_flag(setting.name) => {
                switches.push(setting.name.to_owned());
            }
            Flag::Switch => {}
        }
    }
    let config = matches.get_many::<PathBuf>("config").unwrap_or_default();
    Invocation {
        mode,
        config: config.cloned().map(Source::from_argument).collect(),
        flags,
        switches,
        log: log_options(matches),
        progress: match text(matches, "progress").as_deref() {
            Some("plain") => Progress::Plain,
            Some("never") => Progress::Never,
            _ => Progress::Auto,
        },
        tap,
        map,
        target,
    }
}

fn run_or_check(matches: &ArgMatches) -> Mode {
    if matches.get_flag("check") {
        Mode::Check
    } else {
        Mode::Run
    }
}

fn map_arguments(matches: &ArgMatches) -> MapArguments {
    let sample = || matches.get_one("sample").copied().map(Show::Sample);
    MapArguments {
        input: matches.get_one("input").cloned(),
        show: text(matches, "test").map(Show::Test).or_else(sample),
    }
}

fn tap_mode(matches: &ArgMatches) -> Mode {
    if matches.get_flag("discover") {
        return Mode::Discover;
    }
    if matches.get_flag("check") {
        return Mode::Check;
    }
    match text(matches, "test").as_deref() {
        Some("schema") => Mode::SchemasOnly,
        Some(_) => Mode::OneRecord,
        None => Mode::Run,
    }
}

fn tap_arguments(matches: &ArgMatches) -> TapArguments {
    let select = matches.get_many::<String>("select").unwrap_or_default();
    TapArguments {
        catalog: matches.get_one("catalog").cloned(),
        state: matches.get_one("state").cloned(),
        select: select.cloned().collect(),
        jobs: matches
            .get_one::<u8>("jobs")
            .copied()
            .map_or(1, usize::from),
    }
}

fn log_options(matches: &ArgMatches) -> log::Options {
    let level = if matches.get_flag("quiet") {
        Level::WARN
    } else {
        match matches.get_count("verbose") {
            0 => Level::INFO,
            1 => Level::DEBUG,
            _ => Level::TRACE,
        }
    };
    let format = match text(matches, "log_format").as_deref() {
        Some("json") => log::Format::Json,
        _ => log::Format::Text,
    };
    log::Options { format, level }
}

fn text(matches: &ArgMatches, name: &str) -> Option<String> {
    matches.get_one::<String>(name).cloned()
}

fn command(program: &Program) -> Command {
    let mut command = Command::new(program.name)
        .version(program.version)
        .about(program.description)
        .max_term_width(100)
        .arg(
            path("config", "FILE")
                .short('c')
                .action(ArgAction::Append)
                .help(format!(
                    "Config file (JSON); may be repeated, later files override earlier ones key by key. \
                     `ENV` reads keys from the environment ({}_…)",
                    program.name.to_uppercase().replace('-', "_")
                )),
        );
    command = match program.role {
        Role::Tap => command.args(tap_flags()),
        Role::Map => command.args(map_flags()),
        Role::Target => command.args(target_flags()),
    };
    for setting in &program.settings {
        let flag = Arg::new(setting.name)
            .long(setting.name.replace('_', "-"))
            .alias(setting.name)
            .help(setting.about)
            .help_heading("Settings");
        match setting.flag {
            Flag::None => {}
            Flag::Value => {
                command = command.arg(flag.value_name(placeholder(setting)));
            }
            Flag::Switch => command = command.arg(flag.action(ArgAction::SetTrue)),
        }
    }
    command = command.args(common_flags());
    if !program.examples.is_empty() {
        command = command.after_help(format!("Examples:\n{}", examples(program.examples)));
    }
    command
}

/// The command lines alone: some connectors write the heading themselves.
fn examples(text: &'static str) -> &'static str {
    text.strip_prefix("Examples:\n").unwrap_or(text).trim_end()
}

/// What stands for a setting's value in the help: its unit if the name tells one, else its sort.
fn placeholder(setting: &Setting) -> &'static str {
    let is_time = setting.name.ends_with("_seconds") || setting.name.ends_with("_delay");
    match &setting.shape {
        Shape::Integer | Shape::Number if is_time => "SECONDS",
        Shape::Integer | Shape::Number => "N",
        Shape::Word(_) => "WORD",
        Shape::DateTime => "TIME",
        Shape::Text if setting.name.ends_with("path") || setting.name.ends_with("_file") => "PATH",
        Shape::Text if setting.name.ends_with("url") => "URL",
        Shape::Text => "TEXT",
        _ => "VALUE",
    }
}

fn tap_flags() -> Vec<Arg> {
    vec![
        switch("discover")
            .short('d')
            .help("Print the catalog of all streams (with --select: of those, selected)"),
        path("catalog", "FILE")
            .short('p')
            .alias("properties")
            .help("Catalog with the selected streams and fields (old name: --properties)"),
        path("state", "FILE")
            .short('s')
            .help("State of the last run; the last whole line of the file counts"),
        Arg::new("select")
            .long("select")
            .value_name("GLOB")
            .action(ArgAction::Append)
            .help("Sync the streams that match, no catalog needed; may be repeated. `*` and `?` match as in a shell, against `tap_stream_id`, `schema.table` and the stream's name"),
        Arg::new("jobs")
            .long("jobs")
            .value_name("N")
            .default_value("1")
            .value_parser(value_parser!(u8).range(1..))
            .help("Streams read side by side"),
        switch("check").help("Prove connection, credentials and permissions; read no data"),
        Arg::new("test")
            .long("test")
            .value_name("WHAT")
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("records")
            .value_parser(PossibleValuesParser::new(["records", "schema"]))
            .help("Write one record of each stream and no state; --test=schema: the SCHEMA messages alone"),
    ]
}

fn map_flags() -> Vec<Arg> {
    vec![
        path("input", "FILE").help("Read messages from a file instead of stdin"),
        named("test")
            .value_name("JSON")
            .conflicts_with_all(["sample", "input"])
            .help("Show what becomes of this record, or of this RECORD message, and read nothing"),
        named("sample")
            .value_name("N")
            .value_parser(value_parser!(u64).range(1..))
            .help("Show what becomes of the first N records that the config is about, and stop"),
        switch("check").help("Prove that the config can be used; read nothing"),
    ]
}

fn target_flags() -> Vec<Arg> {
    vec![
        path("input", "FILE")
            .help("Read messages, or a rejects file to replay, from a file instead of stdin"),
        path("state_file", "FILE")
            .help("Also store each printed STATE in this file, the last 10 versions beside it"),
        switch("dry_run")
            .help("Read and check the whole input, show what would be written, write nothing"),
        switch("check").help("Prove connection, credentials and permissions; write nothing"),
    ]
}

fn common_flags() -> Vec<Arg> {
    vec![
        switch("about").help("Describe this program and its settings"),
        words("format", &["text", "json", "markdown"], "Form of --about"),
        words("log_format", &["text", "json"], "Form of the log on stderr"),
        words(
            "progress",
            &["auto", "plain", "never"],
            "Progress: live on a terminal, else a line every 10 seconds; plain lines; none",
        ),
        Arg::new("verbose")
            .short('v')
            .long("verbose")
            .action(ArgAction::Count)
            .help("More log (-vv: all)"),
        switch("quiet").short('q').help("Warnings and errors only"),
    ]
}

fn switch(name: &'static str) -> Arg {
    named(name).action(ArgAction::SetTrue)
}

fn path(name: &'static str, value: &'static str) -> Arg {
    named(name)
        .value_name(value)
        .value_parser(value_parser!(PathBuf))
}

fn words(name: &'static str, words: &'static [&'static str], help: &'static str) -> Arg {
    named(name)
        .value_name("FORM")
        .value_parser(PossibleValuesParser::new(words))
        .help(help)
}

fn named(name: &'static str) -> Arg {
    Arg::new(name).long(name.replace('_', "-")).alias(name)
}

/// clap's message in the form of all our errors: what is wrong first, advice as hints.
fn usage_error(program: &Program, error: &clap::Error) -> Error {
    let text = error.render().to_string();
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let message = lines.next().unwrap_or("wrong usage");
    let message = message.strip_prefix("error: ").unwrap_or(message);
    let mut converted = Error::config(message);
    for line in lines {
        if let Some(tip) = line.strip_prefix("tip: ") {
            converted = converted.with_hint(tip);
        } else if line.starts_with("[possible values:") {
            converted = converted.with_hint(line.trim_matches(['[', ']']));
        }
    }
    converted.with_hint(format!("`{} --help` shows all options", program.name))
}

#[cfg(test)]
mod tests {
    use singer_core::Kind;

    use super::*;
    use crate::setting::Settings;

    #[derive(serde::Deserialize)]
    struct Config {}

    impl Settings for Config {
        fn settings() -> Vec<Setting> {
            vec![
                Setting::integer("batch_records").flag(),
                Setting::number("request_delay").flag(),
                Setting::switch("full"),
            ]
        }
    }

    fn parse_line(role: Role, line: &str) -> Result<Request> {
        let examples = match role {
            Role::Tap => "Examples:\n  x-y -c c.json\n",
            Role::Map | Role::Target => "  x-y -c c.json",
        };
        let program = Program::new::<Config>(role, "x-y", "Does x.", "1.2.3", examples);
        parse(&program, line.split(' ').map(OsString::from))
    }

    fn run(role: Role, line: &str) -> Invocation {
        match parse_line(role, line).unwrap() {
            Request::Run(invocation) => *invocation,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_flags_of_old_taps_work_in_any_mix() {
        let parsed = run(
            Role::Tap,
            "x-y -c a.json --config ENV -p catalog.json --state s.json -d --select a* --select b",
        );
        assert_eq!(parsed.mode, Mode::Discover);
        assert_eq!(
            parsed.config,
            [Source::File("a.json".into()), Source::Environment]
        );
        assert_eq!(parsed.tap.catalog, Some("catalog.json".into()));
        assert_eq!(parsed.tap.select, ["a*", "b"]);
        let parsed = run(Role::Tap, "x-y --properties catalog.json");
        assert_eq!(parsed.tap.catalog, Some("catalog.json".into()));
        assert_eq!(parsed.tap.jobs, 1);
        assert_eq!(run(Role::Tap, "x-y --test").mode, Mode::OneRecord);
        assert_eq!(run(Role::Tap, "x-y --test=schema").mode, Mode::SchemasOnly);
    }

    #[test]
    fn flags_of_settings_work_with_hyphens_and_underscores() {
        for line in [
            "x-y --batch_records 7 --full",
            "x-y --batch-records=7 --full",
        ] {
            let parsed = run(Role::Target, line);
            assert_eq!(parsed.flags, [("batch_records".to_owned(), "7".to_owned())]);
            assert_eq!(parsed.switches, ["full"]);
        }
        let parsed = run(Role::Target, "x-y --state_file s.json --dry-run");
        assert_eq!(parsed.target.state_file, Some("s.json".into()));
        assert!(parsed.target.dry_run);
    }

    #[test]
    fn a_map_runs_or_shows() {
        let parsed = run(Role::Map, "x-y --input i.jsonl --batch-records 7");
        assert_eq!(parsed.mode, Mode::Run);
        assert_eq!(parsed.map.input, Some("i.jsonl".into()));
        assert_eq!(parsed.map.show, None);
        let parsed = run(Role::Map, "x-y --test {}");
        assert_eq!(parsed.map.show, Some(Show::Test("{}".to_owned())));
        let parsed = run(Role::Map, "x-y --sample 3");
        assert_eq!(parsed.map.show, Some(Show::Sample(3)));
        assert_eq!(run(Role::Map, "x-y --check").mode, Mode::Check);
        assert!(parse_line(Role::Map, "x-y --sample 0").is_err());
        assert!(parse_line(Role::Map, "x-y --test {} --sample 1").is_err());
    }

    #[test]
    fn wrong_usage_says_what_and_hints() {
        let error = parse_line(Role::Tap, "x-y --statee s.json").unwrap_err();
        assert_eq!(error.kind(), Kind::Config);
        assert_eq!(error.message(), "unexpected argument '--statee' found");
        assert_eq!(
            error.hints(),
            [
                "a similar argument exists: '--state'",
                "`x-y --help` shows all options"
            ]
        );
    }

    #[test]
    fn help_ends_with_examples_under_one_heading() {
        for role in [Role::Tap, Role::Map, Role::Target] {
            let Ok(Request::Print(help)) = parse_line(role, "x-y --help") else {
                panic!("help is printed");
            };
            assert!(help.contains("--batch-records <N>"));
            assert!(help.contains("--request-delay <SECONDS>"));
            assert!(help.trim_end().ends_with("\n\nExamples:\n  x-y -c c.json"));
        }
    }
}
