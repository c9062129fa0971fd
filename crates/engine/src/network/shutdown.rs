//! The end of the networks: everything goes for good, or waits for the next daemon.

use model::Id;

use super::error::NetworkError;
use super::{Inner, forwarding, namespace, reaper};

impl Inner {
    /// Removes everything of this daemon from the node, whatever fails; answers the first failure.
    pub(super) fn shutdown(&self) -> Result<(), NetworkError> {
        let instances: Vec<Id> = self.slots().keys().copied().collect();
        for instance in instances {
            self.with_slot(instance, |slot| {
                if let Some(live) = slot.take() {
                    self.detach(live);
                }
            });
        }
        let routers: Vec<Id> = self.routers().keys().copied().collect();
        let mut first = None;
        for router in routers {
            first = first.or(self.remove_router(router).err());
        }
        first = first.or(self.pool.close().err());
        self.reaper.close();
        let foreign = self.foreign_names(&self.bridges());
        let networks: Vec<Id> = self.bridges().keys().copied().collect();
        for network in networks {
            first = first.or(self.remove(network).err());
        }
        forwarding::withdraw(&self.prefix, &foreign);
        first = first.or(self.firewall.remove().err());
        first = first.or(self.guards.close().err());
        // What is left of pairs whose namespaces were just freed, and of failures.
        let left = self.host().links().and_then(|links| {
            let ours: Vec<u32> = links
                .iter()
                .filter(|link| link.alias.as_deref() == Some(&self.alias))
                .map(|link| link.index)
                .collect();
            reaper::remove_interfaces(&ours)
        });
        first = first.or(left.err());
        first = first.or(namespace::release_directory(&self.directory).err());
        first.map_or(Ok(()), Err)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Sandboxes and bridges stay for the next daemon; what is ready is made anew.
        if let Err(error) = self.pool.close() {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "namespaces are left behind"
            );
        }
        self.reaper.close();
    }
}
