//! The tap as a program: over a service of a few lines that answers as a test wants it, for every odd answer; and
//! over the stand-in of the CRM.

mod changes;
mod faults;
mod kit;
mod reading;
mod script;
mod stand;
mod suite;
