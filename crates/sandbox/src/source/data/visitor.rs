//! Rows of table `visitor`.

use crate::source::data::{
    CopyRow, DAY_SECONDS, NEWEST_SECONDS, Random, VISITORS_PER_ACCOUNT,
    account::{self, date, fraction, timestamp},
    words::{FIRST_NAMES, LANGUAGES, LAST_NAMES, NOTES, OTHER_SCRIPTS, ROLES},
};

/// The columns, in the order in which [`write_visitor`] writes them.
pub(crate) const VISITOR_COLUMNS: &str = "id, account_id, full_name, role, language, is_admin, \
     signup_date, last_login, sessions_30d, nps, score, bio, updated_at";

const TABLE: u64 = 2;

/// Looks like an e-mail address; the number in it makes it unique.
pub(super) fn id(seed: u64, index: u64) -> String {
    let (first, last) = names(&mut Random::for_row(seed, TABLE, index));
    format!("{}.{}{index}@customer.example", ascii(first), ascii(last))
}

/// Appends one visitor.
pub(crate) fn write_visitor(row: &mut CopyRow, seed: u64, index: u64) {
    let (first, last) = names(&mut Random::for_row(seed, TABLE, index));
    let mut random = Random::for_row(seed, TABLE + 100, index);
    let role = random.pick(&ROLES);
    let signup = NEWEST_SECONDS - random.between(30, 2_000) * DAY_SECONDS;
    let last_login = NEWEST_SECONDS - random.between(60, 60 * DAY_SECONDS);
    let updated = NEWEST_SECONDS - random.between(1, 30 * DAY_SECONDS);

    row.field(id(seed, index));
    row.field(account::id(seed, index / VISITORS_PER_ACCOUNT));
    row.field(if random.percent(8) {
        random.pick(&OTHER_SCRIPTS).to_owned()
    } else {
        format!("{first} {last}")
    });
    row.field(role);
    row.field(random.pick(&LANGUAGES));
    row.field(matches!(role, "admin" | "owner"));
    row.field(date(signup));
    row.optional(random.percent(85).then(|| {
        // A timestamp without a zone: the part before it.
        timestamp(last_login, random.below(1_000_000))
            .trim_end_matches("+00")
            .to_owned()
    }));
    row.field(random.below(400));
    row.optional(random.percent(55).then(|| random.below(11)));
    row.optional(match index {
        20 => Some(f32::MAX.to_string()),
        21 => Some(f32::MIN_POSITIVE.to_string()),
        _ => random
            .percent(70)
            .then(|| format!("{:.3}", fraction(&mut random) * 10.0)),
    });
    row.optional(random.percent(30).then(|| random.pick(&NOTES)));
    row.field(timestamp(updated, random.below(1_000_000)));
    row.end();
}

fn names(random: &mut Random) -> (&'static str, &'static str) {
    (random.pick(&FIRST_NAMES), random.pick(&LAST_NAMES))
}

/// The letters of a name that an address may hold.
fn ascii(name: &str) -> String {
    name.chars()
        .filter(char::is_ascii_alphabetic)
        .map(|letter| letter.to_ascii_lowercase())
        .collect()
}
