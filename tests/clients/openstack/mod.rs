//! The `openstack` command line, a file a service.

mod boot_volume;
mod flavor;
mod identity;
mod image;
mod isolation;
mod key_pair;
mod machine;
mod network;
mod operator;
mod quota;
mod server;
mod tls;
mod volume;

use tests::daemon::Kind;

/// Whether the daemon under test speaks OpenStack at all.
fn is_ours() -> bool {
    Kind::wanted() == Kind::Longshore
}
