//! The sample data: a haulier's trips and trucks, the same in every run, with values that are hard on
//! whoever carries them.

use serde_json::json;

use super::DataStore;
use super::column::{Column, DataType, OnDelete};
use super::options::{DataStoreOptions, Environment, Sample};
use super::store::{Action, CREATOR, Changed, DEVELOPMENT_TABLE_ROWS, Store};
use super::table::Row;

/// The trucks of the fleet.
const TRUCKS: usize = 40;

/// Trips that were made since then, one every few seconds: 2024-01-01 in UTC.
const FIRST_TRIP_MS: i64 = 1_704_067_200_000;
const BETWEEN_TRIPS_MS: i64 = 7_001;

/// Every so many trips a note is as long as it may be.
const LONG_NOTE_EVERY: usize = 10_000;

const DRIVERS: [&str; 6] = [
    "Rui",
    "Åsa Öberg",
    "李伟",
    "O'Neil, Pat",
    "Zoë \"Zed\"",
    "Ana",
];

const NOTES: [&str; 8] = [
    "",
    "on time",
    "two pallets,\nsecond stop \"dock 4\"",
    "  spaces at both ends  ",
    "Straße gesperrt; über B 27",
    "a,b;c\td",
    "NULL",
    "=1+1",
];

/// The project as it is at the start.
pub(super) fn fill(options: &DataStoreOptions, now_ms: i64) -> Store {
    let mut store = Store::new();
    if options.sample == Sample::None {
        return store;
    }
    store.create("Trips", trips());
    store.create("Trucks", trucks());
    store.create("Depots", vec![Column::new("City", DataType::Varchar)]);
    for environment in Environment::ALL {
        let rows = match environment {
            Environment::Development => options.rows.min(DEVELOPMENT_TABLE_ROWS),
            Environment::Production => options.rows,
        };
        let trucks: Vec<i64> = (0..TRUCKS)
            .map(|number| put_truck(&mut store, environment, number))
            .collect();
        for number in 0..rows {
            // No row comes from the time to come.
            let time_ms = FIRST_TRIP_MS + number as i64 * BETWEEN_TRIPS_MS;
            let cells = trip(number, &trucks);
            put(
                &mut store,
                environment,
                "Trips",
                &cells,
                time_ms.min(now_ms),
            );
        }
    }
    store
}

fn trips() -> Vec<Column> {
    let mut driver = Column::new("Driver", DataType::Varchar);
    driver.max_length = 100;
    driver.is_mandatory = true;
    driver.is_indexed = true;
    driver.default = Some("n/a".to_owned());
    let mut truck = Column::new("Truck", DataType::ForeignKey);
    truck.parent = Some(("Trucks".to_owned(), OnDelete::Null));
    vec![
        driver,
        truck,
        Column::new("Note", DataType::Text),
        Column::new("Km", DataType::Int),
        Column::new("Odometer", DataType::BigInt),
        Column::new("Litres", DataType::Double),
        Column::new("Toll", DataType::Decimal),
        Column::new("Done", DataType::Boolean),
        Column::new("Day", DataType::Date),
        Column::new("Departure", DataType::DateTime),
        Column::new("Pin", DataType::EncryptedText),
    ]
}

fn trucks() -> Vec<Column> {
    let mut plate = Column::new("Plate", DataType::Varchar);
    plate.max_length = 12;
    plate.is_mandatory = true;
    plate.is_unique = true;
    vec![plate, Column::new("Model", DataType::Varchar)]
}

fn put_truck(store: &mut Store, environment: Environment, number: usize) -> i64 {
    let model = (!number.is_multiple_of(5)).then(|| format!("Mark {}", number % 5));
    let cells = [Some(format!("AB {number:03} CD")), model];
    put(store, environment, "Trucks", &cells, FIRST_TRIP_MS)
}

fn put(
    store: &mut Store,
    environment: Environment,
    table: &str,
    cells: &[Option<String>],
    time_ms: i64,
) -> i64 {
    let row = Row::new(store.row_id(), CREATOR, time_ms, cells);
    let id = row.id;
    if let Some(table) = store.table_mut(environment, table) {
        table.put(row);
    }
    id
}

/// The cells of one trip, which its number decides.
fn trip(number: usize, trucks: &[i64]) -> Vec<Option<String>> {
    let unless = |every: usize, text: String| (number % every != every - 1).then_some(text);
    let note = if number % LONG_NOTE_EVERY == LONG_NOTE_EVERY - 1 {
        Some("long note ".repeat(1_000))
    } else {
        unless(7, NOTES[number % NOTES.len()].to_owned())
    };
    let truck = trucks.get(number % trucks.len().max(1)).copied();
    let day =
        chrono::DateTime::from_timestamp_millis(FIRST_TRIP_MS + number as i64 * BETWEEN_TRIPS_MS)
            .unwrap_or_default();
    vec![
        Some(DRIVERS[number % DRIVERS.len()].to_owned()),
        truck.and_then(|truck| unless(11, truck.to_string())),
        note,
        unless(13, (number % 900).to_string()),
        // Above what a float can hold.
        unless(17, (9_007_199_254_740_993 + number as i64).to_string()),
        unless(19, format!("{}.{:02}", number % 80, number % 100)),
        unless(5, format!("{}.10", number % 30)),
        unless(23, number.is_multiple_of(2).to_string()),
        unless(29, day.format("%Y-%m-%d").to_string()),
        unless(31, day.format("%Y-%m-%d %H:%M:%S").to_string()),
        unless(3, format!("{:04}", number % 10_000)),
    ]
}

impl DataStore {
    /// Changes rows of a table as the days of a haulier do, spread over the table: a column gets
    /// another value; returns how many were changed.
    pub fn change_some(&self, environment: Environment, table: &str, count: usize) -> usize {
        let now_ms = self.now_ms();
        let mut changes = Vec::new();
        {
            let mut store = self.change();
            let Some(table) = store.table_mut(environment, table) else {
                return 0;
            };
            let step = (table.rows().len() / count.max(1)).max(1);
            let rows: Vec<Row> = table
                .rows()
                .iter()
                .step_by(step)
                .take(count)
                .cloned()
                .collect();
            for mut row in rows {
                let mut cells: Vec<_> = row.cells().map(|cell| cell.map(str::to_owned)).collect();
                for (column, cell) in table.columns.iter().zip(&mut cells) {
                    match column.data_type {
                        DataType::Int => *cell = Some((row.modified_ms % 1_000).to_string()),
                        DataType::Text => *cell = Some(format!("changed at {now_ms}")),
                        DataType::Boolean => {
                            *cell = Some((cell.as_deref() != Some("true")).to_string());
                        }
                        _ => {}
                    }
                }
                row.set_cells(&cells);
                row.modified_ms = now_ms;
                table.put(row.clone());
                changes.push(Changed {
                    table: table.name.clone(),
                    action: Action::Update,
                    row,
                });
            }
        }
        let count = changes.len();
        self.tell(environment, changes);
        count
    }

    /// Adds rows of the sample to `Trips`; returns how many.
    pub fn add_trips(&self, environment: Environment, count: usize) -> usize {
        let rows: Vec<_> = (0..count)
            .map(|number| {
                json!({"Driver": DRIVERS[number % DRIVERS.len()], "Km": number % 900,
                    "Note": NOTES[number % NOTES.len()], "Done": false})
            })
            .collect();
        self.put(environment, "Trips", &json!(rows))
            .map_or(0, |ids| ids.len())
    }
}
