//! Rows of table `account`.

use crate::source::data::{
    CopyRow, DAY_SECONDS, NEWEST_SECONDS, Random,
    words::{
        COMPANY_FIRST, COMPANY_FORM, COMPANY_SECOND, COUNTRIES, INDUSTRIES, NOTES, ODD_COMPANIES,
        TAGS,
    },
};

/// The columns, in the order in which [`write_account`] writes them.
pub(crate) const ACCOUNT_COLUMNS: &str = "id, name, plan, mrr, seats, is_trial, country, industry, \
     renewal_date, owner_email, health, tags, notes, created_at, updated_at";

const TABLE: u64 = 1;

/// A random-looking UUID of version 4.
pub(super) fn id(seed: u64, index: u64) -> String {
    let mut random = Random::for_row(seed, TABLE, index);
    let (high, low) = (random.next(), random.next());
    format!(
        "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
        high >> 32,
        (high >> 16) & 0xffff,
        high & 0xfff,
        0x8000 | ((low >> 48) & 0x3fff),
        low & 0xffff_ffff_ffff
    )
}

/// Appends one account.
pub(crate) fn write_account(row: &mut CopyRow, seed: u64, index: u64) {
    let mut random = Random::for_row(seed, TABLE + 100, index);
    let is_trial = random.percent(12);
    let plan = if is_trial {
        "free"
    } else {
        random.pick(&["starter", "team", "business", "enterprise"])
    };
    let created =
        NEWEST_SECONDS - random.between(30, 2_500) * DAY_SECONDS - random.between(0, DAY_SECONDS);
    let updated = NEWEST_SECONDS - random.between(1, 30 * DAY_SECONDS);

    row.field(id(seed, index));
    row.field(name(index, &mut random));
    row.field(plan);
    row.field(monthly_revenue(index, plan, &mut random));
    row.field(match index {
        10 => i64::from(i32::MAX),
        11 => 0,
        _ => random.between(1, 900),
    });
    row.field(is_trial);
    row.field(random.pick(&COUNTRIES));
    row.field(random.pick(&INDUSTRIES));
    row.field(match index {
        12 => "9999-12-31".to_owned(),
        13 => "1970-01-01".to_owned(),
        _ => date(NEWEST_SECONDS + random.between(1, 700) * DAY_SECONDS),
    });
    row.optional(
        random
            .percent(90)
            .then(|| format!("owner+{index}@vendor.example")),
    );
    row.optional(match index {
        14 => Some(f64::MAX),
        15 => Some(f64::MIN_POSITIVE),
        16 => Some(-0.0),
        _ => random.percent(80).then(|| fraction(&mut random) * 100.0),
    });
    row.optional(random.percent(60).then(|| tags(&mut random)));
    row.optional(random.percent(40).then(|| random.pick(&NOTES)));
    row.field(timestamp(created, random.below(1_000_000)));
    row.field(timestamp(updated, random.below(1_000_000)));
    row.end();
}

fn name(index: u64, random: &mut Random) -> String {
    match usize::try_from(index)
        .ok()
        .and_then(|index| ODD_COMPANIES.get(index))
    {
        Some(odd) => (*odd).to_owned(),
        None => format!(
            "{} {} {}",
            random.pick(&COMPANY_FIRST),
            random.pick(&COMPANY_SECOND),
            random.pick(&COMPANY_FORM)
        ),
    }
}

fn monthly_revenue(index: u64, plan: &str, random: &mut Random) -> String {
    let cents = match (index, plan) {
        (17, _) => 999_999_999_999,
        (18, _) => -1_250,
        (_, "free") => 0,
        (_, "starter") => random.between(1_900, 9_900),
        (_, "team") => random.between(9_900, 90_000),
        (_, "business") => random.between(90_000, 900_000),
        _ => random.between(900_000, 25_000_000),
    };
    let sign = if cents < 0 { "-" } else { "" };
    format!("{sign}{}.{:02}", cents.abs() / 100, cents.abs() % 100)
}

fn tags(random: &mut Random) -> String {
    let count = random.below(4);
    let tags: Vec<&str> = (0..count).map(|_| random.pick(&TAGS)).collect();
    serde_json::Value::from(tags).to_string()
}

/// A number from 0 to below 1 with a few digits.
pub(super) fn fraction(random: &mut Random) -> f64 {
    let thousandths = u32::try_from(random.below(100_000)).unwrap_or(0);
    f64::from(thousandths) / 100_000.0
}

/// The day of a point in time, given in seconds since 1970.
pub(super) fn date(seconds: i64) -> String {
    format!("{}", utc(seconds, 0).format("%Y-%m-%d"))
}

/// A point in time with microseconds.
pub(super) fn timestamp(seconds: i64, micros: u64) -> String {
    format!(
        "{}",
        utc(seconds, micros).format("%Y-%m-%d %H:%M:%S%.6f+00")
    )
}

fn utc(seconds: i64, micros: u64) -> chrono::DateTime<chrono::Utc> {
    let nanos = u32::try_from(micros * 1_000).unwrap_or(0);
    chrono::DateTime::from_timestamp(seconds, nanos).expect("sample data lies in our century")
}
