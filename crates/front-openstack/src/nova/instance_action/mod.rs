//! What was done to servers, and by whom.

pub(super) mod routes;
