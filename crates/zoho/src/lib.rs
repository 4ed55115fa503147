//! What the connectors of Zoho share: data centres, tokens, requests and what their errors mean, bulk
//! jobs, CSV in and out of archives, and a receiver for what Zoho posts to us.
//!
//! A connector says which service it speaks to ([`fault::Service`]) and what it asks; this crate gets
//! the token, sends, waits, repeats what may be repeated, and turns refusals into errors that say what
//! to do.

#![expect(
    clippy::result_large_err,
    reason = "a fault is as large as the answer that comes instead of it, and far rarer"
)]

pub mod account;
pub mod api;
pub mod archive;
pub mod bulk;
pub mod cell;
pub mod config;
pub mod crm;
pub mod data_center;
pub mod encode;
pub mod fault;
pub mod multipart;
pub mod receiver;
pub mod table;

mod pause;
#[cfg(test)]
mod testing;

pub use account::Account;
pub use api::{Api, Call, Repeat};
pub use config::AccountConfig;
pub use data_center::DataCenter;
pub use fault::{Class, Fault};
