//! The network for connectors: HTTP clients, retries with backoff, limits, redaction.
//!
//! A connector says what to ask and judges the answer; this crate waits, retries, keeps connections
//! open, reads answers within bounds, and sees to it that a secret goes to its own host and into no
//! log. [`retry`] and [`backoff`] know nothing of HTTP and serve databases as well.
//!
//! What is absent on purpose: no redirect is followed, no answer is taken for JSON, and nothing here
//! knows the process around a connector.

pub mod backoff;
pub mod base;
pub mod body;
pub mod client;
pub mod incoming;
pub mod limit;
pub mod redact;
pub mod request;
pub mod retry;

mod tls;

pub use backoff::Backoff;
pub use base::Base;
pub use body::Answer;
pub use bytes::Bytes;
pub use client::{Client, HttpConfig};
pub use incoming::Incoming;
pub use limit::Gate;
pub use request::{Method, Request};
pub use reqwest::{StatusCode, Url};
pub use retry::{Attempt, Retry};
pub use tls::install_tls;
