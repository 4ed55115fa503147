//! What was seen lately, in bounded memory: the older half is forgotten at once when the newer is full.

use std::collections::HashMap;
use std::mem;

/// A map that forgets.
#[derive(Debug)]
pub(super) struct Recent<V> {
    newer: HashMap<Box<str>, V>,
    older: HashMap<Box<str>, V>,
    most: usize,
}

impl<V> Recent<V> {
    /// An empty map that remembers the last `most` keys at least.
    pub(super) fn new(most: usize) -> Self {
        Self {
            newer: HashMap::new(),
            older: HashMap::new(),
            most,
        }
    }

    /// The value of a key, if it is remembered.
    pub(super) fn get(&self, key: &str) -> Option<&V> {
        self.newer.get(key).or_else(|| self.older.get(key))
    }

    /// Sets the value of a key; returns what it was.
    pub(super) fn insert(&mut self, key: &str, value: V) -> Option<V> {
        if let Some(known) = self.newer.get_mut(key) {
            return Some(mem::replace(known, value));
        }
        let before = self.older.remove(key);
        if self.newer.len() >= self.most {
            self.older = mem::take(&mut self.newer);
        }
        self.newer.insert(key.into(), value);
        before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_keys_are_remembered_and_old_ones_are_not() {
        let mut recent = Recent::new(2);
        for (key, value) in [("a", 1), ("b", 2), ("c", 3)] {
            assert_eq!(recent.insert(key, value), None);
        }
        assert_eq!(recent.insert("b", 4), Some(2));
        assert_eq!(recent.insert("d", 5), None);
        assert_eq!(recent.get("a"), None);
        assert_eq!(
            (recent.get("b"), recent.get("c"), recent.get("d")),
            (Some(&4), Some(&3), Some(&5))
        );
    }
}
