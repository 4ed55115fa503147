//! singer-runtime
