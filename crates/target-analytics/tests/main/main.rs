//! The target as a program, over the stand-in of Zoho Analytics: the suite that every target passes, and
//! what only this one does.

mod conformance;
mod faults;
mod kit;
mod modes;
