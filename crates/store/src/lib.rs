//! What is true: records with revisions, watches and compare-and-swap.
pub mod record;
