//! What the end to end tests share. The tests themselves lie beside this folder, a program each:
//! `tidy`, `pipelines`, `crash`, `goldens`, `examples`, `tenants`, `catalogs`, `readme`, `interop`,
//! `interop_bigquery`.

pub mod pair;
pub mod world;
