//! Types as statements write them, as columns and as types of expressions.

use sqlparser::ast::{
    ArrayElemTypeDef, ColumnDef, ColumnOption, DataType, ExactNumberInfo, Expr, SqlOption,
    TimezoneInfo,
};

use super::error::{Result, invalid, unsupported};
use super::kind::Kind;
use super::literal;
use crate::bigquery::table::{Column, Mode, Type};

/// The type of expressions that a written type means, and whether it came with limits.
pub(super) fn kind_of(written: &DataType) -> Result<(Kind, bool)> {
    if *written == DataType::Array(ArrayElemTypeDef::None) {
        return Err(invalid(
            "Syntax error: ARRAY needs the type of its elements",
        ));
    }
    let column = column_of("value", written)?;
    let limited = column.digits.is_some() || column.max_length.is_some();
    Ok((Kind::of_column(&column), limited))
}

/// The column of a name and a written type.
pub(super) fn column_of(name: &str, written: &DataType) -> Result<Column> {
    if let DataType::Array(ArrayElemTypeDef::AngleBracket(element)) = written {
        let mut column = column_of(name, element)?;
        if column.mode == Mode::Repeated {
            return Err(invalid("Arrays of arrays are not supported"));
        }
        column.mode = Mode::Repeated;
        return Ok(column);
    }
    let mut column = Column::new(name, Type::Int64, Mode::Nullable);
    column.kind = match written {
        DataType::Bool | DataType::Boolean => Type::Bool,
        DataType::Int64
        | DataType::Int(None)
        | DataType::Integer(None)
        | DataType::BigInt(None)
        | DataType::SmallInt(None)
        | DataType::TinyInt(None) => Type::Int64,
        DataType::Float64 => Type::Float64,
        DataType::Numeric(info) | DataType::Decimal(info) => {
            column.digits = digits(*info, 29, 9, "NUMERIC")?;
            Type::Numeric
        }
        DataType::BigNumeric(info) | DataType::BigDecimal(info) => {
            column.digits = digits(*info, 38, 38, "BIGNUMERIC")?;
            Type::BigNumeric
        }
        DataType::String(length) => {
            column.max_length = *length;
            Type::String
        }
        DataType::Bytes(length) => {
            column.max_length = *length;
            Type::Bytes
        }
        DataType::Timestamp(None, TimezoneInfo::None) => Type::Timestamp,
        DataType::Date => Type::Date,
        DataType::Time(None, TimezoneInfo::None) => Type::Time,
        DataType::Datetime(None) => Type::DateTime,
        DataType::JSON => Type::Json,
        DataType::Struct(fields, _) => {
            let fields = fields.iter().enumerate().map(|(place, field)| {
                let name = field.field_name.as_ref().map(|name| name.value.clone());
                let name = name.unwrap_or_else(|| format!("_field_{}", place + 1));
                let mut column = column_of(&name, &field.field_type)?;
                column.description = match &field.options {
                    Some(options) => description(options)?,
                    None => None,
                };
                Ok(column)
            });
            Type::Struct(fields.collect::<Result<_>>()?)
        }
        DataType::Custom(name, _) if is_other_type(&name.to_string()) => {
            return Err(unsupported(format!("the type {name}")));
        }
        other => return Err(invalid(format!("Type not found: {other}"))),
    };
    Ok(column)
}

fn is_other_type(name: &str) -> bool {
    ["GEOGRAPHY", "RANGE", "INTERVAL", "BYTEINT"].contains(&name.to_ascii_uppercase().as_str())
}

/// Precision and scale, within what the type allows: so many digits before the point, and after it.
fn digits(info: ExactNumberInfo, whole: i64, most: i64, name: &str) -> Result<Option<(u32, u32)>> {
    let (precision, scale) = match info {
        ExactNumberInfo::None => return Ok(None),
        ExactNumberInfo::Precision(precision) => (precision, 0),
        ExactNumberInfo::PrecisionAndScale(precision, scale) => (precision, scale),
    };
    let precision = i64::try_from(precision).unwrap_or(i64::MAX);
    if !(0..=most).contains(&scale) {
        return Err(invalid(format!(
            "In {name}(P, S), S must be between 0 and {most}"
        )));
    }
    if precision < scale.max(1) || precision > whole + scale {
        return Err(invalid(format!(
            "In {name}(P, {scale}), P must be between {} and {}",
            scale.max(1),
            whole + scale
        )));
    }
    Ok(u32::try_from(precision).ok().zip(u32::try_from(scale).ok()))
}

/// The column of a definition in CREATE TABLE or ADD COLUMN, and whether it is the primary key.
pub(super) fn column_of_definition(definition: &ColumnDef) -> Result<(Column, bool)> {
    let name = &definition.name.value;
    check_column_name(name)?;
    let mut column = column_of(name, &definition.data_type)?;
    let mut is_key = false;
    for option in &definition.options {
        match &option.option {
            ColumnOption::NotNull if column.mode == Mode::Repeated => {
                return Err(invalid(format!(
                    "NOT NULL cannot be applied to ARRAY field {name}"
                )));
            }
            ColumnOption::NotNull => column.mode = Mode::Required,
            ColumnOption::PrimaryKey(key) => {
                check_not_enforced(key.characteristics.as_ref())?;
                is_key = true;
            }
            ColumnOption::Options(options) => column.description = description(options)?,
            other => return Err(unsupported(format!("the column option {other}"))),
        }
    }
    Ok((column, is_key))
}

/// A primary key is never enforced, and the statement has to say so.
pub(super) fn check_not_enforced(
    characteristics: Option<&sqlparser::ast::ConstraintCharacteristics>,
) -> Result<()> {
    if characteristics.is_some_and(|given| given.enforced == Some(false)) {
        return Ok(());
    }
    Err(invalid(
        "Enforced PRIMARY KEY constraints are not supported; use NOT ENFORCED",
    ))
}

/// Refuses a name that no column may have. Names of other alphabets are allowed by the service in part.
pub(super) fn check_column_name(name: &str) -> Result<()> {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    if !name.chars().all(plain) || name.starts_with(|first: char| first.is_ascii_digit()) {
        return Err(unsupported("flexible column names"));
    }
    let upper = name.to_ascii_uppercase();
    let reserved = [
        "_TABLE_",
        "_FILE_",
        "_PARTITION",
        "_ROW_TIMESTAMP",
        "__ROOT__",
        "_COLIDENTIFIER",
    ];
    let bad = name.is_empty() || name.len() > 300 || reserved.iter().any(|r| upper.starts_with(r));
    if bad {
        return Err(invalid(format!("Invalid field name \"{name}\"")));
    }
    Ok(())
}

/// The description among options; other options of a column are not kept.
pub(super) fn description(options: &[SqlOption]) -> Result<Option<String>> {
    let mut found = None;
    for option in options {
        match option {
            SqlOption::KeyValue { key, value }
                if key.to_string().eq_ignore_ascii_case("description") =>
            {
                found = text_of(value)?;
            }
            other => return Err(unsupported(format!("the option {other}"))),
        }
    }
    Ok(found)
}

/// The text of an option, or none for NULL.
pub(super) fn text_of(value: &Expr) -> Result<Option<String>> {
    match value {
        Expr::Value(value) if value.value == sqlparser::ast::Value::Null => Ok(None),
        Expr::Value(value) => literal::string(&value.value).map(Some),
        _ => Err(unsupported("an option that is no literal")),
    }
}
