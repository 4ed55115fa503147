//! Zoho's own clients as judges: its SDK for Catalyst fills and reads tables of Data Store, its client for
//! Analytics reads views, both over the sandbox; and what both say of the sandbox itself. singer-check-tap
//! and Meltano have their say as well.

mod both;
mod case;
mod client;
mod tap;
mod target;
