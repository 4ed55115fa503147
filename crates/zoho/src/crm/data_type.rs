//! The types of fields, by the service's names.

/// What a field holds.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum DataType {
    /// A line of text.
    Text,
    /// Lines of text.
    TextArea,
    /// An address of e-mail.
    Email,
    /// A number to call.
    Phone,
    /// A URL.
    Website,
    /// One of a list.
    PickList,
    /// Some of a list.
    MultiSelectPickList,
    /// A number that the service gives, with prefix and suffix.
    AutoNumber,
    /// A whole number.
    Integer,
    /// A whole number of up to 19 digits.
    BigInt,
    /// A decimal.
    Double,
    /// A percentage.
    Percent,
    /// An amount of money.
    Currency,
    /// A switch.
    Boolean,
    /// A day.
    Date,
    /// A moment.
    DateTime,
    /// A record of another module.
    Lookup,
    /// The user to whom a record belongs.
    OwnerLookup,
    /// A user.
    UserLookup,
    /// A profile.
    ProfileLookup,
    /// What a formula yields.
    Formula,
    /// What is summed up over related records.
    RollupSummary,
    /// Rows within a record.
    Subform,
    /// Files.
    FileUpload,
    /// Pictures.
    ImageUpload,
    /// The picture of a record.
    ProfileImage,
    /// Records of another module.
    MultiSelectLookup,
    /// Users.
    MultiUserLookup,
    /// An address made of several fields.
    Address,
    /// A consent.
    ConsentLookup,
    /// A rule of repetition.
    RRule,
    /// An alarm.
    Alarm,
    /// A reminder of an event.
    EventReminder,
    /// Several reminders.
    MultiReminder,
    /// A type that is not known here, by its name.
    Other(String),
}

/// The service's names.
const NAMES: [(&str, DataType); 34] = [
    ("text", DataType::Text),
    ("textarea", DataType::TextArea),
    ("email", DataType::Email),
    ("phone", DataType::Phone),
    ("website", DataType::Website),
    ("picklist", DataType::PickList),
    ("multiselectpicklist", DataType::MultiSelectPickList),
    ("autonumber", DataType::AutoNumber),
    ("integer", DataType::Integer),
    ("bigint", DataType::BigInt),
    ("double", DataType::Double),
    ("percent", DataType::Percent),
    ("currency", DataType::Currency),
    ("boolean", DataType::Boolean),
    ("date", DataType::Date),
    ("datetime", DataType::DateTime),
    ("lookup", DataType::Lookup),
    ("ownerlookup", DataType::OwnerLookup),
    ("userlookup", DataType::UserLookup),
    ("profilelookup", DataType::ProfileLookup),
    ("formula", DataType::Formula),
    ("rollup_summary", DataType::RollupSummary),
    ("subform", DataType::Subform),
    ("fileupload", DataType::FileUpload),
    ("imageupload", DataType::ImageUpload),
    ("profileimage", DataType::ProfileImage),
    ("multiselectlookup", DataType::MultiSelectLookup),
    ("multiuserlookup", DataType::MultiUserLookup),
    ("address", DataType::Address),
    ("consent_lookup", DataType::ConsentLookup),
    ("RRULE", DataType::RRule),
    ("ALARM", DataType::Alarm),
    ("event_reminder", DataType::EventReminder),
    ("multireminder", DataType::MultiReminder),
];

impl DataType {
    /// The type of this name, in whatever letters.
    pub fn of(name: &str) -> Self {
        let known = (NAMES.iter()).find(|(known, _)| known.eq_ignore_ascii_case(name));
        known.map_or_else(|| Self::Other(name.to_owned()), |(_, known)| known.clone())
    }

    /// The service's name for it.
    pub fn name(&self) -> &str {
        if let Self::Other(name) = self {
            return name;
        }
        let known = NAMES.iter().find(|(_, known)| known == self);
        known.map_or("", |(name, _)| name)
    }
}
