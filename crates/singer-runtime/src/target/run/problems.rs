//! What stands against writing: collected for all streams before the first write.

use singer_core::{Error, Kind};

use super::{Run, Stage, Target};
use crate::exit;
use crate::target::Problem;

impl<T: Target> Run<T> {
    /// Whether batches may be written. The first time it is asked with every writer there, it is the
    /// moment before the first write: if anything stands against any stream, nothing is written.
    pub(super) fn may_write(&mut self) -> bool {
        if self.stage == Stage::Writing {
            return true;
        }
        if self.lanes.iter().any(|lane| lane.awaits_writer()) {
            return false;
        }
        if let Some(error) = self.problems() {
            self.stop_with(error);
            return false;
        }
        self.stage = Stage::Writing;
        true
    }

    /// A writer could not be opened. Before the first write, what is wrong with the config or the
    /// schema of one stream is told together with what is wrong with the others.
    pub(super) fn open_failed(&mut self, slot: usize, error: anyhow::Error) {
        let lane = &mut self.lanes[slot];
        if self.stage == Stage::Writing || exit::kind(&error) != Kind::Config {
            return self.fail(slot, error);
        }
        let explained = exit::explain(&error);
        lane.plan.problems.push(Problem {
            kind: "config",
            message: exit::summary_line(&error),
            hint: explained.hints.into_iter().next(),
        });
        lane.handle.fail();
        if self.shared.context.dry_run() {
            lane.failure = Some(error);
        }
    }

    /// After the first write, what stands against a stream fails this stream alone.
    pub(super) fn judge_plan(&mut self, slot: usize) {
        let lane = &self.lanes[slot];
        if self.stage == Stage::Planning || lane.plan.problems.is_empty() {
            return;
        }
        let name = lane.handle.name();
        let mut error =
            Error::rejected(format!("cannot write stream `{name}` under its new schema"));
        for hint in lane
            .plan
            .problems
            .iter()
            .filter_map(|problem| problem.hint.clone())
        {
            error = error.with_hint(hint);
        }
        if let Some(cause) = chain(Kind::Rejected, lane.problems()) {
            error = error.with_source(cause);
        }
        self.fail(slot, error.into());
    }

    /// If a stream will get no writer, nothing is gained by reading on until somebody wants to write.
    pub(super) fn judge_plans(&mut self) {
        let is_hopeless =
            |lane: &super::Lane<T::Writer>| lane.writer.is_none() && !lane.plan.problems.is_empty();
        if self.stage == Stage::Planning
            && !self.shared.context.dry_run()
            && self.lanes.iter().any(is_hopeless)
            && !self.lanes.iter().any(|lane| lane.awaits_writer())
            && let Some(error) = self.problems()
        {
            self.stop_with(error);
        }
    }

    /// Everything that stands against any stream, as one error.
    pub(super) fn problems(&self) -> Option<anyhow::Error> {
        let lines: Vec<String> = self.lanes.iter().flat_map(|lane| lane.problems()).collect();
        let streams = self
            .lanes
            .iter()
            .filter(|lane| !lane.plan.problems.is_empty())
            .count();
        let cause = chain(Kind::Config, lines.into_iter())?;
        let mut error = Error::config(match streams {
            1 => "nothing was written: a stream cannot be written".to_owned(),
            _ => format!("nothing was written: {streams} streams cannot be written"),
        });
        let mut hints: Vec<&str> = Vec::new();
        for problem in self.lanes.iter().flat_map(|lane| &lane.plan.problems) {
            if let Some(hint) = &problem.hint
                && !hints.contains(&hint.as_str())
            {
                hints.push(hint);
                error = error.with_hint(hint.clone());
            }
        }
        Some(error.with_source(cause).into())
    }
}

/// Lines as a chain of causes, the first outermost, so that each is told on a line of its own.
fn chain(kind: Kind, lines: impl DoubleEndedIterator<Item = String>) -> Option<Error> {
    lines.rev().fold(None, |inner, line| {
        let error = Error::new(kind, line);
        Some(match inner {
            Some(inner) => error.with_source(inner),
            None => error,
        })
    })
}
