//! What the tests of credentials share.
