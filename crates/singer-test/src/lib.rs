//! singer-test
