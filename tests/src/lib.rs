//! What the end to end tests share. The tests themselves lie beside this folder, a program each:
//! `tidy`, `pipelines`, `crash`, `goldens`, `examples`, `tenants`, `cleanup`, `instruments`, `catalogs`, `readme`,
//! `interop`, `interop_bigquery`, `zoho`, `crm`, `tetra`.

pub mod demo;
pub mod pair;
pub mod proxy;
pub mod world;
