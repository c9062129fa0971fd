//! Attachments: what somebody says of their use of a volume, and what servers mount.

pub(super) mod routes;
