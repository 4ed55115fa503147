//! Rows of the tables that no Pendo kind stands for: `invoice` with a key of two columns and
//! `audit_event` without any key.

use crate::source::data::{
    CopyRow, DAY_SECONDS, NEWEST_SECONDS, Random,
    account::{self, date, timestamp},
};

/// The columns, in the order in which [`write_invoice`] writes them.
pub(crate) const INVOICE_COLUMNS: &str = "account_id, number, amount, issued_on, paid, updated_at";
/// The columns, in the order in which [`write_audit_event`] writes them.
pub(crate) const AUDIT_EVENT_COLUMNS: &str = "happened_at, actor, action, detail";

const INVOICE_TABLE: u64 = 3;
const AUDIT_EVENT_TABLE: u64 = 4;

/// How many invoices an account has.
pub(crate) fn invoices_of(account_index: u64) -> u64 {
    account_index % 4
}

/// Appends invoice `number` (from 1) of an account.
pub(crate) fn write_invoice(row: &mut CopyRow, seed: u64, account_index: u64, number: u64) {
    let mut random = Random::for_row(seed, INVOICE_TABLE, account_index * 4 + number);
    let issued = NEWEST_SECONDS - random.between(1, 900) * DAY_SECONDS;
    row.field(account::id(seed, account_index));
    row.field(number);
    row.field(format!(
        "{}.{:04}",
        random.below(10_000_000),
        random.below(10_000)
    ));
    row.field(date(issued));
    row.field(random.percent(90));
    row.field(timestamp(
        issued + random.between(1, DAY_SECONDS),
        random.below(1_000_000),
    ));
    row.end();
}

/// Appends one audit event.
pub(crate) fn write_audit_event(row: &mut CopyRow, seed: u64, index: u64) {
    let mut random = Random::for_row(seed, AUDIT_EVENT_TABLE, index);
    let happened = NEWEST_SECONDS - random.between(1, 90 * DAY_SECONDS);
    row.field(timestamp(happened, random.below(1_000_000)));
    row.field(format!("user-{}", random.below(5_000)));
    row.field(random.pick(&["login", "logout", "export", "invite", "delete"]));
    row.optional(
        random
            .percent(50)
            .then(|| format!("{{\"ip\": \"192.0.2.{}\"}}", random.below(256))),
    );
    row.end();
}
