//! tap-redshift against real servers: PostgreSQL as it is, and behind a proxy that makes it behave
//! like Redshift. The suite for all taps, the defects of the tap that this one replaces, and what
//! is special about each kind of server.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    unreachable_pub,
    reason = "everything here is a test or serves one"
)]

mod connection;
mod defects;
mod discovery;
mod filter;
mod kit;
mod reading;
mod redshift;
mod suite;
mod values;
