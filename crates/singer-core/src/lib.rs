//! singer-core
