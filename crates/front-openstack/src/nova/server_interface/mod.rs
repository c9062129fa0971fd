//! The places of servers on networks: addresses, ports and the groups of rules that hold for them.

pub(super) mod routes;
