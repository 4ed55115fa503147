//! What a field can be written with: its form, the types that have it, why it has none.

use chrono_tz::Tz;
use singer_core::schema::{Property, TypeSet};
use zoho::crm::{DataType, Field};

use super::ID;
use crate::config::{Mapped, Operation};
use crate::encode::Form;

/// How a field is written; `None` for a date-time without a known zone.
pub(super) fn form(field: &Field, mapped: &Mapped, zone: Option<Tz>) -> Option<Form> {
    Some(match &field.data_type {
        DataType::MultiSelectPickList => Form::List,
        DataType::Integer | DataType::BigInt => Form::Integer,
        DataType::Double | DataType::Percent | DataType::Currency => Form::Decimal,
        DataType::Boolean => Form::Boolean,
        DataType::Date => Form::Date,
        DataType::DateTime => Form::DateTime(zone?),
        DataType::Lookup
        | DataType::OwnerLookup
        | DataType::UserLookup
        | DataType::ProfileLookup => {
            let find_by = mapped.find_by.clone();
            Form::Lookup(find_by.unwrap_or_else(|| ID.to_owned()))
        }
        _ => Form::Text,
    })
}

/// Why a field cannot be written.
pub(super) fn unwritable(field: &Field, operation: Operation) -> Option<String> {
    let kind = &field.data_type;
    if is_unsupported(kind) {
        return Some(format!(
            "is of type `{}`, which Bulk Write does not take",
            kind.name()
        ));
    }
    if field.is_read_only {
        return Some("is read-only".to_owned());
    }
    let (creates, updates) = match operation {
        Operation::Insert => (true, false),
        Operation::Update => (false, true),
        Operation::Upsert => (true, true),
    };
    if creates && !field.api_create {
        return Some("cannot be set by the API when a record is created".to_owned());
    }
    if updates && !field.api_update {
        return Some("cannot be changed by the API".to_owned());
    }
    None
}

/// Types that Bulk Write does not take, or that the service computes.
fn is_unsupported(kind: &DataType) -> bool {
    matches!(
        kind,
        DataType::Subform
            | DataType::FileUpload
            | DataType::ImageUpload
            | DataType::ProfileImage
            | DataType::MultiSelectLookup
            | DataType::MultiUserLookup
            | DataType::Address
            | DataType::ConsentLookup
            | DataType::Formula
            | DataType::RollupSummary
            | DataType::AutoNumber
    )
}

/// Whether any type that a property admits has a form in a field.
pub(super) fn takes(form: &Form, property: &Property) -> bool {
    let numbers = TypeSet::INTEGER.union(TypeSet::NUMBER);
    let wanted = match form {
        Form::Text => numbers.union(TypeSet::STRING).union(TypeSet::BOOLEAN),
        Form::List => numbers.union(TypeSet::STRING).union(TypeSet::ARRAY),
        Form::Integer | Form::Decimal => numbers.union(TypeSet::STRING),
        Form::Boolean => TypeSet::BOOLEAN.union(TypeSet::STRING),
        Form::Date | Form::DateTime(_) => TypeSet::STRING,
        Form::Lookup(_) => numbers.union(TypeSet::STRING).union(TypeSet::OBJECT),
    };
    let given = property.types.without_null();
    given.is_empty() || !given.intersection(wanted).is_empty()
}
