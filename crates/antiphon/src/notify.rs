//! Alarms: which conditions stand, who is told, once for each change.
//!
//! [`conditions`] judges a run, [`status`] knows what stands and who has heard of it, [`notice`] says it, and each
//! kind of notifier has a file of its own. Nothing in here changes how a run ended: what goes wrong is logged
//! and stays to be told after the next run. Replays of rejects, runs that a person ended and dry runs change
//! nothing.

mod command;
mod conditions;
mod email;
mod memory;
mod notice;
mod sns;
mod status;
mod text;
mod webhook;
mod words;

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use futures_util::future::join_all;
use singer_core::{Error, Kind, Result};
use singer_runtime::{exit, stdio};

use crate::history::{self, Brief, Index, Summary};
use crate::session::Session;
use crate::spec::{self, Channel, Notifier, Pipeline};
use memory::Memory;
use notice::{Notice, Place};
use status::{Alarms, Status};

/// Looks at a run that was recorded and tells whoever is to know. It never fails: what goes wrong is
/// logged, and kept for the next run. Bounded in time by each notifier's timeout, and by what [`Memory`] allows
/// the store.
pub(crate) async fn after(session: &Session, pipeline: &Pipeline, summary: &Summary) {
    let memory = Memory::new(session, &pipeline.name);
    look(session, pipeline, summary, &memory).await;
}

async fn look(session: &Session, pipeline: &Pipeline, summary: &Summary, memory: &Memory<'_>) {
    let notifiers: Vec<&Notifier> = pipeline
        .notify
        .iter()
        .filter_map(|name| session.project.notifiers.get(name))
        .collect();
    let run = Brief::from(summary);
    if notifiers.is_empty() || !conditions::counts(&run) {
        return;
    }
    let index = memory.index().await;
    let before = match memory.load().await {
        Ok(alarms) => alarms,
        Err(error) => {
            memory.warn("nobody knows who was told of what", error);
            // Better told again than never; but a good run must not forget what stands.
            if run.outcome.is_good() {
                return;
            }
            None
        }
    };
    let mut alarms = before.clone();
    let alarms = advance(&mut alarms, &notifiers, index.as_ref(), &run);
    // What is due is stored before it is told: see `status`.
    if before.as_ref() != Some(&*alarms) {
        memory.save(alarms).await;
    }
    let index = index.unwrap_or_default();
    let told = tell(session, summary, &notifiers, &index, alarms, memory).await;
    if !told.is_empty() {
        settle(memory, alarms, &told).await;
    }
}

/// Tells of a run that did not come about: the store is out of reach, the lease cannot be had. It counts as a
/// failed run, though no history has it.
pub(crate) async fn no_run(
    session: &Session,
    pipeline: &Pipeline,
    run: &str,
    kind: history::Kind,
    error: &Error,
) {
    if error.kind() == Kind::Interrupted {
        return;
    }
    let mut causes = Vec::new();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        causes.push(inner.to_string());
        cause = inner.source();
    }
    let summary = Summary {
        run: run.to_owned(),
        pipeline: pipeline.name.clone(),
        kind,
        select: Vec::new(),
        host: history::host(&session.project.store.work),
        started_at: now(session),
        duration_seconds: 0.0,
        outcome: history::Outcome::Failed,
        exit_code: match error.kind() {
            Kind::Config => exit::USAGE,
            Kind::Transient | Kind::RateLimited => exit::LATER,
            _ => exit::FAILED,
        },
        attempts: 0,
        fault: Some(history::Fault {
            stage: "antiphon".to_owned(),
            ended: "no run took place".to_owned(),
            message: error.message().to_owned(),
            causes,
            hints: error.hints().to_vec(),
        }),
        warnings: Vec::new(),
        stages: Vec::new(),
        streams: BTreeMap::new(),
        rejects: 0,
        state_before: None,
        state_after: None,
    };
    let memory = match error.kind() {
        Kind::Transient | Kind::RateLimited => Memory::without_store(session, &pipeline.name),
        _ => Memory::new(session, &pipeline.name),
    };
    look(session, pipeline, &summary, &memory).await;
}

/// Moves the status of each notifier on by the runs that were not looked at yet, and forgets notifiers that
/// are none of this pipeline any more.
fn advance<'a>(
    alarms: &'a mut Option<Alarms>,
    notifiers: &[&Notifier],
    index: Option<&Index>,
    run: &Brief,
) -> &'a mut Alarms {
    let mut history: Vec<Brief> = index.map_or_else(Vec::new, |index| index.runs.clone());
    if history.iter().all(|other| other.run != run.run) {
        history.push(run.clone());
    }
    // Before the first notice nothing was missed, and where nothing could be read nobody knows.
    let is_new = alarms.is_none();
    let alarms = alarms.get_or_insert_with(Alarms::default);
    if is_new || alarms.is_blind {
        let earlier = history.iter().filter(|other| other.run != run.run);
        alarms.seen.extend(earlier.map(|other| other.run.clone()));
    }
    alarms.is_blind = index.is_none() && (is_new || alarms.is_blind);
    for notifier in notifiers {
        let status = alarms.notifiers.entry(notifier.name.clone()).or_default();
        for (at, unseen) in history.iter().enumerate() {
            if alarms.seen.contains(&unseen.run) || !conditions::counts(unseen) {
                continue;
            }
            let findings = conditions::judge(
                unseen,
                history.get(..at).unwrap_or_default(),
                &status.conditions(),
                &notifier.thresholds,
            );
            status.advance(unseen, findings);
        }
    }
    if index.is_some() {
        alarms.seen.clear();
    }
    alarms
        .seen
        .extend(history.into_iter().map(|other| other.run));
    let names: BTreeSet<&str> = notifiers.iter().map(|one| one.name.as_str()).collect();
    alarms
        .notifiers
        .retain(|name, _| names.contains(name.as_str()));
    alarms
}

/// Tells everybody what is due, side by side; gives the names of those who were told.
async fn tell(
    session: &Session,
    summary: &Summary,
    notifiers: &[&Notifier],
    index: &Index,
    alarms: &Alarms,
    memory: &Memory<'_>,
) -> BTreeSet<String> {
    let due: Vec<(&Notifier, &Status)> = notifiers
        .iter()
        .filter_map(|notifier| Some((*notifier, alarms.notifiers.get(&notifier.name)?)))
        .filter(|(_, status)| status.due().is_some())
        .collect();
    if due.is_empty() {
        return BTreeSet::new();
    }
    let log = memory.log(&summary.run).await;
    let last_good = index
        .runs
        .iter()
        .rev()
        .chain(&index.last_good)
        .find(|other| {
            other.outcome.is_good() && conditions::counts(other) && other.run != summary.run
        });
    let place = place(session);
    let sent = due.into_iter().map(async |(notifier, status)| {
        let event = status.due()?;
        let notice = Notice::new(event, status, summary, last_good, &log, &place);
        match deliver(session, notifier, &notice).await {
            Ok(()) => {
                tracing::info!(
                    pipeline = summary.pipeline,
                    notifier = notifier.name,
                    event = event.word(),
                    "notice sent"
                );
                Some(notifier.name.clone())
            }
            Err(error) => {
                let error = anyhow::Error::new(error);
                tracing::warn!(
                    pipeline = summary.pipeline,
                    notifier = notifier.name,
                    event = event.word(),
                    error = exit::summary_line(&error),
                    "cannot send a notice; the next run tries again"
                );
                None
            }
        }
    });
    join_all(sent).await.into_iter().flatten().collect()
}

/// Notes who was told, unless a later run has looked at the status in the meantime.
async fn settle(memory: &Memory<'_>, ours: &Alarms, told: &BTreeSet<String>) {
    let mut alarms = match memory.load().await {
        Ok(alarms) => alarms.unwrap_or_else(|| ours.clone()),
        Err(error) => {
            memory.warn("what was told may be told again", error);
            return;
        }
    };
    for name in told {
        let run = ours.notifiers.get(name).map(|status| &status.run);
        if let Some(status) = alarms.notifiers.get_mut(name)
            && Some(&status.run) == run
        {
            status.settle();
        }
    }
    memory.save(&alarms).await;
}

/// Sends a notice by its channel within the notifier's timeout.
async fn deliver(session: &Session, notifier: &Notifier, notice: &Notice) -> Result<()> {
    let send = async {
        match &notifier.channel {
            Channel::Sns { .. } => sns::send(session, notifier, notice).await,
            Channel::Webhook { .. } => webhook::send(session, notifier, notice).await,
            Channel::Email { .. } => email::send(session, notifier, notice).await,
            Channel::Command { .. } => command::send(session, notifier, notice).await,
        }
    };
    match tokio::time::timeout(notifier.timeout, send).await {
        Ok(sent) => sent,
        Err(_) => Err(Error::transient(format!(
            "the notifier `{}` did not take the notice within {}",
            notifier.name,
            words::duration(notifier.timeout.as_secs_f64())
        ))
        .with_hint("`timeout` of the notifier says how long it may take")),
    }
}

fn place(session: &Session) -> Place {
    let file = &session.project.file;
    let is_usual = file.file_name().is_some_and(|name| name == spec::FILE);
    Place {
        host: history::host(&session.project.store.work),
        project: file.display().to_string(),
        file_argument: (!is_usual).then(|| file.display().to_string()),
        at: now(session),
    }
}

fn now(session: &Session) -> DateTime<Utc> {
    session.clock().now()
}

const EXAMPLES: &str = "Example:
  antiphon notify test ops                     sends a notice by `[notify.ops]` that says it is a test";

/// The arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Send a notice that says that it is a test
    Test {
        /// The notifier: `ops` of `[notify.ops]`
        #[arg(value_name = "NAME")]
        name: String,
    },
}

/// `antiphon notify`: exit code 75 if the notice may pass later, 1 if it does not.
pub(crate) async fn run(session: Session, arguments: Arguments) -> anyhow::Result<u8> {
    let Action::Test { name } = arguments.action;
    let Some(notifier) = session.project.notifiers.get(&name) else {
        return Err(unknown(&session, &name).into());
    };
    let start = std::time::Instant::now();
    let notice = Notice::test(&name, &place(&session));
    if let Err(error) = deliver(&session, notifier, &notice).await {
        let code = match error.kind() {
            Kind::Transient | Kind::RateLimited => exit::LATER,
            _ => exit::FAILED,
        };
        let error = anyhow::Error::new(error).context(format!("cannot send a notice to `{name}`"));
        exit::report(session.context.binary(), &error);
        return Ok(code);
    }
    let took = words::duration(start.elapsed().as_secs_f64());
    let line = format!(
        "a test notice went to `{name}` ({}) in {took}\n",
        way(notifier)
    );
    stdio::print(line.as_bytes())?;
    Ok(exit::DONE)
}

fn unknown(session: &Session, name: &str) -> Error {
    let known: Vec<&str> = session
        .project
        .notifiers
        .keys()
        .map(String::as_str)
        .collect();
    let error = Error::config(format!("there is no notifier `{name}`"));
    match singer_core::nearest::nearest(name, known.iter().copied()) {
        Some(near) => error.with_hint(format!("did you mean `{near}`?")),
        None if known.is_empty() => {
            error.with_hint(format!("a table `[notify.{name}]` would make it one"))
        }
        None => error.with_hint(format!("there are: {}", known.join(", "))),
    }
}

/// The channel in a word or two, without secrets.
fn way(notifier: &Notifier) -> String {
    match &notifier.channel {
        Channel::Sns { topic_arn, .. } => topic_arn.clone(),
        Channel::Webhook { .. } => "webhook".to_owned(),
        Channel::Email { to, .. } => to.join(", "),
        Channel::Command { .. } => "command".to_owned(),
    }
}

#[cfg(test)]
mod tests;
