//! Fields: their types, limits and oddities, and how the metadata shows them. Facts: section 5.2.

use anyhow::Context;
use serde_json::{Value, json};

/// How the values of a field are kept, compared and taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Email,
    Phone,
    Pick,
    /// Several of a list; kept with semicolons between them.
    Multi,
    Integer,
    BigInt,
    Decimal,
    Boolean,
    /// Kept as `yyyy-MM-dd`.
    Date,
    /// Kept as seconds since 1970.
    DateTime,
    /// The id of a record.
    Record,
    /// The id of a user.
    User,
    AutoNumber,
    /// Bulk answers have nothing of it.
    Absent,
}

/// Where the value of a field is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    CreatedTime,
    ModifiedTime,
    CreatedBy,
    ModifiedBy,
    /// Made of the first and the last name.
    FullName,
    Own(usize),
}

/// What a bulk read does with a field that the metadata lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Delivery {
    Delivered,
    /// Refused by the code that is named.
    Refused(&'static str),
}

/// One value of a list.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Pick {
    pub(super) actual: String,
    pub(super) display: String,
}

/// One field of a module.
#[derive(Clone, Debug)]
pub(super) struct Field {
    pub(super) id: i64,
    pub(super) name: String,
    pub(super) label: String,
    pub(super) data_type: String,
    pub(super) kind: Kind,
    pub(super) place: Place,
    pub(super) length: usize,
    pub(super) is_custom: bool,
    pub(super) is_mandatory: bool,
    pub(super) is_read_only: bool,
    pub(super) is_unique: bool,
    /// A field that records are found by although it need not be unique.
    pub(super) is_duplicate_check: bool,
    pub(super) is_used: bool,
    pub(super) is_encrypted: bool,
    /// Some custom modules leave `json_type` out.
    pub(super) shows_json_type: bool,
    pub(super) return_type: Option<String>,
    /// The module that a lookup points to.
    pub(super) lookup: Option<String>,
    pub(super) picks: Vec<Pick>,
    /// Whether an unknown value is added to the list, if this field has an own mind.
    pub(super) adds_picks: Option<bool>,
    pub(super) delivery: Delivery,
}

/// Names of types with their `json_type`, how they are kept, and their usual length.
const TYPES: [(&str, &str, Kind, usize); 34] = [
    ("text", "string", Kind::Text, 255),
    ("textarea", "string", Kind::Text, 32_000),
    ("email", "string", Kind::Email, 100),
    ("phone", "string", Kind::Phone, 30),
    ("website", "string", Kind::Text, 450),
    ("picklist", "string", Kind::Pick, 120),
    ("multiselectpicklist", "jsonarray", Kind::Multi, 765),
    ("autonumber", "string", Kind::AutoNumber, 200),
    ("integer", "integer", Kind::Integer, 9),
    ("bigint", "string", Kind::BigInt, 18),
    ("double", "double", Kind::Decimal, 16),
    ("percent", "double", Kind::Decimal, 5),
    ("currency", "double", Kind::Decimal, 16),
    ("boolean", "boolean", Kind::Boolean, 5),
    ("date", "string", Kind::Date, 20),
    ("datetime", "string", Kind::DateTime, 20),
    ("lookup", "jsonobject", Kind::Record, 120),
    ("ownerlookup", "jsonobject", Kind::User, 120),
    ("userlookup", "jsonobject", Kind::User, 120),
    ("profilelookup", "jsonobject", Kind::Text, 120),
    ("formula", "string", Kind::Text, 255),
    ("rollup_summary", "string", Kind::Text, 255),
    ("subform", "jsonarray", Kind::Absent, 10),
    ("fileupload", "jsonarray", Kind::Absent, 255),
    ("imageupload", "jsonarray", Kind::Absent, 255),
    ("profileimage", "string", Kind::Absent, 255),
    ("multiselectlookup", "jsonarray", Kind::Absent, 255),
    ("multiuserlookup", "jsonarray", Kind::Absent, 255),
    ("address", "jsonobject", Kind::Absent, 255),
    ("consent_lookup", "jsonobject", Kind::Absent, 255),
    ("RRULE", "jsonobject", Kind::Text, 255),
    ("ALARM", "jsonobject", Kind::Text, 255),
    ("event_reminder", "jsonarray", Kind::Text, 255),
    ("multireminder", "jsonarray", Kind::Text, 255),
];

/// Types that a bulk read refuses although the metadata lists them. Facts: section 3.5.
const REFUSED_TYPES: [&str; 4] = ["address", "fileupload", "multiselectlookup", "subform"];

fn type_of(name: &str) -> (&'static str, Kind, usize) {
    let known = TYPES.iter().find(|(known, ..)| *known == name);
    known.map_or(
        ("string", Kind::Text, 255),
        |(_, json_type, kind, length)| (*json_type, *kind, *length),
    )
}

impl Field {
    pub(super) fn new(name: &str, data_type: &str) -> Field {
        let (_, kind, length) = type_of(data_type);
        let delivery = if REFUSED_TYPES.contains(&data_type) {
            Delivery::Refused("FIELD_NOT_SUPPORTED")
        } else {
            Delivery::Delivered
        };
        Field {
            id: 0,
            name: name.to_owned(),
            label: name.trim_end_matches("__s").replace('_', " "),
            data_type: data_type.to_owned(),
            kind,
            place: match name {
                "Created_Time" => Place::CreatedTime,
                "Modified_Time" => Place::ModifiedTime,
                "Created_By" => Place::CreatedBy,
                "Modified_By" => Place::ModifiedBy,
                "Full_Name" => Place::FullName,
                _ => Place::Own(0),
            },
            length,
            is_custom: false,
            is_mandatory: false,
            is_read_only: matches!(data_type, "formula" | "rollup_summary" | "autonumber"),
            is_unique: false,
            is_duplicate_check: false,
            is_used: true,
            is_encrypted: false,
            shows_json_type: true,
            return_type: None,
            lookup: None,
            picks: Vec::new(),
            adds_picks: None,
            delivery,
        }
    }

    /// Reads a line of the catalog: name, type, and words such as `mandatory` or `picks=A/B`.
    pub(super) fn from_line(line: &str) -> Field {
        let mut words = line.split_whitespace();
        let name = words.next().unwrap_or_default();
        let mut field = Field::new(name, words.next().unwrap_or("text"));
        for word in words {
            // A picklist's values have spaces of their own, written as underscores.
            let (word, value) = word.split_once('=').unwrap_or((word, ""));
            match word {
                "mandatory" => field.is_mandatory = true,
                "readonly" => field.is_read_only = true,
                "unique" => field.is_unique = true,
                "key" => field.is_duplicate_check = true,
                "custom" => field.is_custom = true,
                "unused" => field.is_used = false,
                "encrypted" => field.is_encrypted = true,
                "adds" => field.adds_picks = Some(true),
                "refused" => field.delivery = Delivery::Refused("FIELD_NOT_SUPPORTED"),
                "unavailable" => field.delivery = Delivery::Refused("FIELD_NOT_AVAILABLE"),
                "to" => field.lookup = Some(value.to_owned()),
                "returns" => field.set_return_type(value),
                "label" => field.label = value.replace('_', " "),
                "picks" => field.picks = value.split('/').map(pick).collect(),
                length => field.length = length.parse().unwrap_or(field.length),
            }
        }
        field
    }

    /// Reads a field as the metadata answer describes it; `bulk_read` may name a refusal.
    pub(super) fn from_json(described: &Value) -> anyhow::Result<Field> {
        let text = |key: &str| described[key].as_str();
        let is_true = |key: &str| described[key] == json!(true);
        let name = text("api_name").context("`api_name` of a field is missing")?;
        let mut field = Field::new(name, text("data_type").unwrap_or("text"));
        if let Some(label) = text("field_label") {
            field.label = label.to_owned();
        }
        if let Some(length) = described["length"].as_u64() {
            field.length = usize::try_from(length).unwrap_or(usize::MAX);
        }
        for key in ["formula", "rollup_summary"] {
            if let Some(returned) = described[key]["return_type"].as_str() {
                field.set_return_type(returned);
            }
        }
        field.is_custom = described["custom_field"] != json!(false);
        field.is_mandatory = is_true("system_mandatory");
        field.is_read_only |= is_true("field_read_only");
        field.is_unique = described["unique"]
            .as_object()
            .is_some_and(|unique| !unique.is_empty());
        field.is_used = text("type") != Some("unused");
        field.is_encrypted = described["crypt"].is_object();
        field.shows_json_type = described.get("json_type") != Some(&Value::Null);
        field.adds_picks = described["adds_picks"].as_bool();
        let lookup = &described["lookup"]["module"];
        let lookup = lookup["api_name"].as_str().or(lookup.as_str());
        field.lookup = lookup.map(str::to_owned);
        for value in described["pick_list_values"]
            .as_array()
            .into_iter()
            .flatten()
        {
            let actual = value["actual_value"].as_str().unwrap_or_default();
            field.picks.push(Pick {
                actual: actual.to_owned(),
                display: value["display_value"].as_str().unwrap_or(actual).to_owned(),
            });
        }
        match text("bulk_read") {
            None => {}
            Some("FIELD_NOT_AVAILABLE") => {
                field.delivery = Delivery::Refused("FIELD_NOT_AVAILABLE");
            }
            Some(_) => field.delivery = Delivery::Refused("FIELD_NOT_SUPPORTED"),
        }
        Ok(field)
    }

    /// Whether clients may give it a value.
    pub(super) fn is_writable(&self) -> bool {
        let is_own = matches!(self.place, Place::Own(_));
        is_own && !self.is_read_only && !matches!(self.kind, Kind::Absent | Kind::AutoNumber)
    }

    /// Whether records can be found by it.
    pub(super) fn finds(&self, takes_duplicate_checks: bool) -> bool {
        self.is_unique || (takes_duplicate_checks && self.is_duplicate_check)
    }

    fn set_return_type(&mut self, name: &str) {
        self.return_type = Some(name.to_owned());
        self.kind = match name {
            "double" | "currency" | "decimal" => Kind::Decimal,
            "boolean" => Kind::Boolean,
            "date" => Kind::Date,
            "datetime" => Kind::DateTime,
            _ => Kind::Text,
        };
    }

    /// As the metadata shows it.
    pub(super) fn describe(&self, lookup_id: Option<i64>) -> Value {
        let can_write = self.is_writable();
        let (json_type, ..) = type_of(&self.data_type);
        let decimals = (self.kind == Kind::Decimal).then_some(2);
        let mut described = json!({
            "id": self.id.to_string(), "api_name": self.name, "field_label": self.label,
            "display_label": self.label, "data_type": self.data_type, "json_type": json_type,
            "length": self.length, "decimal_place": decimals, "custom_field": self.is_custom,
            "system_mandatory": self.is_mandatory, "read_only": self.is_read_only,
            "field_read_only": self.is_read_only || !can_write, "visible": true,
            "type": if self.is_used { "used" } else { "unused" }, "virtual_field": false,
            "display_type": -1, "created_source": "default",
            "view_type": {"view": true, "edit": can_write, "create": can_write,
                "quick_create": self.is_mandatory},
            "operation_type": {"web_view": true, "web_create": can_write,
                "web_update": can_write, "api_create": can_write, "api_update": can_write},
            "unique": {}, "lookup": {}, "multiselectlookup": {}, "subform": null,
            "formula": {}, "auto_number": {}, "currency": {}, "external": null, "crypt": null,
            "private": null, "searchable": true, "sortable": true, "filterable": true,
            "history_tracking": null, "pick_list_values": [],
        });
        if !self.shows_json_type
            && let Some(described) = described.as_object_mut()
        {
            described.remove("json_type");
        }
        self.describe_kind(&mut described, lookup_id);
        described
    }

    /// The parts that only some types have.
    fn describe_kind(&self, described: &mut Value, lookup_id: Option<i64>) {
        if self.is_unique {
            described["unique"] = json!({"casesensitive": "false"});
        }
        if self.is_encrypted {
            described["crypt"] = json!({"mode": "decryption", "status": 1});
        }
        let id = lookup_id.map(|id| id.to_string());
        match (&self.lookup, self.data_type.as_str()) {
            (None, _) => {}
            // The module of a subform is named, where that of a lookup is an object.
            (Some(module), "subform") => {
                described["associated_module"] = json!({"module": module, "id": id});
            }
            (Some(module), data_type) => {
                let is_multiple = data_type == "multiselectlookup";
                let key = if is_multiple { data_type } else { "lookup" };
                described[key] = json!({
                    "display_label": self.label, "api_name": self.name,
                    "module": {"api_name": module, "id": id},
                });
            }
        }
        match self.data_type.as_str() {
            key @ ("formula" | "rollup_summary") => {
                described[key] = json!({"return_type": self.return_type});
            }
            "autonumber" => {
                described["auto_number"] =
                    json!({"prefix": AUTO_PREFIX, "start_number": 1, "suffix": ""});
            }
            "currency" => {
                described["currency"] = json!({"rounding_option": "normal", "precision": 2});
            }
            _ => {}
        }
        let first = FIRST_PICK + self.id % 1_000_000 * 1_000;
        let picks = (1..).zip(&self.picks).map(|(number, pick)| {
            json!({"id": (first + number).to_string(), "actual_value": pick.actual,
                "display_value": pick.display, "reference_value": pick.actual,
                "sequence_number": number, "type": "used"})
        });
        described["pick_list_values"] = picks.collect();
    }
}

/// The ids of list values are behind this.
const FIRST_PICK: i64 = 611_000_100_000_000_000;

/// What stands before the digits of an auto-number.
pub(super) const AUTO_PREFIX: &str = "NO-";

/// A value as the catalog writes it: `Actual:Display`, spaces as underscores.
fn pick(text: &str) -> Pick {
    let (actual, display) = text.split_once(':').unwrap_or((text, text));
    Pick {
        actual: actual.replace('_', " "),
        display: display.replace('_', " "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_catalog_becomes_a_field() {
        let field =
            Field::from_line("Stage picklist 60 mandatory picks=-None-/Closed_Won:Gewonnen");
        assert_eq!((field.length, field.is_mandatory), (60, true));
        let display = &field.picks[1].display;
        assert_eq!(
            (field.picks[1].actual.as_str(), display.as_str()),
            ("Closed Won", "Gewonnen")
        );
        let described = field.describe(None);
        assert_eq!(
            described["pick_list_values"][1]["display_value"],
            "Gewonnen"
        );
        assert_eq!(described["json_type"], "string");
    }

    #[test]
    fn what_cannot_be_written_says_so() {
        let field = Field::from_line("Margin formula returns=double");
        assert_eq!(field.kind, Kind::Decimal);
        let described = field.describe(None);
        assert_eq!(described["operation_type"]["api_update"], false);
        assert_eq!(described["formula"]["return_type"], "double");
        assert!(!Field::new("Modified_Time", "datetime").is_writable());
        assert_eq!(Field::new("Where", "hologram").kind, Kind::Text);
    }

    #[test]
    fn a_rollup_and_a_subform_are_described_in_their_own_keys() {
        let rollup = Field::from_line("Open_Deals rollup_summary returns=double");
        let described = rollup.describe(None);
        assert_eq!(described["rollup_summary"]["return_type"], "double");
        assert_eq!(described["formula"], json!({}));
        assert_eq!(Field::from_json(&described).unwrap().kind, Kind::Decimal);
        let subform = Field::from_line("Readings subform to=Readings");
        let described = subform.describe(Some(7));
        assert_eq!(
            described["associated_module"],
            json!({"module": "Readings", "id": "7"})
        );
        assert_eq!(described["lookup"], json!({}));
    }

    #[test]
    fn the_metadata_form_is_read_back() {
        let line = "Account lookup custom unique to=Accounts";
        let field = Field::from_line(line);
        let again = Field::from_json(&field.describe(Some(7))).unwrap();
        assert_eq!(again.lookup.as_deref(), Some("Accounts"));
        assert!(again.is_unique && again.is_custom && again.is_writable());
    }
}
