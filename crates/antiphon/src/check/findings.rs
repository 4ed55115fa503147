//! What is wrong with an input: each kind of finding once, with its first line and how often it came.

use std::collections::HashMap;

use serde::Serialize;

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Level {
    /// Targets refuse it, or lose something.
    Error,
    /// Some targets refuse it, or something is odd. `--strict` makes it an error.
    Warning,
    /// Worth to know, and no fault.
    Note,
}

impl Level {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

/// One kind of finding.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Finding {
    pub(super) level: Level,
    /// The first line that has it; 0 for the input as a whole.
    pub(super) line: u64,
    pub(super) stream: Option<String>,
    /// Names of properties, never values.
    pub(super) message: String,
    pub(super) count: u64,
}

/// So many kinds are told apart; what comes beyond is only counted.
const MOST_KINDS: usize = 1000;

/// All findings of an input.
#[derive(Debug, Default)]
pub(super) struct Findings {
    kinds: Vec<Finding>,
    places: HashMap<(Option<String>, String), usize>,
    /// Findings of each level, those beyond [`MOST_KINDS`] too.
    totals: [u64; 3],
    beyond: u64,
    strictness: Strictness,
}

/// Whether warnings are errors.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum Strictness {
    #[default]
    Usual,
    Strict,
}

impl Findings {
    pub(super) fn new(strictness: Strictness) -> Self {
        Self {
            strictness,
            ..Self::default()
        }
    }

    /// The level that a finding has here.
    pub(super) fn level(&self, level: Level) -> Level {
        match (self.strictness, level) {
            (Strictness::Strict, Level::Warning) => Level::Error,
            (_, level) => level,
        }
    }

    pub(super) fn add(&mut self, level: Level, line: u64, stream: Option<&str>, message: String) {
        let level = self.level(level);
        self.totals[level as usize] += 1;
        let key = (stream.map(str::to_owned), message);
        if let Some(place) = self.places.get(&key) {
            self.kinds[*place].count += 1;
            return;
        }
        if self.kinds.len() == MOST_KINDS {
            self.beyond += 1;
            return;
        }
        self.kinds.push(Finding {
            level,
            line,
            stream: key.0.clone(),
            message: key.1.clone(),
            count: 1,
        });
        self.places.insert(key, self.kinds.len() - 1);
    }

    /// How many findings there are of a level.
    pub(super) fn total(&self, level: Level) -> u64 {
        self.totals[level as usize]
    }

    /// How many were only counted.
    pub(super) fn beyond(&self) -> u64 {
        self.beyond
    }

    /// The kinds, the worst first, then by line.
    pub(super) fn sorted(&self) -> Vec<&Finding> {
        let mut kinds: Vec<&Finding> = self.kinds.iter().collect();
        kinds.sort_by_key(|finding| (finding.level, finding.line));
        kinds
    }
}
