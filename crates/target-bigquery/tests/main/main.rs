//! The target as a program, over the stand-in of BigQuery: the suite that every target passes, and what
//! only this one does.

mod conformance;
mod kit;
mod modes;
mod replace;
mod review;
mod tenants;
mod types;
