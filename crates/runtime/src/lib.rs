//! One container as a process, and the keeper that is the parent of them all.

pub mod launch;
