//! The target as a program, over the stand-in of Pendo: the suite that every target passes, and what
//! only this one does (kinds of answers, the memory of confirmed values, vanished rows).

mod conformance;
mod faults;
mod kit;
mod memory;
mod plan;
