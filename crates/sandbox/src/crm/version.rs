//! The versions of the API and what differs between them. Facts: section 13.

/// A version that clients use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version(u8);

/// Names of the versions with ten times their numbers.
const VERSIONS: [(&str, u8); 8] = [
    ("v2", 20),
    ("v2.1", 21),
    ("v3", 30),
    ("v4", 40),
    ("v5", 50),
    ("v6", 60),
    ("v7", 70),
    ("v8", 80),
];

impl Version {
    /// The version of a path.
    pub(super) fn from_name(name: &str) -> Option<Version> {
        let known = VERSIONS.iter().find(|(known, _)| *known == name);
        known.map(|(_, number)| Version(*number))
    }

    /// All names, as paths have them.
    pub(super) fn names() -> impl Iterator<Item = &'static str> {
        VERSIONS.iter().map(|(name, _)| *name)
    }

    /// Modules and fields are objects instead of strings.
    pub(super) fn has_objects(self) -> bool {
        self.0 >= 21
    }

    /// A bulk read goes on by a token.
    pub(super) fn has_page_tokens(self) -> bool {
        self.0 >= 70
    }

    /// The records API wants to be told the fields.
    pub(super) fn wants_fields(self) -> bool {
        self.0 >= 30
    }

    /// The result of a bulk write has an absolute address.
    pub(super) fn has_absolute_results(self) -> bool {
        self.0 < 30
    }
}
