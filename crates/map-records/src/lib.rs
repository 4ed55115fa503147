//! A stage of a Singer pipe that filters and changes records as its config says, stream by stream.
//!
//! A filter in jq first, then fields are left out and renamed. The SCHEMA follows; STATE and everything that
//! nothing is said about pass byte for byte. Lines, order, threads, rejects and signals are the runtime's.

use std::sync::Arc;
use std::time::{Duration, Instant};

use singer_core::{Error, Result};
use singer_runtime::clock::Clock;
use singer_runtime::context::Context;
use singer_runtime::map::{Failure, Map, Opened, Options, Outputs, SchemaMessage};

use config::Config;
use filter::Watch;
use plan::{Plan, Planned};
use rule::Rule;

mod apply;
mod check;
mod config;
mod filter;
mod plan;
mod rule;

/// Threads where the machine does not say how many processors it has.
const JOBS: usize = 2;

/// The map.
#[derive(Debug)]
pub struct MapRecords {
    rules: Vec<(String, Arc<Rule>)>,
    options: Options,
    clock: Clock,
}

/// A stream under one SCHEMA.
#[derive(Debug)]
pub struct Stream {
    name: String,
    plan: Plan,
}

impl Map for MapRecords {
    const NAME: &'static str = "map-records";
    const DESCRIPTION: &'static str =
        "Changes the records of a Singer pipe: filters in jq, fields renamed and left out.";
    const EXAMPLES: &'static str = "\
  tap-crm -c crm.json --catalog catalog.json | map-records -c map.json | target-bigquery -c bigquery.json
  map-records -c map.json --test '{\"id\": 1, \"email\": \"A@X.ORG\"}'    what becomes of one record
  tap-crm -c crm.json --select Leads | map-records -c map.json --sample 5    of the first five";
    type Config = Config;
    type Stream = Stream;
    type Worker = Watch;

    fn new(config: Config, context: &Context) -> anyhow::Result<Self> {
        let rules = config
            .stream_configs()?
            .into_iter()
            .map(|(name, stream)| {
                let rule = Rule::new(&name, stream, config.on_error)?;
                Ok((name, Arc::new(rule)))
            })
            .collect::<anyhow::Result<_>>()?;
        let processors = std::thread::available_parallelism().map_or(JOBS, usize::from);
        Ok(Self {
            rules,
            options: Options {
                jobs: config.jobs.unwrap_or(processors.min(64)),
                rejects_path: config.rejects_path.into(),
                record_time_limit: Duration::from_secs_f64(config.record_timeout_seconds),
            },
            clock: context.clock().clone(),
        })
    }

    fn options(&self) -> Options {
        self.options.clone()
    }

    fn check(&self) -> anyhow::Result<String> {
        let filters = self.rules.iter().filter(|(_, rule)| rule.filter.is_some());
        Ok(format!(
            "the config can be used: streams={} filters={}",
            self.rules.len(),
            filters.count()
        ))
    }

    fn changes(&self, stream: &str) -> bool {
        config::find(&self.rules, stream).is_some()
    }

    fn streams(&self) -> Vec<String> {
        self.rules.iter().map(|(name, _)| name.clone()).collect()
    }

    fn open(&self, stream: &str, message: SchemaMessage<'_>) -> Result<Opened<Self>> {
        let rule = config::find(&self.rules, stream)
            .ok_or_else(|| Error::internal(format!("stream `{stream}` is not changed")))?;
        let Planned {
            plan,
            schema,
            key_properties,
            bookmark_properties,
        } = Plan::of(rule, stream, message)
            .map_err(|error| error.at(format_args!("stream `{stream}`")))?;
        let name = stream.to_owned();
        Ok(Opened {
            stream: Stream { name, plan },
            schema,
            key_properties,
            bookmark_properties,
        })
    }

    fn worker(&self) -> Watch {
        Watch::new(self.clock.clone(), self.options.record_time_limit)
    }

    fn apply(
        watch: &mut Watch,
        stream: &Stream,
        record: &str,
        started: Instant,
        out: &mut Outputs<'_>,
    ) -> Result<(), Failure> {
        apply::record(&stream.plan, &stream.name, watch, record, started, out)
    }
}

#[cfg(test)]
mod tests;
