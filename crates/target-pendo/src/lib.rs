//! target-pendo
