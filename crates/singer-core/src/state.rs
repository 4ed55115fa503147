//! The state: bookmarks by stream.
