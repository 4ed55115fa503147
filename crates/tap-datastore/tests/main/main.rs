//! The tap as a program, over the stand-in of Data Store: the suite that every tap passes, and what only
//! this one does.

mod deletions;
mod events;
mod kit;
mod reading;
mod script;
mod sparing;
mod suite;
