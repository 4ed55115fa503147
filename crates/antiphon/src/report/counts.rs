//! From what each stage counts to what is known of each stream.

use std::collections::{BTreeMap, BTreeSet};

use singer_runtime::report::{Report, Stream};

use super::Heard;
use crate::history::Counts;

/// What the stages of one role have counted, by the name that a stream has in messages.
type Counted = BTreeMap<String, Stream>;

/// Joins what the stages say. The streams are those that the reports name; where there is no report,
/// those of the metric lines.
pub(super) fn join(stages: &BTreeMap<String, Heard>) -> BTreeMap<String, Counts> {
    let (tap, tally, target) = (
        of_role(stages, "tap"),
        of_role(stages, "tally"),
        of_role(stages, "target"),
    );
    let tap_metrics = metrics(stages, "tap");
    let target_metrics = metrics(stages, "target");
    let mut names: BTreeSet<&String> = [&tap, &tally, &target]
        .into_iter()
        .flat_map(BTreeMap::keys)
        .collect();
    if names.is_empty() {
        let said_by = if tap_metrics.is_empty() {
            &target_metrics
        } else {
            &tap_metrics
        };
        names.extend(said_by.keys());
    }
    let counts_of = |name: &String| {
        let (tap, tally, target) = (tap.get(name), tally.get(name), target.get(name));
        let passed = |stream: &Stream| stream.records;
        let read = [
            find(&tap_metrics, name),
            tally.map(passed),
            target.map(passed),
        ];
        let of_target = |count: fn(&Stream) -> u64| target.map(count);
        let writers = [tap, tally, target];
        Counts {
            records: tap
                .map(passed)
                // A metric line may come late, and files of a BATCH are counted by their reader alone.
                .or(read.into_iter().flatten().max())
                .or(find(&target_metrics, name)),
            sent: of_target(|stream| stream.sent),
            unchanged: of_target(|stream| stream.unchanged),
            missing: of_target(|stream| stream.missing),
            rejected: of_target(|stream| stream.rejected),
            cleared: of_target(|stream| stream.cleared),
            retried: of_target(|stream| stream.retried),
            bytes: writers
                .into_iter()
                .flatten()
                .map(|stream| stream.bytes)
                .next(),
            schema: writers
                .into_iter()
                .flatten()
                .find_map(|stream| stream.schema.clone()),
        }
    };
    names
        .iter()
        .map(|name| ((*name).clone(), counts_of(name)))
        .collect()
}

/// The sum of all runs of the stages of a role.
fn of_role(stages: &BTreeMap<String, Heard>, role: &str) -> Counted {
    let mut counted = Counted::new();
    // Ids of runs sort by time, so that the newest schema is the last.
    for report in stages.values().flat_map(|heard| heard.reports.values()) {
        if report.role == role {
            for (name, stream) in of_report(report) {
                add(counted.entry(name).or_default(), stream);
            }
        }
    }
    counted
}

/// The streams of a report by their names in messages; several tables may go into one.
fn of_report(report: &Report) -> Counted {
    let mut counted = Counted::new();
    for (id, stream) in &report.streams {
        let name = if stream.stream.is_empty() {
            id
        } else {
            &stream.stream
        };
        let sum = counted.entry(name.clone()).or_default();
        let schemas: BTreeSet<&str> = [&sum.schema, &stream.schema]
            .into_iter()
            .flatten()
            .flat_map(|schema| schema.split('+'))
            .collect();
        let schemas: Vec<&str> = schemas.into_iter().collect();
        let schema = (!schemas.is_empty()).then(|| schemas.join("+"));
        add(sum, stream.clone());
        sum.schema = schema;
    }
    counted
}

fn add(sum: &mut Stream, more: Stream) {
    sum.records += more.records;
    sum.sent += more.sent;
    sum.unchanged += more.unchanged;
    sum.missing += more.missing;
    sum.rejected += more.rejected;
    sum.cleared += more.cleared;
    sum.retried += more.retried;
    sum.bytes += more.bytes;
    sum.schema = more.schema.or(sum.schema.take());
}

/// The counters of the stages whose label begins so and that keep no report.
fn metrics(stages: &BTreeMap<String, Heard>, label: &str) -> BTreeMap<String, u64> {
    let mut sums = BTreeMap::new();
    for (name, heard) in stages {
        if name.starts_with(label) && heard.reports.is_empty() {
            for (stream, count) in &heard.metrics {
                *sums.entry(stream.clone()).or_default() += count;
            }
        }
    }
    sums
}

/// What metric lines say of a stream: by its name, or by the only one that is the same name with the
/// names of a schema or a database before it.
fn find(metrics: &BTreeMap<String, u64>, name: &str) -> Option<u64> {
    if let Some(count) = metrics.get(name) {
        return Some(*count);
    }
    let mut same = metrics
        .iter()
        .filter(|(other, _)| ends_with_name(other, name) || ends_with_name(name, other));
    match (same.next(), same.next()) {
        (Some((_, count)), None) => Some(*count),
        _ => None,
    }
}

fn ends_with_name(long: &str, short: &str) -> bool {
    long.strip_suffix(short)
        .is_some_and(|before| before.ends_with(['.', '-', '/', ':']))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(role: &str, run: &str, streams: &[(&str, &str, u64, &str)]) -> Report {
        let stream = |(id, name, records, schema): &(&str, &str, u64, &str)| {
            let stream = Stream {
                stream: (*name).to_owned(),
                records: *records,
                sent: *records,
                bytes: 100 * records,
                schema: (!schema.is_empty()).then(|| (*schema).to_owned()),
                ..Stream::default()
            };
            ((*id).to_owned(), stream)
        };
        Report {
            role: role.to_owned(),
            run_id: run.to_owned(),
            streams: streams.iter().map(stream).collect(),
            ..Report::default()
        }
    }

    fn stages(
        reports: &[(&str, Report)],
        metrics: &[(&str, &str, u64)],
    ) -> BTreeMap<String, Heard> {
        let mut stages: BTreeMap<String, Heard> = BTreeMap::new();
        for (label, report) in reports {
            let heard = stages.entry((*label).to_owned()).or_default();
            heard.reports.insert(report.run_id.clone(), report.clone());
        }
        for (label, stream, count) in metrics {
            let heard = stages.entry((*label).to_owned()).or_default();
            heard.metrics.insert((*stream).to_owned(), *count);
        }
        stages
    }

    #[test]
    fn a_tap_and_a_target_of_ours_meet_by_the_name_in_messages() {
        let counts = join(&stages(
            &[
                (
                    "tap",
                    report("tap", "1", &[("dev.public.account", "account", 10, "t")]),
                ),
                (
                    "target",
                    report("target", "1", &[("account", "account", 9, "u")]),
                ),
            ],
            &[("tap", "dev.public.account", 10), ("target", "account", 9)],
        ));
        assert_eq!(counts.len(), 1);
        let account = &counts["account"];
        assert_eq!((account.records, account.sent), (Some(10), Some(9)));
        assert_eq!(
            (account.bytes, account.schema.as_deref()),
            (Some(1000), Some("t"))
        );
    }

    #[test]
    fn attempts_add_up_and_the_newest_schema_counts() {
        let mut all = stages(
            &[
                ("tap", report("tap", "1", &[("a", "a", 10, "old")])),
                ("tap", report("tap", "2", &[("a", "a", 5, "new")])),
            ],
            &[],
        );
        assert_eq!(join(&all)["a"].records, Some(15));
        assert_eq!(join(&all)["a"].schema.as_deref(), Some("new"));
        // Nobody says what a foreign target sent.
        assert_eq!(join(&all)["a"].sent, None);
        all.clear();
        assert!(join(&all).is_empty());
    }

    #[test]
    fn tables_that_go_into_one_stream_are_one_stream() {
        let counts = join(&stages(
            &[(
                "tap",
                report(
                    "tap",
                    "1",
                    &[("d.x.a", "a", 1, "2"), ("d.y.a", "a", 2, "1")],
                ),
            )],
            &[],
        ));
        assert_eq!(counts["a"].records, Some(3));
        assert_eq!(counts["a"].schema.as_deref(), Some("1+2"));
    }

    #[test]
    fn metric_lines_of_a_foreign_tap_fill_in_what_our_target_reports() {
        let target = (
            "target",
            report("target", "1", &[("account", "account", 7, "")]),
        );
        let counts = join(&stages(
            std::slice::from_ref(&target),
            &[("tap", "public-account", 10), ("tap", "child", 3)],
        ));
        assert_eq!(counts.len(), 1);
        assert_eq!(counts["account"].records, Some(10));
        // Two may be meant: none is taken.
        let counts = join(&stages(
            &[target],
            &[("tap", "x.account", 10), ("tap", "y.account", 20)],
        ));
        assert_eq!(counts["account"].records, Some(7));
    }

    #[test]
    fn two_foreign_stages_are_known_by_their_metric_lines_or_by_the_tally() {
        let metrics = [("tap", "a", 10), ("target", "a", 9), ("map", "b", 1)];
        let counts = join(&stages(&[], &metrics));
        assert_eq!(counts.len(), 1);
        assert_eq!((counts["a"].records, counts["a"].sent), (Some(10), None));
        let tally = report("tally", "1", &[("a", "a", 12, "s"), ("c", "c", 1, "")]);
        let counts = join(&stages(&[("tally", tally)], &metrics));
        assert_eq!(counts.len(), 2);
        assert_eq!(counts["a"].records, Some(12));
        assert_eq!(counts["a"].schema.as_deref(), Some("s"));
    }
}
