//! The sample data: leads as they get after some years of imports and forms, contacts, and accounts;
//! the same in every run.

use super::Crm;
use super::field::{Kind, Place};
use super::module::Module;
use super::options::{CrmOptions, CrmSample};
use super::store::{Store, new_cells};
use super::table::Row;

/// The first record was made then, and one more every so many seconds: 2023-01-01 in UTC.
const FIRST: i64 = 1_672_531_200;
const BETWEEN: i64 = 61;

/// For so many leads there is a contact, and for so many contacts an account.
const LEADS_PER_CONTACT: usize = 20;
const CONTACTS_PER_ACCOUNT: usize = 10;

const FIRST_NAMES: [&str; 12] = [
    "Ana", "Rui", "Åsa", "Zoë", "Pat", "Mira", "Jürgen", "Siobhán", "李", "Omar", "Chloé", "Bo",
];
const LAST_NAMES: [&str; 12] = [
    "Lopez",
    "O'Neil",
    "Öberg",
    "Smith-Jones",
    "da Silva",
    "Müller",
    "伟",
    "van den Berg",
    "Ivanov",
    "Khan",
    "Test",
    "Nyström",
];
const COMPANIES: [&str; 8] = [
    "Nordlys AS",
    "Baltic Freight, Ltd.",
    "Müller & Söhne",
    "\"Quick\" Haulage",
    "ACME",
    "acme",
    "Test GmbH",
    "Sol y Mar",
];
const DOMAINS: [&str; 5] = [
    "example.com",
    "example.org",
    "example.net",
    "mail.example.com",
    "test.example",
];
const CITIES: [&str; 6] = ["Oslo", "oslo", "Göteborg", "São Paulo", "Köln ", "LYON"];
const COUNTRIES: [&str; 6] = ["Norway", "NO", "Sverige", "Brasil", "Germany", "FR"];
const SOURCES: [&str; 6] = [
    "Advertisement",
    "Cold Call",
    "Trade Show",
    "Web Download",
    "Import",
    "Fair 2019",
];
const STATUSES: [&str; 4] = ["Not Contacted", "Contacted", "Lost Lead", "Junk Lead"];
const INTERESTS: [&str; 4] = [
    "Freight",
    "Freight;Storage",
    "Storage;Customs;Night Shift",
    "Customs",
];
const NOTES: [&str; 6] = [
    "Called twice, no answer",
    "Wants a quote for two pallets,\nsecond stop \"dock 4\"",
    "imported 2019; do not call",
    "  spaces at both ends  ",
    "=1+1",
    "Rückruf ab 14 Uhr; über die Zentrale",
];

/// The organisation as it is at the start.
pub(super) fn fill(options: &CrmOptions, user: &str, now: i64) -> Store {
    let mut store = Store::new(user, options.multi_separator.text());
    if options.sample == CrmSample::None {
        return store;
    }
    let contacts = options.rows.div_ceil(LEADS_PER_CONTACT);
    let accounts = contacts.div_ceil(CONTACTS_PER_ACCOUNT);
    let accounts = add(&mut store, "Accounts", accounts, now, account);
    let contacts = add(&mut store, "Contacts", contacts, now, |number| {
        let account = accounts.get(number % accounts.len().max(1)).copied();
        contact(number, account.filter(|_| number % 7 != 6))
    });
    add(&mut store, "Leads", options.rows, now, |number| {
        let contact = contacts.get(number % contacts.len().max(1)).copied();
        lead(number, contact.filter(|_| number % 9 == 8))
    });
    store
}

type Cells = Vec<(&'static str, Option<String>)>;

/// Adds records that their number decides; returns their ids.
fn add(
    store: &mut Store,
    name: &str,
    count: usize,
    now: i64,
    cells_of: impl Fn(usize) -> Cells,
) -> Vec<i64> {
    let owners: Vec<String> = store
        .users
        .iter()
        .map(super::store::User::id_text)
        .collect();
    let mut ids = Vec::with_capacity(count);
    let mut places: Vec<Option<usize>> = Vec::new();
    for number in 0..count {
        let id = store.record_id();
        let Some(module) = store.module_mut(name) else {
            break;
        };
        let given = cells_of(number);
        if places.is_empty() {
            // Every record has the same fields in the same order.
            places = given.iter().map(|(field, _)| module.own(field)).collect();
        }
        let mut cells = new_cells(module, owners.get(number % owners.len()).cloned());
        for (place, (_, cell)) in places.iter().zip(given) {
            if let Some(place) = place {
                cells[*place] = cell;
            }
        }
        // No record comes from the time to come.
        let made = (FIRST + number as i64 * BETWEEN).min(now);
        let mut row = Row::new(id, made, (number % owners.len()) as u8, &cells);
        row.modified = (made + (number % 11) as i64 * 3_607).min(now);
        row.is_converted = name == "Leads" && number % 50 == 49;
        module.table.put(row);
        ids.push(id);
    }
    ids
}

fn pick(list: &[&str], number: usize) -> String {
    list[number % list.len()].to_owned()
}

fn unless(number: usize, every: usize, text: String) -> Option<String> {
    (number % every != every - 1).then_some(text)
}

fn account(number: usize) -> Cells {
    vec![
        (
            "Account_Name",
            Some(format!("{} {number}", COMPANIES[number % COMPANIES.len()])),
        ),
        ("Account_Number", Some(format!("AC-{number:06}"))),
        ("Phone", unless(number, 4, phone(number))),
        (
            "Industry",
            Some(pick(&["Logistics", "Retail", "Energy"], number)),
        ),
        ("Employees", unless(number, 3, (number % 900).to_string())),
        (
            "Annual_Revenue",
            unless(number, 5, format!("{}.50", number * 1_000)),
        ),
        ("Open_Deals", Some(format!("{}.00", number % 7))),
    ]
}

fn contact(number: usize, account: Option<i64>) -> Cells {
    let (first, last) = (FIRST_NAMES[number % 12], LAST_NAMES[number / 12 % 12]);
    vec![
        ("First_Name", unless(number, 8, first.to_owned())),
        ("Last_Name", Some(last.to_owned())),
        ("Email", Some(format!("contact{number}@example.com"))),
        ("Phone", unless(number, 3, phone(number))),
        ("Account_Name", account.map(|id| id.to_string())),
        ("Date_of_Birth", unless(number, 4, day(number * 7))),
        ("Lead_Source", Some("Import".to_owned())),
        ("External_Id", Some(format!("C-{number:07}"))),
    ]
}

/// One lead. Every tenth is one that was there before in another spelling, every 37th a test.
fn lead(number: usize, contact: Option<i64>) -> Cells {
    let who = if number % 10 == 9 { number - 5 } else { number };
    let (first, last) = (FIRST_NAMES[who % 12], LAST_NAMES[who / 12 % 12]);
    let is_test = number % 37 == 36;
    let last = if is_test { "Test" } else { last };
    vec![
        ("First_Name", unless(number, 8, first.to_owned())),
        ("Last_Name", Some(last.to_owned())),
        ("Company", Some(pick(&COMPANIES, number))),
        ("Email", unless(number, 13, email(number, who, is_test))),
        ("Phone", unless(number, 5, phone(who + number % 3))),
        ("Mobile", unless(number, 3, phone(who * 7 + 1))),
        ("Lead_Source", unless(number, 6, pick(&SOURCES, number))),
        ("Lead_Status", Some(pick(&STATUSES, number))),
        (
            "No_of_Employees",
            unless(number, 4, (number % 5_000).to_string()),
        ),
        (
            "Annual_Revenue",
            unless(
                number,
                7,
                format!("{}.{:02}", number % 1_000_000, number % 100),
            ),
        ),
        ("Email_Opt_Out", Some(number.is_multiple_of(6).to_string())),
        ("City", unless(number, 9, pick(&CITIES, number))),
        ("Country", unless(number, 11, pick(&COUNTRIES, number))),
        ("Description", unless(number, 2, pick(&NOTES, number))),
        ("Interests", unless(number, 4, pick(&INTERESTS, number))),
        ("External_Id", Some(format!("L-{number:07}"))),
        ("Birthday", unless(number, 3, day(number))),
        (
            "Last_Called",
            unless(number, 2, (FIRST + number as i64 * 77).to_string()),
        ),
        // Above what a float can hold.
        (
            "Wagon_No",
            unless(
                number,
                5,
                (9_007_199_254_740_993 + number as i64).to_string(),
            ),
        ),
        ("Rebate", unless(number, 6, format!("{}.10", number % 40))),
        ("Referred_By", contact.map(|id| id.to_string())),
        (
            "Tag",
            number.is_multiple_of(17).then(|| "fair;vip".to_owned()),
        ),
    ]
}

/// An address as people type it.
fn email(number: usize, who: usize, is_test: bool) -> String {
    if is_test {
        return format!("test{number}@test.example");
    }
    let domain = DOMAINS[who % DOMAINS.len()];
    let clean = format!("lead.{who}@{domain}");
    match number % 12 {
        3 => clean.to_uppercase(),
        5 => format!(" {clean}"),
        7 => format!("{clean} "),
        9 => format!("Lead.{who}@{domain}"),
        10 => format!("lead.{who}+old@{domain}"),
        11 if number % 24 == 11 => format!("lead.{who}(at){domain}"),
        _ => clean,
    }
}

/// A number as people type it.
fn phone(number: usize) -> String {
    let digits = 20_000_000 + number * 7_919 % 79_999_999;
    match number % 8 {
        0 => format!("+47 {digits}"),
        1 => format!("0047{digits}"),
        2 => format!("{digits}"),
        3 => format!("+47 ({}) {}", digits / 1_000_000, digits % 1_000_000),
        4 => format!("0{}-{}", digits / 100_000, digits % 100_000),
        5 => format!("tel. {digits}"),
        6 => format!("+47-{digits} ext. {}", number % 90),
        _ => "n/a".to_owned(),
    }
}

fn day(number: usize) -> String {
    let days = chrono::Days::new(number as u64 % 20_000);
    let first = chrono::NaiveDate::from_ymd_opt(1950, 1, 1).unwrap_or_default();
    (first + days).format("%Y-%m-%d").to_string()
}

impl Crm {
    /// Changes records of a module as the days of an office do, spread over it: a field gets another
    /// value; returns how many were changed.
    pub fn change_some(&self, module: &str, count: usize) -> usize {
        let now = self.now();
        let mut store = self.change();
        let Some(module) = store.module_mut(module) else {
            return 0;
        };
        let step = (module.table.rows().len() / count.max(1)).max(1);
        let rows = module.table.rows().iter().step_by(step).take(count);
        let rows: Vec<Row> = rows.cloned().collect();
        let changed = rows.len();
        for mut row in rows {
            let cells = changed_cells(module, &row, now);
            row.set_cells(&cells);
            row.modified = now;
            module.table.put(row);
        }
        changed
    }

    /// Adds leads of the sample; returns how many.
    pub fn add_leads(&self, count: usize) -> usize {
        let now = self.now();
        let mut store = self.change();
        let before = store
            .module("Leads")
            .map_or(0, |module| module.table.rows().len());
        let ids = add(&mut store, "Leads", count, now, |number| {
            lead(before + number, None)
        });
        let Some(module) = store.module_mut("Leads") else {
            return 0;
        };
        for id in &ids {
            if let Some(mut row) = module.table.row(*id).cloned() {
                row.created = now;
                row.modified = now;
                module.table.put(row);
            }
        }
        ids.len()
    }
}

fn changed_cells(module: &Module, row: &Row, now: i64) -> Vec<Option<String>> {
    let mut cells = row.owned_cells(module.own_count);
    for field in &module.fields {
        let Place::Own(place) = field.place else {
            continue;
        };
        match field.kind {
            Kind::Integer if field.is_writable() => {
                cells[place] = Some((now % 1_000).to_string());
            }
            Kind::Text if field.name == "Description" => {
                cells[place] = Some(format!("changed at {now}"));
            }
            _ => {}
        }
    }
    cells
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::crm::{value, zone};

    #[derive(Parser)]
    struct Flags {
        #[command(flatten)]
        options: CrmOptions,
    }

    fn sample(rows: &str) -> Store {
        let flags = ["sandbox", "--crm-sample", "leads", "--crm-rows", rows];
        fill(
            &Flags::parse_from(flags).options,
            "ana@example.com",
            1_800_000_000,
        )
    }

    #[test]
    fn leads_are_messy_in_the_same_way_in_every_run() {
        let store = sample("1000");
        let module = store.module("Leads").unwrap();
        assert_eq!(
            module.table.rows(),
            sample("1000").module("Leads").unwrap().table.rows()
        );
        let email = module.own("Email").unwrap();
        let emails: Vec<_> = module
            .table
            .rows()
            .iter()
            .filter_map(|row| row.cell(email))
            .collect();
        assert!(emails.iter().any(|email| !value::is_email(email)));
        let normal = |email: &&str| email.trim().to_lowercase();
        let unique: std::collections::HashSet<_> = emails.iter().map(normal).collect();
        assert!(
            unique.len() < emails.len() - 50,
            "{} of {}",
            unique.len(),
            emails.len()
        );
        assert_eq!(store.module("Contacts").unwrap().table.rows().len(), 50);
        assert!(zone::is_date(&day(12_345)));
    }

    #[test]
    fn a_million_leads_fit_into_memory() {
        let store = sample("2000");
        let rows = store.module("Leads").unwrap().table.rows();
        let size = |row: &Row| {
            let cells = row
                .cells()
                .map(|cell| cell.map_or(1, |text| text.len() + 2));
            size_of::<Row>() + cells.sum::<usize>()
        };
        let bytes: usize = rows.iter().map(size).sum();
        // Each of the two indexes adds less than 40, the allocator some 16.
        assert!(bytes / rows.len() < 550, "{}", bytes / rows.len());
    }
}
