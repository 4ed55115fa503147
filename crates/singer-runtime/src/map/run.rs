//! A run of a map: the threads, what feeds them, and what writes their results.

use std::io::{Read, Write};
use std::path::Path;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex};

use singer_core::{Error, Kind, Result};
use tokio::sync::mpsc;

use super::Map;
use super::feed::Feed;
use super::order::Order;
use super::work::{Pulse, Work, Worker};
use crate::context::Context;
use crate::exit::{self, Ended};
use crate::monitor::{Monitor, Progress, Status};
use crate::program::Role;
use crate::rejects::Rejects;
use crate::stdio::Pipe;
use crate::target::read::Blocks;

/// The stack of a thread that changes records, for maps that run what a person wrote: addresses, not memory.
const STACK_BYTES: usize = 256 << 20;

/// A run, beside the map itself.
pub(super) struct Job {
    pub(super) input: Box<dyn Read + Send>,
    pub(super) out: Box<dyn Write + Send>,
    pub(super) progress: Progress,
}

impl Job {
    /// Runs to the end.
    pub(super) async fn run<M: Map>(self, map: Arc<M>, context: Context) -> anyhow::Result<Ended> {
        let options = map.options();
        let monitor = Arc::new(Monitor::start(
            M::NAME,
            Role::Map,
            &context,
            self.progress,
            std::path::absolute(&options.rejects_path).ok(),
        ));
        // Enough that no thread waits while another one is at a slow piece, and a bound on the memory.
        let ahead = options.jobs * 3;
        let (work, pieces) = sync_channel::<Work<M>>(ahead + 2);
        let (turns, mut order_of_turns) = mpsc::channel(ahead);
        let pulses = start_workers(&map, options.jobs, pieces)?;
        let blocks = Blocks::start(self.input)?;
        let feed = Feed::new(map, context.clone(), Arc::clone(&monitor), work, turns);
        let feeding = tokio::spawn(feed.run(blocks));
        let (pipe, end) = Pipe::open(self.out)?;
        let rejects_path = options.rejects_path.clone();
        let mut order = Order {
            pipe,
            monitor,
            rejects: Arc::new(Rejects::new(
                options.rejects_path,
                context.run_id(),
                context.clock().clone(),
            )),
            pulses,
            record_time_limit: options.record_time_limit,
            rejected: 0,
            passed: 0,
        };
        let mut result = order.run(&mut order_of_turns).await;
        // Whoever feeds may wait for room or for input: nobody wants either any more.
        feeding.abort();
        drop(feeding.await);
        drop(order_of_turns);
        let Order {
            pipe,
            monitor,
            rejected,
            passed,
            ..
        } = order;
        drop(pipe);
        let written = end.finish().await;
        if result.is_ok() {
            result = written.map_err(Into::into);
        }
        if result.is_ok() && context.stop().requested() {
            result = Err(Error::interrupted().into());
        }
        say_what_was_refused(rejected, passed, &rejects_path);
        finish(monitor, &result).await;
        result.map(|()| match rejected {
            0 => Ended::Done,
            _ => Ended::WithRejects,
        })
    }
}

fn start_workers<M: Map>(
    map: &Arc<M>,
    jobs: usize,
    pieces: std::sync::mpsc::Receiver<Work<M>>,
) -> Result<Vec<Arc<Pulse>>> {
    let pieces = Arc::new(Mutex::new(pieces));
    (0..jobs)
        .map(|_| {
            let pulse = Arc::new(Pulse::new());
            let (map, pieces, beat) = (Arc::clone(map), Arc::clone(&pieces), Arc::clone(&pulse));
            std::thread::Builder::new()
                .name("map".to_owned())
                .stack_size(STACK_BYTES)
                .spawn(move || Worker::new(map, beat).run(&pieces))
                .map_err(|error| Error::internal("cannot start a thread").with_source(error))?;
            Ok(pulse)
        })
        .collect()
}

fn say_what_was_refused(rejected: u64, passed: u64, path: &Path) {
    if rejected > 0 {
        tracing::warn!(records = rejected, file = %path.display(), "records were rejected");
    }
    if passed > 0 {
        tracing::warn!(
            records = passed,
            "records passed although they could not be changed"
        );
    }
}

async fn finish(monitor: Arc<Monitor>, result: &anyhow::Result<()>) {
    let status = match result {
        Ok(()) => Status::Succeeded,
        Err(error) if exit::kind(error) == Kind::Interrupted => Status::Interrupted,
        Err(_) => Status::Failed,
    };
    // Whoever else had it has ended by now.
    if let Some(monitor) = Arc::into_inner(monitor) {
        monitor.finish(status).await;
    }
}
