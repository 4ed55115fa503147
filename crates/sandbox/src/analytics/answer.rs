//! Answers and refusals in the envelopes of section 1.3, with the codes of section 6.

use std::fmt::Write;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::options::ErrorCode;

/// Code, constant and HTTP status of what the service refuses with. Where the facts name no constant
/// the name is made up.
const REFUSALS: &[(u32, &str, u16)] = &[
    (6001, "PLAN_ROW_COUNT_EXCEEDED", 400),
    (6043, "DAILY_API_UNITS_EXCEEDED", 400),
    (6044, "DAILY_USER_API_UNITS_EXCEEDED", 400),
    (6045, "API_FREQUENCY_EXCEEDED", 400),
    (7005, "COMMON_INTERNAL_SERVER_ERROR", 500),
    (7092, "DDL_LOCK_SINCE_IMPORT_IN_PROGRESS", 400),
    (7103, "META_OBJECT_NOT_PRESENT", 404),
    (7104, "META_OBJECT_NOT_PRESENT", 404),
    (7105, "META_OBJECT_NOT_PRESENT", 404),
    (7107, "META_OBJECT_NOT_PRESENT", 400),
    (7111, "META_DBOBJECT_NAME_DUPLICATED", 400),
    (7126, "META_COLUMN_NAME_EMPTY", 400),
    (7127, "META_COLUMN_NAME_TOO_LONG", 400),
    (7128, "COLUMNS", 400),
    (7137, "NOT_A_TABLE", 400),
    (7143, "META_DEFAULT_NOT_ALLOWED", 400),
    (7144, "FOLDERNAME", 400),
    (7146, "DATATYPE", 400),
    (7157, "META_COLUMN_NAME_DUPLICATED", 400),
    (7164, "SYSTEM_TABLE_DATA_MOD", 400),
    (7165, "SNAPSHOT_TABLE_DATAMOD", 400),
    (7179, "NO_VIEW_IN_WORKSPACE", 400),
    (7183, "LOOKUP_DATATYPE_MISMATCH", 400),
    (7198, "TABLE_DESIGN_CHANGE_IN_PROGRESS", 400),
    (7203, "IMPORT_FILE_EMPTY", 400),
    (7208, "IMPORT_FILE_NUMBER_OF_FIELDS_EXCEEDS_SIZE", 400),
    (7232, "IMPORT_ABORTED", 400),
    (7235, "NO_COLUMN_MATCHES_THE_HEADER", 400),
    (7248, "INVALID_FILE_CONTENT", 400),
    (7301, "SECURITY_NOT_PERMITTED", 403),
    (7319, "OBJID_NOT_BELONGS_TO_DB", 400),
    (7327, "FILTERCRITERIA_CANNOT_CONVERT_VALUE", 400),
    (7330, "FILTERCRITERIA_UNKNOWN_COLUMN", 400),
    (7331, "FILTERCRITERIA_INVALID_SYNTAX", 400),
    (7332, "FILTERCRITERIA_UNKNOWN_TABLE", 400),
    (7333, "FILTERCRITERIA_AGGREGATE_NOT_ALLOWED", 400),
    (7336, "BATCH_IMPORT_LIMIT_EXCEEDED", 400),
    (7337, "BATCH_IMPORT_LAST_BATCH_ALREADY_RECEIVED", 400),
    (7338, "BATCH_IMPORT_INVALID_KEY", 400),
    (7340, "BATCH_IMPORT_VIEWID_MISMATCH", 400),
    (7387, "ORGID_MISMATCH", 400),
    (7389, "ORG_NOT_PRESENT", 400),
    (7395, "LOOKUP_COLUMN_NOT_PRESENT", 400),
    (7397, "NOT_A_TABLE", 400),
    (7405, "DML_NOT_ALLOWED", 400),
    (7413, "TABLENAME", 400),
    (7439, "NOT_A_TABLE", 400),
    (7478, "MORE_THAN_MAX_COLUMN", 400),
    (7507, "INVALID_VALUE_FOR_DATATYPE", 400),
    (7511, "MANDATORY_COLUMN_EMPTY", 400),
    (7512, "INVALID_DATE_FORMAT", 400),
    (7515, "UNKNOWN_LOOKUP_VALUE", 400),
    (7565, "UNVERIFIED_EMAIL", 400),
    (8016, "API_NO_COLUMN_PRESENT", 400),
    (8046, "INVALID_COLUMNS_SELECTED", 400),
    (8054, "FILTERCRITERIA_PARSE_EXCEPTION", 400),
    (8062, "ADD_ROW_REQUEST_STILL_IN_PROGRESS", 400),
    (8077, "EMPTY_JSON_CONFIGURATION", 400),
    (8079, "ATTRIBUTE_NOT_PRESENT_IN_JSON_CONFIGURATION", 400),
    (8080, "INVALID_JSON_CONFIGURATION", 400),
    (8083, "ORGID_NOT_PRESENT_IN_THE_HEADER", 400),
    (8084, "INVALID_ORGID", 400),
    (8119, "INVALID_VALUE_FOR_ATTRIBUTE", 400),
    (8125, "CALLBACKURL_MALFORMED", 400),
    (8126, "CALLBACKURL_NOT_REACHABLE", 400),
    (8127, "CALLBACKURL_PRIVATE_ADDRESS", 400),
    (8130, "INVALID_UPDATE_CRITERIA_CONFIGURATION", 400),
    (8131, "INVALID_DELETE_CRITERIA_CONFIGURATION", 400),
    (8132, "ASYNC_EXPORT_LIMIT_EXCEEDED", 400),
    (8134, "ASYNC_IMPORT_LIMIT_EXCEEDED", 400),
    (8137, "IMPORT_JOB_NOT_FOUND", 400),
    (8138, "IMPORT_JOB_ACCESS_DENIED", 403),
    (8139, "PASTED_DATA_LIMIT_EXCEEDED", 400),
    (8148, "DECIMAL_AND_THOUSAND_SEPARATOR_EQUAL", 400),
    (8173, "MORE_THAN_MAX_COLUMNS_IN_ONE_CALL", 400),
    (8241, "SYSTEM_TAG_DATA_WARNING", 409),
    (8504, "LESS_THAN_MIN_OCCURANCE", 400),
    (8507, "MORE_THAN_MAX_LENGTH", 400),
    (8509, "PATTERN_NOT_MATCHED", 400),
    (8516, "UNABLE_TO_PARSE_DATA_TYPE", 400),
    (8535, "INVALID_OAUTHTOKEN", 401),
    (8540, "INVALID_OAUTHSCOPE", 400),
    (8547, "ARRAY_SIZE_OUT_OF_RANGE", 400),
    (10001, "IMPORT_ALREADY_RUNNING", 400),
    (18072, "TABLE_SYNC_INPROGRESS", 400),
    (18073, "DATASOURCE_SYNC_INPROGRESS", 400),
    (101_021, "NOT_A_STREAM_TABLE", 400),
];

/// A call that is refused.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) code: u32,
    /// The HTTP status, if not that of the code.
    pub(crate) status: Option<u16>,
    pub(crate) message: String,
}

/// Whether the stand-in knows a code.
pub(crate) fn is_known_code(code: u32) -> bool {
    REFUSALS.iter().any(|(known, ..)| *known == code)
}

impl Failure {
    pub(crate) fn new(code: u32, message: impl Into<String>) -> Failure {
        Failure {
            code,
            status: None,
            message: message.into(),
        }
    }

    fn known(&self) -> (u32, &'static str, u16) {
        let found = REFUSALS.iter().find(|(code, ..)| *code == self.code);
        found
            .copied()
            .unwrap_or((self.code, "UNKNOWN_FAILURE", 400))
    }

    pub(crate) fn into_response(self, written: ErrorCode) -> Response {
        let (code, constant, usual) = self.known();
        let code = match written {
            ErrorCode::Number => Value::from(code),
            ErrorCode::Text => Value::from(code.to_string()),
        };
        let status = StatusCode::from_u16(self.status.unwrap_or(usual));
        let body = json!({"status": "failure", "summary": constant,
            "data": {"errorCode": code, "errorMessage": self.message}});
        (status.unwrap_or(StatusCode::BAD_REQUEST), Json(body)).into_response()
    }

    /// The same as a body that is no valid JSON: quotes and backslashes stand where they like.
    pub(crate) fn into_broken_json(self) -> Response {
        let (code, constant, usual) = self.known();
        let mut body = String::new();
        write!(
            body,
            "{{\"status\":\"failure\",\"summary\":\"{constant}\",\"data\":{{\"errorCode\":{code},\"errorMessage\":\"the value \"x\" at \\q is bad: {}\"}}}}",
            self.message
        )
        .expect("writing to a string cannot fail");
        let status = StatusCode::from_u16(self.status.unwrap_or(usual));
        let kind = [(header::CONTENT_TYPE, "application/json;charset=UTF-8")];
        (status.unwrap_or(StatusCode::BAD_REQUEST), kind, body).into_response()
    }
}

/// What a call answers with.
#[derive(Debug)]
pub(crate) enum Answer {
    Success { summary: &'static str, data: Value },
    NoContent,
    File(Vec<u8>),
}

impl Answer {
    pub(crate) fn success(summary: &'static str, data: Value) -> Answer {
        Answer::Success { summary, data }
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        match self {
            Answer::Success { summary, data } => {
                Json(json!({"status": "success", "summary": summary, "data": data})).into_response()
            }
            Answer::NoContent => StatusCode::NO_CONTENT.into_response(),
            Answer::File(bytes) => {
                let kind = HeaderValue::from_static("text/csv;charset=UTF-8");
                ([(header::CONTENT_TYPE, kind)], bytes).into_response()
            }
        }
    }
}
