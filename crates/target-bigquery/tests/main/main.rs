//! The target as a program, over the stand-in of BigQuery: the suite that every target passes, and what
//! only this one does.

mod check;
mod conformance;
mod faults;
mod kit;
mod modes;
mod once;
mod replace;
mod review;
mod tenants;
mod types;
mod weak_spots;
