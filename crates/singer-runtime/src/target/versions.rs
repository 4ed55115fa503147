//! ACTIVATE_VERSION: when it takes effect.
//!
//! Some taps send it after the records of the version, some before them, some both. It acts once
//! records of its version came before it; one that comes before any is remembered until its second
//! message or the end of the input. The end of the input says little, as a tap that died ends it too:
//! there it acts only if a STATE came after the stream's last record, which a tap that finished the
//! stream writes. A version without records acts only if the config allows it, and one that lost
//! records to the rejects file does not act at all: rows that the destination never saw would be taken
//! for deleted.

use super::options::EmptyVersions;

/// The versions of one stream.
#[derive(Debug)]
pub(crate) struct Versions {
    current: Option<Current>,
    remembered: Option<i64>,
    empty: EmptyVersions,
}

/// The version of the records that came last.
#[derive(Debug, Clone, Copy)]
struct Current {
    version: i64,
    rows: u64,
    refused: u64,
    /// The number of its last record in the input.
    last: u64,
    /// Rows that there were when it took effect.
    activated: Option<u64>,
}

/// What a message, or the end of the input, leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Nothing now.
    Nothing,
    /// The version takes effect once its records are durable.
    Activate { version: i64, rows: u64 },
    /// It does not take effect, since it has no records.
    Empty { version: i64 },
    /// It does not take effect, since no STATE came after its last record: the tap may have died.
    Unfinished,
    /// It does not take effect, since so many of its records were refused.
    Incomplete {
        version: i64,
        rows: u64,
        refused: u64,
    },
}

impl Versions {
    pub(crate) fn new(empty: EmptyVersions) -> Self {
        Self {
            current: None,
            remembered: None,
            empty,
        }
    }

    /// A record of this version was taken; `number` is its place in the input.
    pub(crate) fn record(&mut self, version: i64, number: u64) {
        let current = self.current(version);
        current.rows += 1;
        current.last = number;
    }

    /// A record of this version was refused before it reached the destination.
    pub(crate) fn refused(&mut self, version: i64) {
        self.current(version).refused += 1;
    }

    /// An ACTIVATE_VERSION message came.
    pub(crate) fn message(&mut self, version: i64) -> Decision {
        let has_records = self
            .current
            .is_some_and(|current| current.version == version);
        if !has_records && self.remembered != Some(version) {
            self.remembered = Some(version);
            return Decision::Nothing;
        }
        self.remembered = None;
        self.activate(version)
    }

    /// The input ended; so many records came before its last STATE.
    pub(crate) fn end(&mut self, records_before_state: u64) -> Decision {
        let Some(version) = self.remembered.take() else {
            return Decision::Nothing;
        };
        match self.current {
            Some(current) if current.version == version && current.last >= records_before_state => {
                Decision::Unfinished
            }
            _ => self.activate(version),
        }
    }

    /// Whether records came whose version did not take effect.
    pub(crate) fn is_unactivated(&self) -> bool {
        self.current
            .is_some_and(|current| current.activated.is_none())
    }

    /// The input ended, and the records had no version but one that was given to them here: that
    /// version and its records, if a STATE came after the last one.
    pub(crate) fn end_implied(&mut self, records_before_state: u64) -> Option<(i64, u64)> {
        let current = self.current.as_ref()?;
        (current.last < records_before_state).then_some((current.version, current.rows))
    }

    fn activate(&mut self, version: i64) -> Decision {
        let Some(current) = self.current.as_mut().filter(|it| it.version == version) else {
            return match self.empty {
                EmptyVersions::Activated => Decision::Activate { version, rows: 0 },
                EmptyVersions::Ignored => Decision::Empty { version },
            };
        };
        if current.refused > 0 {
            return Decision::Incomplete {
                version,
                rows: current.rows,
                refused: current.refused,
            };
        }
        if current.activated == Some(current.rows) {
            return Decision::Nothing;
        }
        current.activated = Some(current.rows);
        Decision::Activate {
            version,
            rows: current.rows,
        }
    }

    fn current(&mut self, version: i64) -> &mut Current {
        let new = Current {
            version,
            rows: 0,
            refused: 0,
            last: 0,
            activated: None,
        };
        let current = self.current.get_or_insert(new);
        if current.version != version {
            *current = new;
        }
        current
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACTIVATE: Decision = Decision::Activate {
        version: 7,
        rows: 2,
    };

    fn versions() -> Versions {
        Versions::new(EmptyVersions::Ignored)
    }

    fn two_records(versions: &mut Versions) {
        versions.record(7, 0);
        versions.record(7, 1);
    }

    #[test]
    fn a_message_after_its_records_acts_at_once_and_once() {
        let mut versions = versions();
        two_records(&mut versions);
        assert_eq!(versions.message(7), ACTIVATE);
        assert_eq!(versions.message(7), Decision::Nothing);
        assert_eq!(versions.end(2), Decision::Nothing);
    }

    #[test]
    fn a_message_before_its_records_acts_at_the_end() {
        let mut versions = versions();
        assert_eq!(versions.message(7), Decision::Nothing);
        two_records(&mut versions);
        assert_eq!(versions.end(2), ACTIVATE);
    }

    #[test]
    fn an_end_without_a_state_after_the_last_record_may_be_a_death() {
        let mut versions = versions();
        assert_eq!(versions.message(7), Decision::Nothing);
        two_records(&mut versions);
        assert_eq!(versions.end(1), Decision::Unfinished);
    }

    #[test]
    fn a_message_before_its_records_acts_at_the_second_message() {
        let mut versions = versions();
        assert_eq!(versions.message(7), Decision::Nothing);
        two_records(&mut versions);
        assert_eq!(versions.message(7), ACTIVATE);
        assert_eq!(versions.end(2), Decision::Nothing);
    }

    #[test]
    fn a_version_without_records_acts_only_if_allowed() {
        let mut ignored = versions();
        ignored.record(6, 0);
        assert_eq!(ignored.message(7), Decision::Nothing);
        assert_eq!(ignored.end(1), Decision::Empty { version: 7 });
        let mut allowed = Versions::new(EmptyVersions::Activated);
        assert_eq!(allowed.message(7), Decision::Nothing);
        let activate = Decision::Activate {
            version: 7,
            rows: 0,
        };
        assert_eq!(allowed.message(7), activate);
        assert_eq!(allowed.message(7), Decision::Nothing);
        assert_eq!(allowed.end(0), activate);
    }

    #[test]
    fn a_version_that_lost_records_does_not_act() {
        let mut versions = versions();
        two_records(&mut versions);
        versions.refused(7);
        assert_eq!(
            versions.message(7),
            Decision::Incomplete {
                version: 7,
                rows: 2,
                refused: 1
            }
        );
        versions.record(8, 2);
        assert_eq!(
            versions.message(8),
            Decision::Activate {
                version: 8,
                rows: 1
            }
        );
    }
}
