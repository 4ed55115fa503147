//! What an import is told in its CONFIG, read with the codes of sections 3.2 and 6.4.

use serde_json::Value;

use super::answer::Failure;
use super::config::{Config, bad_value, missing};
use super::csv::Dialect;
use super::datatype::DataType;
use super::date::Pattern;
use super::options::{AnalyticsOptions, Milliseconds};

/// What happens to the rows that are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ImportType {
    Append,
    TruncateAdd,
    UpdateAdd,
}

/// What happens at a cell that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnError {
    Abort,
    SkipRow,
    SetColumnEmpty,
}

/// The kind of file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileType {
    Csv,
    Json,
}

/// Whether the table is there or is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Existing,
    New,
}

/// Whether the file is the whole import or one of several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Portion {
    Whole,
    Batch,
}

/// An import as its CONFIG has it.
#[derive(Clone, Debug)]
pub(crate) struct ImportSpec {
    pub(crate) import_type: ImportType,
    pub(crate) table_name: Option<String>,
    pub(crate) file_type: FileType,
    /// `None` lets it be found out.
    pub(crate) dialect: Option<Dialect>,
    pub(crate) on_error: OnError,
    pub(crate) matching: Vec<String>,
    pub(crate) selected: Option<Vec<String>>,
    pub(crate) skip_top: u64,
    pub(crate) thousands: Option<u8>,
    pub(crate) decimal: u8,
    pub(crate) date_format: Option<Pattern>,
    pub(crate) column_formats: Vec<(String, Pattern)>,
    pub(crate) data_types: Vec<(String, DataType)>,
    pub(crate) callback: Option<String>,
}

/// Which batch a call brings.
#[derive(Clone, Debug)]
pub(crate) struct BatchMark {
    pub(crate) key: String,
    pub(crate) is_last: bool,
}

const KEYS: [&str; 25] = [
    "importType",
    "tableName",
    "fileType",
    "autoIdentify",
    "onError",
    "matchingColumns",
    "selectedColumns",
    "skipTop",
    "delimiter",
    "quoted",
    "commentChar",
    "thousandSeparator",
    "decimalSeparator",
    "dateFormat",
    "columnDateFormat",
    "columnTimeFormat",
    "columnDurationFormat",
    "columnDataTypes",
    "columnSeparators",
    "matchNulls",
    "updateNullForNegativeValues",
    "retainColumnNames",
    "callbackUrl",
    "batchKey",
    "isLastBatch",
];

impl ImportType {
    /// The name that summaries show.
    pub(crate) fn name(self) -> &'static str {
        match self {
            ImportType::Append => "APPEND",
            ImportType::TruncateAdd => "TRUNCATEADD",
            ImportType::UpdateAdd => "UPDATEADD",
        }
    }
}

/// Reads the two keys of a batch. The rest is read with the first batch alone.
pub(crate) fn batch_mark(config: &Config) -> Result<BatchMark, Failure> {
    Ok(BatchMark {
        key: config.required_text("batchKey")?.to_owned(),
        is_last: config
            .flag("isLastBatch")?
            .ok_or_else(|| missing("isLastBatch"))?,
    })
}

/// Reads CONFIG of any import.
pub(crate) fn import_config(text: Option<&str>) -> Result<Config, Failure> {
    Config::required(text, &KEYS)
}

impl ImportSpec {
    pub(crate) fn read(
        config: &Config,
        target: Target,
        portion: Portion,
        options: &AnalyticsOptions,
    ) -> Result<ImportSpec, Failure> {
        if portion == Portion::Whole && (config.has("batchKey") || config.has("isLastBatch")) {
            let message = "CONFIG has an unknown attribute `batchKey`";
            return Err(Failure::new(8080, message));
        }
        let import_type = match target {
            Target::Existing => import_type(config.required_text("importType")?)?,
            Target::New => ImportType::Append,
        };
        let table_name = match target {
            Target::Existing => None,
            Target::New => Some(config.required_text("tableName")?.to_owned()),
        };
        let file_type = file_type(config.text("fileType")?, portion)?;
        let auto = config
            .flag("autoIdentify")?
            .ok_or_else(|| missing("autoIdentify"))?;
        let (thousands, decimal) = separators(config)?;
        let (date_format, column_formats) = formats(config, options)?;
        for key in [
            "matchNulls",
            "updateNullForNegativeValues",
            "retainColumnNames",
        ] {
            config.flag(key)?;
        }
        Ok(ImportSpec {
            import_type,
            table_name,
            file_type,
            dialect: dialect(config, auto || file_type == FileType::Json)?,
            on_error: on_error(config.text("onError")?)?,
            matching: matching(config, import_type)?,
            selected: selected(config)?,
            skip_top: config.number("skipTop")?.unwrap_or(0),
            thousands,
            decimal,
            date_format,
            column_formats,
            data_types: data_types(config)?,
            callback: config
                .text("callbackUrl")?
                .map(|url| callback(url, options))
                .transpose()?,
        })
    }

    /// The pattern of a column.
    pub(crate) fn pattern(&self, column: &str, kind: DataType) -> Option<&Pattern> {
        let own = self.column_formats.iter().find(|(name, _)| name == column);
        let shared = self.date_format.as_ref().filter(|_| kind.is_temporal());
        own.map(|(_, pattern)| pattern).or(shared)
    }
}

fn import_type(name: &str) -> Result<ImportType, Failure> {
    match name.to_ascii_lowercase().as_str() {
        "append" => Ok(ImportType::Append),
        "truncateadd" => Ok(ImportType::TruncateAdd),
        "updateadd" => Ok(ImportType::UpdateAdd),
        _ => Err(bad_value("importType")),
    }
}

fn file_type(name: Option<&str>, portion: Portion) -> Result<FileType, Failure> {
    match (name.map(str::to_ascii_lowercase).as_deref(), portion) {
        (None | Some("csv"), _) => Ok(FileType::Csv),
        (Some("json"), Portion::Whole) => Ok(FileType::Json),
        _ => Err(bad_value("fileType")),
    }
}

fn on_error(name: Option<&str>) -> Result<OnError, Failure> {
    match name.map(str::to_ascii_lowercase).as_deref() {
        None | Some("abort") => Ok(OnError::Abort),
        Some("skiprow") => Ok(OnError::SkipRow),
        Some("setcolumnempty") => Ok(OnError::SetColumnEmpty),
        Some(_) => Err(bad_value("onError")),
    }
}

fn dialect(config: &Config, auto: bool) -> Result<Option<Dialect>, Failure> {
    let delimiter = match config.number("delimiter")? {
        None => None,
        Some(0) => Some(b','),
        Some(1) => Some(b'\t'),
        Some(2) => Some(b';'),
        Some(3) => Some(b' '),
        Some(_) => return Err(bad_value("delimiter")),
    };
    let quote = match config.number("quoted")? {
        None => None,
        Some(0) => Some(None),
        Some(1) => Some(Some(b'\'')),
        Some(2) => Some(Some(b'"')),
        Some(_) => return Err(bad_value("quoted")),
    };
    let comment = match config.text("commentChar")?.map(str::as_bytes) {
        None => None,
        Some([one]) => Some(*one),
        Some(_) => return Err(bad_value("commentChar")),
    };
    if auto {
        return Ok(None);
    }
    Ok(Some(Dialect {
        delimiter: delimiter.ok_or_else(|| missing("delimiter"))?,
        quote: quote.ok_or_else(|| missing("quoted"))?,
        comment: Some(comment.ok_or_else(|| missing("commentChar"))?),
    }))
}

fn matching(config: &Config, import_type: ImportType) -> Result<Vec<String>, Failure> {
    let names = config.texts("matchingColumns")?;
    if import_type != ImportType::UpdateAdd {
        return Ok(Vec::new());
    }
    let names = names.ok_or_else(|| missing("matchingColumns"))?;
    in_range(names, 100, "matchingColumns")
}

fn selected(config: &Config) -> Result<Option<Vec<String>>, Failure> {
    let names = config.texts("selectedColumns")?;
    names
        .map(|names| in_range(names, 300, "selectedColumns"))
        .transpose()
}

fn in_range(names: Vec<String>, most: usize, key: &str) -> Result<Vec<String>, Failure> {
    if names.is_empty() || names.len() > most {
        let message = format!("`{key}` takes from 1 to {most} names");
        return Err(Failure::new(8547, message));
    }
    Ok(names)
}

fn separators(config: &Config) -> Result<(Option<u8>, u8), Failure> {
    let thousands = match config.number("thousandSeparator")? {
        None | Some(4) => None,
        Some(0) => Some(b','),
        Some(1) => Some(b'.'),
        Some(2) => Some(b' '),
        Some(3) => Some(b'\''),
        Some(_) => return Err(bad_value("thousandSeparator")),
    };
    let decimal = match config.number("decimalSeparator")? {
        None | Some(0) => b'.',
        Some(1) => b',',
        Some(_) => return Err(bad_value("decimalSeparator")),
    };
    if thousands == Some(decimal) {
        let message = "The separators of decimals and of thousands are the same";
        return Err(Failure::new(8148, message));
    }
    Ok((thousands, decimal))
}

type Formats = (Option<Pattern>, Vec<(String, Pattern)>);

fn formats(config: &Config, options: &AnalyticsOptions) -> Result<Formats, Failure> {
    let shared = config.text("dateFormat")?;
    let shared = shared.map(|text| date_pattern(text, options)).transpose()?;
    let mut own = Vec::new();
    for key in ["columnDateFormat", "columnTimeFormat"] {
        let Some(object) = config.object(key)? else {
            continue;
        };
        if object.is_empty() || object.len() > 300 {
            let message = format!("`{key}` takes from 1 to 300 names");
            return Err(Failure::new(8547, message));
        }
        for (column, pattern) in object {
            let text = pattern.as_str().ok_or_else(|| bad_value(key))?;
            own.push((column.clone(), date_pattern(text, options)?));
        }
    }
    config.object("columnDurationFormat")?;
    Ok((shared, own))
}

/// Reads a pattern of a date, which may not be one that the service does not know.
pub(crate) fn date_pattern(text: &str, options: &AnalyticsOptions) -> Result<Pattern, Failure> {
    let pattern = Pattern::parse(text)
        .filter(|pattern| options.milliseconds != Milliseconds::Refuse || !pattern.has_millis());
    pattern.ok_or_else(|| Failure::new(7512, "The date format is invalid"))
}

fn data_types(config: &Config) -> Result<Vec<(String, DataType)>, Failure> {
    let Some(list) = config.list("columnDataTypes")? else {
        return Ok(Vec::new());
    };
    if list.len() > 500 {
        return Err(Failure::new(
            8547,
            "`columnDataTypes` takes up to 500 entries",
        ));
    }
    let entry = |entry: &Value| {
        let object = entry.as_object().cloned();
        let object = object.ok_or_else(|| bad_value("columnDataTypes"))?;
        let entry = Config::from_map(object, &["columnName", "dataType", "geoRole"])?;
        let name = entry.required_text("columnName")?.to_owned();
        let kind = DataType::from_name(entry.required_text("dataType")?)
            .ok_or_else(|| Failure::new(7146, "The data type is unknown"))?;
        Ok((name, kind))
    };
    list.iter().map(entry).collect()
}

/// Looks at a callback URL as far as that can be done without a call. The stand-in posts to plain HTTP
/// alone.
fn callback(url: &str, options: &AnalyticsOptions) -> Result<String, Failure> {
    let host = url
        .strip_prefix("http://")
        .or_else(|| url.strip_prefix("https://"))
        .and_then(|rest| rest.split(['/', '?']).next())
        .filter(|host| !host.is_empty() && !host.contains(' '));
    let Some(host) = host else {
        return Err(Failure::new(8125, "The callback URL is malformed"));
    };
    let is_private = ["127.", "10.", "192.168.", "localhost", "[::1]"]
        .iter()
        .any(|start| host.starts_with(start));
    if is_private && options.public_callbacks {
        return Err(Failure::new(8127, "The callback URL is a private address"));
    }
    Ok(url.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(change: &Value, portion: Portion) -> Result<ImportSpec, Failure> {
        let mut config = json!({"importType": "updateadd", "fileType": "csv", "autoIdentify": false,
            "delimiter": 0, "quoted": 2, "commentChar": "#", "onError": "abort",
            "matchingColumns": ["ROWID"], "columnDateFormat": {"Seen": "yyyy-MM-dd HH:mm:ss"},
            "decimalSeparator": 0});
        for (key, value) in change.as_object().unwrap() {
            config[key] = value.clone();
        }
        let config = import_config(Some(&config.to_string()))?;
        let options = crate::Options::default().analytics;
        ImportSpec::read(&config, Target::Existing, portion, &options)
    }

    #[test]
    fn the_documented_config_is_read() {
        let spec = read(&json!({"autoIdentify": "false"}), Portion::Whole).unwrap();
        assert_eq!(spec.import_type, ImportType::UpdateAdd);
        assert_eq!(spec.matching, ["ROWID"]);
        assert!(spec.pattern("Seen", DataType::Date).is_some());
        assert!(spec.pattern("Other", DataType::Date).is_none());
        assert!(
            read(
                &json!({"autoIdentify": true, "delimiter": null}),
                Portion::Whole
            )
            .is_ok()
        );
    }

    #[test]
    fn what_is_wrong_has_a_code() {
        for (change, code) in [
            (json!({"importType": "delete"}), 8119),
            (json!({"importType": null}), 8079),
            (json!({"autoIdentify": null}), 8079),
            (json!({"delimiter": null}), 8079),
            (json!({"delimiter": 9}), 8119),
            (json!({"delimiter": "x"}), 8080),
            (json!({"quoted": null}), 8079),
            (json!({"commentChar": "##"}), 8119),
            (json!({"matchingColumns": null}), 8079),
            (json!({"matchingColumns": []}), 8547),
            (json!({"selectedColumns": []}), 8547),
            (json!({"selectedColumns": "a"}), 8080),
            (json!({"decimalSeparator": 1, "thousandSeparator": 0}), 8148),
            (json!({"dateFormat": "never"}), 7512),
            (json!({"onError": "cry"}), 8119),
            (json!({"fileType": "csvv"}), 8119),
            (json!({"callbackUrl": "example"}), 8125),
            (json!({"surprise": 1}), 8080),
            (json!({"batchKey": "start"}), 8080),
            (
                json!({"columnDataTypes": [{"columnName": "a", "dataType": "BLOB"}]}),
                7146,
            ),
        ] {
            let failure = read(&change, Portion::Whole).unwrap_err();
            assert_eq!(failure.code, code, "{change}: {}", failure.message);
        }
        let json_batch = read(&json!({"fileType": "json"}), Portion::Batch);
        assert_eq!(json_batch.unwrap_err().code, 8119);
    }
}
