//! Migrations.

pub(super) mod routes;
