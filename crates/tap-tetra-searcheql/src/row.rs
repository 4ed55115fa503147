//! How files are named by `--row`.

use singer_runtime::rows::Kind;

use crate::model::FILE_ID;

/// Files of a stream.
pub(crate) const FILES: Kind = Kind {
    word: "file",
    form: "it is `STREAM/FILEID`, with commas between several ids, or a line of a rejects file",
    key: FILE_ID,
    id: |text| (!text.is_empty()).then(|| text.to_owned()),
};
