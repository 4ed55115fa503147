//! `tap-crm | map-records | target-crm-bulkwrite` from end to end over the stand-in of Zoho CRM: what arrives in
//! each way of reading and writing, each of the three killed without a word (kill -9) at every point where it
//! could matter, and what they do when the service misbehaves. The table of the points is in `README.md` beside
//! this folder; each row of it names a test of `crash_tap`, `crash_target` or `crash_inserts`.

mod crash_inserts;
mod crash_tap;
mod crash_target;
mod end_to_end;
mod faults_map;
mod faults_tap;
mod faults_target;
mod pair;
mod ways;
