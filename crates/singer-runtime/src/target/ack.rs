//! Which STATE is safe: the ledger of what is read and not yet durable.
//!
//! Records are numbered as they are read. Everything that must become durable, a batch or the
//! activation of a version, is entered with the number of its first record, and taken out once it is
//! confirmed. A STATE is safe when nothing that is entered has a number below its own position; what
//! failed is never taken out, and so no later STATE is ever safe.

use std::collections::{BTreeSet, VecDeque};

/// The ledger of one run.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    unconfirmed: BTreeSet<u64>,
    /// STATE values with the number of records before them, oldest first.
    states: VecDeque<(u64, Box<str>)>,
    /// The value that was handed out last.
    newest: Option<Box<str>>,
}

impl Ledger {
    /// Enters what starts with this number. No two entries have the same.
    pub(crate) fn enter(&mut self, first: u64) {
        let is_new = self.unconfirmed.insert(first);
        debug_assert!(is_new, "a number is entered once");
    }

    /// Takes out what started with this number: it is durable.
    pub(crate) fn confirm(&mut self, first: u64) {
        let was_there = self.unconfirmed.remove(&first);
        debug_assert!(was_there, "only what was entered is confirmed");
    }

    /// Notes a STATE before which `position` numbers were given. An empty one is no state.
    pub(crate) fn state(&mut self, position: u64, value: &str) {
        if is_empty(value) {
            return;
        }
        // With nothing open between the two, the older would become safe only when the newer does.
        if let Some((earlier, _)) = self.states.back()
            && self.unconfirmed.range(*earlier..position).next().is_none()
        {
            self.states.pop_back();
        }
        self.states.push_back((position, value.into()));
    }

    /// Takes the newest safe STATE with its position, unless it equals the one that was taken before.
    pub(crate) fn take_safe(&mut self) -> Option<(u64, Box<str>)> {
        let mut safe = None;
        while self.front_is_safe() {
            safe = self.states.pop_front();
        }
        let (position, value) = safe?;
        if self.newest.as_ref() == Some(&value) {
            return None;
        }
        self.newest = Some(value.clone());
        Some((position, value))
    }

    /// Whether [`Ledger::take_safe`] has anything to look at.
    pub(crate) fn has_safe(&self) -> bool {
        self.front_is_safe()
    }

    fn front_is_safe(&self) -> bool {
        self.states.front().is_some_and(|(position, _)| {
            self.unconfirmed
                .first()
                .is_none_or(|first| first >= position)
        })
    }
}

/// Whether a STATE value says nothing: `null`, `{}`, with any white space.
fn is_empty(value: &str) -> bool {
    let mut rest = value.bytes().filter(|byte| !byte.is_ascii_whitespace());
    let text = [rest.next(), rest.next(), rest.next()];
    value.trim() == "null" || text == [Some(b'{'), Some(b'}'), None]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn taken(ledger: &mut Ledger) -> Option<Box<str>> {
        ledger.take_safe().map(|(_, state)| state)
    }

    #[test]
    fn a_state_waits_for_every_record_before_it() {
        let mut ledger = Ledger::default();
        ledger.enter(0);
        ledger.enter(1);
        ledger.state(2, "{\"a\": 1}");
        ledger.confirm(1);
        assert_eq!(taken(&mut ledger), None);
        assert!(!ledger.has_safe());
        ledger.confirm(0);
        assert!(ledger.has_safe());
        assert_eq!(taken(&mut ledger).as_deref(), Some("{\"a\": 1}"));
        assert!(!ledger.has_safe());
    }

    #[test]
    fn the_newest_safe_state_supersedes_older_ones() {
        let mut ledger = Ledger::default();
        for number in 0..3 {
            ledger.enter(number);
            ledger.state(number + 1, &format!("{{\"n\":{number}}}"));
        }
        ledger.confirm(0);
        ledger.confirm(1);
        assert_eq!(taken(&mut ledger).as_deref(), Some("{\"n\":1}"));
    }

    #[test]
    fn empty_states_are_none_and_equal_ones_are_not_repeated() {
        let mut ledger = Ledger::default();
        for value in ["{}", "null", " { } ", "\tnull "] {
            ledger.state(0, value);
        }
        assert_eq!(taken(&mut ledger), None);
        ledger.state(0, "{\"a\":{}}");
        assert!(taken(&mut ledger).is_some());
        ledger.state(0, "{\"a\":{}}");
        assert_eq!(taken(&mut ledger), None);
    }

    #[test]
    fn states_with_nothing_between_them_take_no_room() {
        let mut ledger = Ledger::default();
        ledger.enter(0);
        for position in 1..1000 {
            ledger.state(position, &format!("{{\"n\":{position}}}"));
        }
        assert_eq!(ledger.states.len(), 1);
        ledger.confirm(0);
        assert_eq!(taken(&mut ledger).as_deref(), Some("{\"n\":999}"));
    }

    /// What the model keeps: for each record whether it is durable, for each state its position.
    #[derive(Default)]
    struct Model {
        durable: Vec<bool>,
        states: Vec<usize>,
        printed: Option<usize>,
    }

    impl Model {
        fn take_safe(&mut self) -> Option<usize> {
            let newest = self
                .states
                .iter()
                .rposition(|position| self.durable[..*position].iter().all(|durable| *durable))?;
            if self.printed.is_some_and(|printed| printed >= newest) {
                return None;
            }
            self.printed = Some(newest);
            Some(newest)
        }
    }

    proptest! {
        /// Records go round the streams into batches of up to three; batches are confirmed, or fail
        /// for good, in any order; whatever happens, the ledger hands out what the model would.
        #[test]
        fn the_ledger_agrees_with_a_model_that_remembers_every_record(
            steps in prop::collection::vec((0u8..5, any::<prop::sample::Index>()), 1..120)
        ) {
            let mut ledger = Ledger::default();
            let mut model = Model::default();
            let mut open: Vec<Vec<usize>> = vec![Vec::new(); 3];
            let mut sealed: Vec<Vec<usize>> = Vec::new();
            for (step, index) in steps {
                match step {
                    0 | 1 => {
                        let stream = index.index(open.len());
                        let number = model.durable.len();
                        model.durable.push(false);
                        if open[stream].is_empty() {
                            ledger.enter(number as u64);
                        }
                        open[stream].push(number);
                        if open[stream].len() == 3 {
                            sealed.push(std::mem::take(&mut open[stream]));
                        }
                    }
                    2 => {
                        ledger.state(model.durable.len() as u64, &format!("{}", model.states.len()));
                        model.states.push(model.durable.len());
                    }
                    3 if !sealed.is_empty() => {
                        let batch = sealed.swap_remove(index.index(sealed.len()));
                        ledger.confirm(batch[0] as u64);
                        for number in batch {
                            model.durable[number] = true;
                        }
                    }
                    4 if index.index(10) == 0 && !sealed.is_empty() => {
                        sealed.pop();
                    }
                    _ => {}
                }
                prop_assert_eq!(
                    taken(&mut ledger).as_deref().map(str::to_owned),
                    model.take_safe().map(|state| state.to_string())
                );
            }
        }
    }
}
