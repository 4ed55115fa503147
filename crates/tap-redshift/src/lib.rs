//! tap-redshift
