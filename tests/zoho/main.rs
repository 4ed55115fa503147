//! `tap-datastore | target-analytics` from end to end over the stand-ins of Zoho: what arrives in each mode,
//! both killed without a word (kill -9) at every point where it could matter, and what either side does when
//! the services misbehave. The table of the points is in `README.md` beside this folder; each row of it names
//! a test of `crash_tap`, `crash_target` or `events`.

mod crash_tap;
mod crash_target;
mod end_to_end;
mod events;
mod example;
mod faults_tap;
mod faults_target;
mod pair;
mod tokens;
