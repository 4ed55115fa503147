//! The binary `antiphon-sandbox`.
fn main() {}
