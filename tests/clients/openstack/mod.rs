//! The `openstack` command line, a file a service.

mod flavor;
mod identity;
mod image;
mod volume;
mod key_pair;
mod network;
mod quota;

use tests::daemon::Kind;

/// Whether the daemon under test speaks OpenStack at all.
fn is_ours() -> bool {
    Kind::wanted() == Kind::Longshore
}
