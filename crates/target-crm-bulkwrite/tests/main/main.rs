//! The target as a program, over the stand-in of Zoho CRM: the suite that every target passes, and what
//! only this one does.

mod conformance;
mod inserts;
mod kit;
mod rows;
