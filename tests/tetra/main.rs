//! `tap-tetra-searcheql | target-bigquery` and `| target-analytics` from end to end over the stand-ins: what arrives in
//! each way of retrieving, both programs killed without a word (kill -9) at every point where it could matter, files
//! that arrive and are indexed again while they are read, and what the tap does when the platform misbehaves. The
//! table of the points is in `README.md` beside this folder; each row of it names a test of `crash_tap` or `crash_target`.

mod crash_tap;
mod crash_target;
mod end_to_end;
mod faults_tap;
mod pair;
mod show;
