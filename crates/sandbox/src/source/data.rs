//! The believable data of a made-up SaaS product: which rows there are and what they hold. Every
//! row follows from the seed and its index alone, so that two runs hold the same data and any
//! part of the sandbox can name the ids without asking the database. Loading is not done here.

mod account;
mod chat;
mod copy_row;
mod other;
mod random;
mod visitor;
mod words;

pub(crate) use account::{ACCOUNT_COLUMNS, write_account};
pub use chat::ChatPlan;
pub(crate) use chat::{
    CONTACT_COLUMNS, FLOW_COLUMNS, ID_GAP, MESSAGE_COLUMNS, ORGANIZATION_COLUMNS, write_contact,
    write_flow, write_message, write_organization,
};
pub(crate) use copy_row::CopyRow;
pub(crate) use other::{
    AUDIT_EVENT_COLUMNS, INVOICE_COLUMNS, invoices_of, write_audit_event, write_invoice,
};
pub(crate) use random::Random;
pub(crate) use visitor::{VISITOR_COLUMNS, write_visitor};

/// Visitors per account.
const VISITORS_PER_ACCOUNT: u64 = 5;
/// One row of so many is unknown to Pendo: somebody who was sold a seat but never signed in.
const UNKNOWN_EVERY: u64 = 50;
/// Seconds since 1970 of 2025-06-30T00:00:00Z. Nothing is newer when the tables are loaded, so
/// that every later change has a greater `updated_at`.
const NEWEST_SECONDS: i64 = 1_751_241_600;
const DAY_SECONDS: i64 = 86_400;

/// What a set of data is made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataPlan {
    /// Decides about every value.
    pub seed: u64,
    /// How many visitors there are; everything else is in proportion.
    pub visitors: u64,
}

impl Default for DataPlan {
    fn default() -> Self {
        Self {
            seed: 1,
            visitors: 100_000,
        }
    }
}

/// A kind of row that Pendo knows too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Table `account`; ids are UUIDs.
    Account,
    /// Table `visitor`; ids look like e-mail addresses.
    Visitor,
}

impl Kind {
    /// Name of the table, of the stream and of Pendo's kind.
    pub fn name(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::Visitor => "visitor",
        }
    }
}

impl DataPlan {
    /// How many rows of a kind are loaded at the start.
    pub fn rows(&self, kind: Kind) -> u64 {
        match kind {
            Kind::Account => (self.visitors / VISITORS_PER_ACCOUNT).max(1),
            Kind::Visitor => self.visitors,
        }
    }

    /// The id of one row; indexes past [`DataPlan::rows`] belong to rows that changes insert.
    pub fn id(&self, kind: Kind, index: u64) -> String {
        match kind {
            Kind::Account => account::id(self.seed, index),
            Kind::Visitor => visitor::id(self.seed, index),
        }
    }

    /// Whether Pendo knows the row: every fiftieth is unknown, and so is what changes insert.
    pub fn is_known_to_pendo(&self, kind: Kind, index: u64) -> bool {
        index < self.rows(kind) && index % UNKNOWN_EVERY != UNKNOWN_EVERY - 1
    }

    /// The ids that Pendo is to know before the first sync.
    pub fn known_ids(self, kind: Kind) -> impl Iterator<Item = String> {
        (0..self.rows(kind))
            .filter(move |index| self.is_known_to_pendo(kind, *index))
            .map(move |index| self.id(kind, index))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn ids_are_unique_and_the_same_every_time() {
        let plan = DataPlan {
            seed: 7,
            visitors: 20_000,
        };
        for kind in [Kind::Account, Kind::Visitor] {
            let ids: HashSet<String> = (0..plan.rows(kind))
                .map(|index| plan.id(kind, index))
                .collect();
            assert_eq!(ids.len() as u64, plan.rows(kind));
            assert!(ids.contains(&plan.id(kind, 5)));
        }
        assert_eq!(plan.id(Kind::Account, 0).len(), 36);
    }

    #[test]
    fn one_row_in_fifty_is_unknown_to_pendo() {
        let plan = DataPlan {
            seed: 7,
            visitors: 10_000,
        };
        assert_eq!(plan.known_ids(Kind::Visitor).count(), 9_800);
        assert!(!plan.is_known_to_pendo(Kind::Visitor, 49));
        assert!(!plan.is_known_to_pendo(Kind::Visitor, 10_000));
    }
}
