//! What each index has mapped: the engine fails where a query or an order needs a path that an index does
//! not know. Facts: sections 3.3 and 6.

use std::collections::{BTreeMap, HashSet};

use serde_json::Value;

use super::document::{Category, Mapped, paths};

/// Fields that every document may have, which are mapped before the first one comes.
const FIELDS: [&str; 40] = [
    "_id",
    "_doc",
    "_score",
    "fileId",
    "rawFileId",
    "traceId",
    "orgSlug",
    "category",
    "filePath",
    "createdAt",
    "indexedAt",
    "ids",
    "idsType",
    "idsVersion",
    "source.id",
    "source.type",
    "source.name",
    "source.datapipeline.inputFileId",
    "integration.id",
    "integration.type",
    "integration.name",
    "integration.workflowId",
    "integration.masterScript",
    "integration.taskScript",
    "integration.taskSlug",
    "integration.taskExecutionId",
    "file.bucket",
    "file.path",
    "file.checksum",
    "file.size",
    "file.type",
    "file.version",
    "file.s3ContentType",
    "file.s3ContentEncoding",
    "file.tsEncodedPath",
    "tags",
    "labels.name",
    "labels.value",
    "deleted",
    "outdated",
];

/// The mappings of all indices.
#[derive(Debug, Default)]
pub(super) struct Mappings(BTreeMap<Category, Paths>);

#[derive(Debug, Default)]
struct Paths {
    nested: HashSet<String>,
    values: HashSet<String>,
}

impl Mappings {
    /// Maps what a document has.
    pub(super) fn take(&mut self, category: Category, document: &Value) {
        let known = self.0.entry(category).or_default();
        paths(document, "", &mut |path, mapped| {
            let paths = match mapped {
                Mapped::Nested => &mut known.nested,
                Mapped::Values => &mut known.values,
            };
            if !paths.contains(path) {
                paths.insert(path.to_owned());
            }
        });
    }

    /// Whether the lists of objects at a path are mapped in an index.
    pub(super) fn is_nested(&self, category: Category, path: &str) -> bool {
        let known = self.0.get(&category);
        path == "labels" || known.is_some_and(|paths| paths.nested.contains(path))
    }

    /// Whether an index can sort by a field.
    pub(super) fn has_values(&self, category: Category, field: &str) -> bool {
        let known = self.0.get(&category);
        FIELDS.contains(&field) || known.is_some_and(|paths| paths.values.contains(field))
    }
}
