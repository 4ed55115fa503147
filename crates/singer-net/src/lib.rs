//! singer-net
