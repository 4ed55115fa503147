//! Zoho's own SDK for CRM as a judge: what it says of the sandbox's stand-in of CRM, in several readings of
//! what the service's pages leave open; `tap-crm` over records that it reads and changes, and
//! `target-crm-bulkwrite` into modules that it reads back. A connector of others and singer-check-tap have
//! their say as well.

mod both;
mod case;
mod client;
mod tap;
mod target;
