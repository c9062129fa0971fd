//! The `openstack` command line, a file a service.

mod identity;
mod image;
mod volume;

use tests::daemon::Kind;

/// Whether the daemon under test speaks OpenStack at all.
fn is_ours() -> bool {
    Kind::wanted() == Kind::Longshore
}
