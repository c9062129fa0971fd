//! Repositories of git: what an address says, which commit it means, and the files of that.
//!
//! All but addresses is asked of the `git` program. It knows no rules on whom may be connected to: the
//! caller gives it a proxy, past which git does not get. `build` reads addresses, the binary fetches.

mod address;
mod checkout;
mod commit;
mod program;

pub use address::{AddressError, Repository};
pub use commit::Commit;
pub use program::{Git, GitError, PROXY_VARIABLE, Way};
