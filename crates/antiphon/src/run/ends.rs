//! How the stages of an attempt ended, and which of them is to blame. Pure: no process in here.
//!
//! When one stage of a pipe fails, its neighbours fail too. To blame is the first that failed of its own
//! accord:
//!
//! | what happened | to blame |
//! |---|---|
//! | a stage exits with a code, or is killed by a signal that this runner did not send | that stage |
//! | the target, or a tap or mapper of ours, exits with 3 | nobody: done, with rejects |
//! | the tap has lost its reader (SIGPIPE, or it says so, or a shell around it does by 141), and a stage behind it failed | the stage behind it |
//! | the tap has lost its reader, and the stage behind it ended well before it, or stopped reading | the stage behind it: it ended before its input did |
//! | the tap says "broken pipe", but whoever reads it lived on and ended well | the tap: it means another pipe |
//! | a stage exits with 0 while the stage before it still had its output open | that stage: it ended before its input did, even if the stage before it did not mind |
//! | a stage exits with 0 after the stage before it closed its output and lived on | nobody |
//! | the tap fails, the target gets the end of its input, and fails too (a cut line) | the tap: it was first |
//! | the tap and the target end in the same instant, both of their own accord | the one further ahead in the pipe |
//! | a stage ends after this runner sent it a signal | not that stage |

use nix::sys::signal::Signal;
use singer_runtime::exit;

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    Code(i32),
    Signal(i32),
}

impl How {
    pub(super) fn of(status: std::process::ExitStatus) -> Self {
        use std::os::unix::process::ExitStatusExt as _;
        match (status.code(), status.signal()) {
            (Some(code), _) => Self::Code(code),
            (None, signal) => Self::Signal(signal.unwrap_or_default()),
        }
    }

    /// For people: `exit code 1`, `killed by SIGKILL`.
    pub(super) fn words(self) -> String {
        match self {
            Self::Code(code) => format!("exit code {code}"),
            Self::Signal(number) => match Signal::try_from(number) {
                Ok(signal) => format!("killed by {signal}"),
                Err(_) => format!("killed by signal {number}"),
            },
        }
    }
}

/// The end of one stage.
#[derive(Debug, Clone, Copy)]
pub(super) struct End {
    pub(super) how: How,
    /// The place in the order of ends; equal for those that were seen to end at once.
    pub(super) rank: usize,
    /// This runner had sent it a signal.
    pub(super) asked: bool,
    /// It says itself that its reader has gone.
    pub(super) says_broken_pipe: bool,
    /// The stage before it still had its output open.
    pub(super) left_early: bool,
    /// Exit code 3 is success with rejects: this is the target, or a program of ours.
    pub(super) may_reject: bool,
}

/// Why a stage is to blame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// It failed.
    Failed,
    /// It ended well, but before its input did.
    EndedEarly,
}

/// The stage to blame, by its place in the pipe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Blame {
    pub(super) stage: usize,
    pub(super) why: Why,
}

impl End {
    fn is_good(&self) -> bool {
        match self.how {
            How::Code(code) => code == 0 || (self.may_reject && code == i32::from(exit::REJECTS)),
            How::Signal(_) => false,
        }
    }

    fn is_broken_pipe(&self) -> bool {
        let killed = self.how == How::Signal(Signal::SIGPIPE as i32);
        killed || self.is_shell_of_one() || (!self.is_good() && self.says_broken_pipe)
    }

    /// A shell tells so that its last command has lost its reader, which may have been another one.
    fn is_shell_of_one(&self) -> bool {
        self.how == How::Code(128 + Signal::SIGPIPE as i32)
    }

    /// It failed, nobody asked it to, and it does not look like a symptom.
    fn failed_alone(&self) -> bool {
        !self.asked && !self.is_good() && !self.is_broken_pipe()
    }

    fn ended_early(&self) -> bool {
        !self.asked && self.is_good() && self.left_early
    }
}

/// Finds the stage to blame; `ends` are those of the stages in the order of the pipe.
pub(super) fn blame(ends: &[End]) -> Option<Blame> {
    let candidate = |stage: usize| {
        let end = &ends[stage];
        let why = if end.failed_alone() {
            Why::Failed
        } else if end.ended_early() {
            Why::EndedEarly
        } else {
            return None;
        };
        Some((end.rank, Blame { stage, why }))
    };
    let alone = (0..ends.len()).filter_map(candidate);
    // The first in time; of equals the first in the pipe.
    if let Some((_, blame)) = alone.min_by_key(|(rank, blame)| (*rank, blame.stage)) {
        return Some(blame);
    }
    // Only symptoms are left. Whoever lost its reader names the stage behind it, the last such one first.
    let stage = (0..ends.len())
        .rev()
        .find(|stage| !ends[*stage].asked && ends[*stage].is_broken_pipe())?;
    let own = Blame {
        stage,
        why: Why::Failed,
    };
    let Some(reader) = ends.get(stage + 1) else {
        return Some(own);
    };
    if reader.asked {
        return None;
    }
    let killed = matches!(ends[stage].how, How::Signal(_));
    let at_once = ends[stage].is_shell_of_one() && reader.rank == ends[stage].rank;
    if killed || at_once || reader.rank < ends[stage].rank {
        return Some(Blame {
            stage: stage + 1,
            why: Why::EndedEarly,
        });
    }
    Some(own)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIGPIPE: How = How::Signal(Signal::SIGPIPE as i32);
    const SIGTERM: How = How::Signal(Signal::SIGTERM as i32);
    const SIGKILL: How = How::Signal(Signal::SIGKILL as i32);

    fn end(rank: usize, how: How) -> End {
        End {
            how,
            rank,
            asked: false,
            says_broken_pipe: false,
            left_early: false,
            may_reject: false,
        }
    }

    fn code(rank: usize, code: i32) -> End {
        end(rank, How::Code(code))
    }

    fn target(rank: usize, how: How) -> End {
        End {
            may_reject: true,
            ..end(rank, how)
        }
    }

    fn broken(rank: usize) -> End {
        End {
            says_broken_pipe: true,
            ..code(rank, 1)
        }
    }

    fn early(end: End) -> End {
        End {
            left_early: true,
            ..end
        }
    }

    fn asked(end: End) -> End {
        End { asked: true, ..end }
    }

    fn failed(stage: usize) -> Option<Blame> {
        Some(Blame {
            stage,
            why: Why::Failed,
        })
    }

    fn ended_early(stage: usize) -> Option<Blame> {
        Some(Blame {
            stage,
            why: Why::EndedEarly,
        })
    }

    #[test]
    fn the_table_of_blame_holds() {
        let ok = How::Code(0);
        let cases: Vec<(&str, Vec<End>, Option<Blame>)> = vec![
            ("all well", vec![code(0, 0), target(1, ok)], None),
            ("rejects", vec![code(0, 0), target(1, How::Code(3))], None),
            (
                "rejects of a tap of ours",
                vec![target(0, How::Code(3)), target(1, How::Code(0))],
                None,
            ),
            ("3 of a tap", vec![code(0, 3), target(1, ok)], failed(0)),
            ("the tap fails", vec![code(0, 1), target(1, ok)], failed(0)),
            (
                "both, the tap first",
                vec![code(0, 1), target(1, How::Code(1))],
                failed(0),
            ),
            (
                "both, the target first",
                vec![code(1, 1), target(0, How::Code(1))],
                failed(1),
            ),
            (
                "both at once",
                vec![code(0, 1), target(0, How::Code(1))],
                failed(0),
            ),
            (
                "the target fails, the tap gets SIGPIPE",
                vec![end(1, SIGPIPE), target(0, How::Code(1))],
                failed(1),
            ),
            (
                "the same, seen in the wrong order",
                vec![end(0, SIGPIPE), target(1, How::Code(1))],
                failed(1),
            ),
            (
                "the target fails, the tap says so",
                vec![broken(1), target(0, How::Code(75))],
                failed(1),
            ),
            (
                "the target is killed, a shell says that the tap got SIGPIPE, at once",
                vec![code(0, 141), target(0, SIGKILL)],
                failed(1),
            ),
            (
                "the target leaves, a shell says so, at once",
                vec![code(0, 141), target(0, ok)],
                ended_early(1),
            ),
            (
                "a shell means a pipe of its own",
                vec![code(0, 141), target(1, ok)],
                failed(0),
            ),
            (
                "the target leaves, the tap gets SIGPIPE",
                vec![end(1, SIGPIPE), early(target(0, ok))],
                ended_early(1),
            ),
            (
                "the target leaves, the tap does not mind",
                vec![code(1, 0), early(target(0, ok))],
                ended_early(1),
            ),
            (
                "the target stops reading and lives on",
                vec![end(0, SIGPIPE), target(1, ok)],
                ended_early(1),
            ),
            (
                "the tap means another pipe",
                vec![broken(0), target(1, ok)],
                failed(0),
            ),
            (
                "the tap closes its output and lives on",
                vec![code(1, 0), target(0, ok)],
                None,
            ),
            (
                "the same, and it fails then",
                vec![code(1, 1), target(0, ok)],
                failed(0),
            ),
            (
                "a cascade through a map",
                vec![end(2, SIGPIPE), broken(1), target(0, SIGKILL)],
                failed(2),
            ),
            (
                "a map fails",
                vec![end(1, SIGPIPE), code(0, 1), target(2, How::Code(1))],
                failed(1),
            ),
            (
                "a map leaves early",
                vec![end(1, SIGPIPE), early(code(0, 0)), target(1, ok)],
                ended_early(1),
            ),
            (
                "killed from outside",
                vec![end(0, SIGKILL), target(1, ok)],
                failed(0),
            ),
            (
                "all were asked to end",
                vec![asked(end(0, SIGTERM)), asked(target(1, How::Code(143)))],
                None,
            ),
            (
                "the target fails, the tap is asked to end",
                vec![asked(end(1, SIGTERM)), target(0, How::Code(1))],
                failed(1),
            ),
            (
                "the target is asked to end, the tap gets SIGPIPE",
                vec![end(1, SIGPIPE), asked(target(0, SIGTERM))],
                None,
            ),
            ("alone", vec![target(0, How::Code(2))], failed(0)),
            (
                "alone, without a reader",
                vec![target(0, SIGPIPE)],
                failed(0),
            ),
        ];
        for (name, ends, expected) in cases {
            assert_eq!(blame(&ends), expected, "{name}");
        }
    }

    #[test]
    fn ends_have_words() {
        assert_eq!(How::Code(75).words(), "exit code 75");
        assert_eq!(SIGKILL.words(), "killed by SIGKILL");
    }
}
