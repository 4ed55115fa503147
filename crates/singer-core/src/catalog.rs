//! The catalog: which streams and fields there are, and which of them a person wants.
