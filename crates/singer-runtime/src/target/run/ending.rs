//! The end of a run: writers closed, what is left on disk, and the verdict.

use std::sync::Arc;

use singer_core::{Error, Kind};

use super::{End, Run, Stage, Target, Writer};
use crate::blocking::blocking;
use crate::exit::{self, Ended};
use crate::monitor::Status;

/// How a run ended.
pub(crate) struct Report {
    pub(crate) result: anyhow::Result<Ended>,
    /// Whether every line of the input is durable, at the destination or in the rejects file.
    pub(crate) is_complete: bool,
    pub(crate) status: Status,
}

impl<T: Target> Run<T> {
    /// Closes everything and judges the run. Nothing is in flight any more.
    pub(super) async fn finish(mut self) -> Report {
        if !self.is_stopped {
            self.close_writers().await;
        }
        let shared = Arc::clone(&self.shared);
        if let Err(error) = blocking(move || shared.rejects().sync()).await {
            self.stop_with(error.into());
        }
        if let Err(error) = self.target.close().await {
            self.stop_with(error);
        }
        if self.shared.context.dry_run() {
            self.print_previews();
        }
        self.end_streams();
        let is_whole = !self.is_stopped && matches!(self.end, Some(End::Input));
        let is_complete = is_whole && self.lanes.iter().all(|lane| lane.failure.is_none());
        let result = self.verdict();
        let status = match &result {
            Ok(_) => Status::Succeeded,
            Err(error) if exit::kind(error) == Kind::Interrupted => Status::Interrupted,
            Err(_) => Status::Failed,
        };
        Report {
            is_complete: is_complete && result.is_ok(),
            result,
            status,
        }
    }

    /// Tells every writer that nothing more comes. One that fails fails its stream.
    async fn close_writers(&mut self) {
        let mut closing = tokio::task::JoinSet::new();
        for (slot, lane) in self.lanes.iter_mut().enumerate() {
            if let Some(writer) = lane.writer.take()
                && lane.failure.is_none()
                && self.stage == Stage::Writing
            {
                closing.spawn(async move { (slot, writer.close().await) });
            }
        }
        while let Some(closed) = closing.join_next().await {
            match closed {
                Ok((_, Ok(()))) => {}
                Ok((slot, Err(error))) => self.fail(slot, error),
                Err(error) => self.stop_with(
                    Error::internal("a defect in the connector: it panicked")
                        .with_source(error)
                        .into(),
                ),
            }
        }
    }

    fn end_streams(&self) {
        let was_cut = self.is_stopped || !matches!(self.end, Some(End::Input));
        for lane in &self.lanes {
            let status = if lane.failure.is_some() || !lane.plan.problems.is_empty() {
                Status::Failed
            } else if was_cut {
                Status::Interrupted
            } else {
                Status::Succeeded
            };
            lane.handle.counters.end(status);
        }
    }

    /// The run's result: what stopped it, what cut it short, which streams failed, what was rejected.
    fn verdict(mut self) -> anyhow::Result<Ended> {
        if let Some(error) = self.fatal.take() {
            return Err(error);
        }
        if self.shared.context.stop().is_by_signal() {
            return Err(Error::interrupted().into());
        }
        if let Some(End::Failed(error)) = self.end.take() {
            return Err(error.into());
        }
        if self.stage == Stage::Planning
            && let Some(error) = self.problems()
        {
            return Err(error);
        }
        self.failed_streams()?;
        if self.shared.context.dry_run() {
            return Ok(Ended::Done);
        }
        self.shared.check_rejects_at_end()?;
        if self.shared.rejected.get() > 0 {
            return Ok(Ended::WithRejects);
        }
        Ok(Ended::Done)
    }

    /// The failures of streams as one error: worth another try only if all of them are.
    fn failed_streams(&mut self) -> anyhow::Result<()> {
        let names: Vec<String> = self
            .lanes
            .iter()
            .filter(|lane| lane.failure.is_some())
            .map(|lane| format!("`{}`", lane.handle.name()))
            .collect();
        let mut failures = self.lanes.iter_mut().filter_map(|lane| lane.failure.take());
        let Some(first) = failures.next() else {
            return Ok(());
        };
        let passes = |error: &anyhow::Error| {
            matches!(exit::kind(error), Kind::Transient | Kind::RateLimited)
        };
        let kind = if passes(&first) && failures.all(|error| passes(&error)) {
            exit::kind(&first)
        } else if passes(&first) {
            Kind::Rejected
        } else {
            exit::kind(&first)
        };
        let message = match names.as_slice() {
            [one] => format!("stream {one} failed"),
            many => format!("streams {} failed", many.join(", ")),
        };
        Err(first.context(Error::new(kind, message)))
    }
}
