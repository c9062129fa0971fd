//! The keeper: the parent of every container of a node, which outlives the daemon.
//!
//! [`serve`] is the process itself: one thread, one loop. It starts processes through
//! [`crate::start`], owns their standard streams, writes their logs, reaps them and remembers how
//! they ended until it is told to [forget](Client::forget). [`ensure`] finds or spawns it, and
//! [`Client`] talks to it. It knows nothing of images, networks or any API, and keeps nothing on
//! disk but logs: its memory outlives an upgrade ([`resume`]), and its containers end with it.

mod attachment;
mod calls;
mod client;
mod clients;
mod connection;
mod ensure;
mod frame;
mod lives;
mod log;
mod poll;
mod process;
mod protocol;
mod serve;
mod server;
mod socket;
mod streams;
mod upgrade;

pub use client::{Attached, CallError, Client, ConnectError};
pub use ensure::{EnsureError, ensure};
pub use protocol::{
    Exited, Hello, KeeperEvent, Phase, ProcessKey, ProcessState, Refusal, Spawned, VERSION,
};
pub use serve::{ServeError, resume, serve};
pub use upgrade::{ResumeError, build};

pub use crate::sealed::SealError;

/// The socket in the keeper's directory.
pub const SOCKET: &str = "socket";
/// What the keeper itself has to say, in its directory.
const LOG: &str = "keeper.log";
/// Held by the keeper of the directory.
const LOCK: &str = "lock";
