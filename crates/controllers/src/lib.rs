//! Making it so: one reconciler a noun, on the store's runner.
//!
//! Controllers turn what users want into what nodes do: [`placement`] chooses node and addresses,
//! [`restart`] asks for another run, [`garbage`] removes what is over. They meet the agents only
//! in the store, and each owns the records it writes. The binary starts them.

pub mod address;
pub mod garbage;
pub mod placement;
pub mod restart;

use std::sync::Arc;

pub use scheduler::Strategy;
use store::Store;
use store::runner::Runner;

/// All controllers at work.
pub struct Controllers {
    runners: Vec<Runner>,
}

/// Starts every controller. Must be called within a tokio runtime.
pub fn spawn_all(store: &Store, strategy: Strategy) -> Controllers {
    let runners = vec![
        Runner::start(
            store,
            Arc::new(placement::Controller::new(store.clone(), strategy)),
        ),
        Runner::start(store, Arc::new(restart::Controller::new(store.clone()))),
        Runner::start(store, Arc::new(garbage::Controller::new(store.clone()))),
    ];
    Controllers { runners }
}

impl Controllers {
    /// Stops them. What they were in the middle of is taken up again by the next start.
    pub async fn shut_down(self) {
        for runner in self.runners {
            runner.shut_down().await;
        }
    }
}
