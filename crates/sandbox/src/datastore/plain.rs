//! Rows as plain texts, to compare them with what arrived elsewhere: times in UTC, nulls and empty texts alike.

use super::DataStore;
use super::column::{DataType, System};
use super::options::Environment;
use super::table::{Place, Row, Table};
use super::zone::{Zone, read_local_ms};
use crate::compare::PlainTable;

impl DataStore {
    /// The rows of a table, if there is one.
    pub(crate) fn plain(&self, environment: Environment, table: &str) -> Option<PlainTable> {
        let store = self.look();
        let table = store.table(environment, table)?;
        let places = table.places();
        let names = places.iter().map(|place| table.name_of(*place).to_owned());
        let row = |row: &Row| cells(table, row, &places, self.zone);
        Some(PlainTable {
            columns: names.collect(),
            rows: table.rows().iter().map(row).collect(),
        })
    }
}

fn cells(table: &Table, row: &Row, places: &[Place], zone: Zone) -> Vec<String> {
    let own: Vec<Option<&str>> = row.cells().collect();
    let cell = |place: &Place| match *place {
        Place::System(System::RowId) => row.id.to_string(),
        Place::System(System::CreatorId) => row.creator.to_string(),
        Place::System(System::CreatedTime) => utc(row.created_ms),
        Place::System(System::ModifiedTime) => utc(row.modified_ms),
        Place::Own(place) => {
            let text = own.get(place).copied().flatten().unwrap_or_default();
            let is_time = table.columns[place].data_type == DataType::DateTime;
            let moment = read_local_ms(text).filter(|_| is_time);
            match moment.and_then(|local| zone.epoch_ms(local)) {
                Some(epoch_ms) => utc(epoch_ms),
                None => text.to_owned(),
            }
        }
    };
    places.iter().map(cell).collect()
}

/// A moment as `2025-02-03 00:00:00.118`.
fn utc(epoch_ms: i64) -> String {
    let mut text = Zone::UTC.text(epoch_ms);
    // The service has a colon before the milliseconds.
    text.truncate("2025-02-03 00:00:00".len());
    text + &format!(".{:03}", epoch_ms.rem_euclid(1000))
}
