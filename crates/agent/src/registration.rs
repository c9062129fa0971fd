//! The node's own records: what it is, and that it answers.

use jiff::Timestamp;
use model::node::{Node, NodeStatus, Orders};
use model::{Id, Meta, ProjectId};
use store::{CommitError, Store};

use crate::Announcement;

/// Writes down what the node is, and that it is ready.
pub(crate) async fn register(store: &Store, announcement: Announcement) -> Result<(), CommitError> {
    let Announcement { id, name, spec } = announcement;
    let mut batch = store.transaction();
    match store.get::<Node>(id) {
        Some(found) => {
            let mut node = Node::clone(&found.value);
            if node.spec != spec || node.meta.name != name {
                node.meta.generation += 1;
                node.meta.name = name;
                node.spec = spec;
                batch.update(id, found.revision, node);
            }
        }
        None => {
            let mut meta = Meta::new(name, ProjectId::ADMIN, Timestamp::now());
            meta.id = id;
            let orders = Orders::default();
            batch.insert(id, Node { meta, spec, orders });
        }
    }
    batch.put(
        id,
        NodeStatus {
            ready: true,
            seen_at: Timestamp::now(),
        },
    );
    store.commit(batch).await.map(drop)
}

/// Writes down that the node does not answer any more.
pub(crate) async fn leave(store: &Store, id: Id) -> Result<(), CommitError> {
    let mut batch = store.transaction();
    batch.put(
        id,
        NodeStatus {
            ready: false,
            seen_at: Timestamp::now(),
        },
    );
    store.commit(batch).await.map(drop)
}
