//! A whole cloud in one process, and what its users do.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use agent::{Agent, Announcement};
use controllers::{Controllers, Strategy};
use engine::simulated::Simulated;
use jiff::Timestamp;
use model::container::{ContainerSpec, Mount, MountSource};
use model::instance::{
    Attachment, Instance, InstanceSpec, InstanceStatus, Phase, Placement, RestartPolicy, Retry,
    Run, RunIntent, StopRequest,
};
use model::meta::{NODE_FINALIZER, Owner};
use model::network::{Network, NetworkSpec};
use model::node::NodeSpec;
use model::subnet::Subnet;
use model::volume::{Volume, VolumeSpec};
use model::{Id, Kind, Meta, ProjectId};
use store::{CommitError, Store};
use tokio::time::timeout;

/// Long enough on a busy machine; a story that takes longer has hung.
const PATIENCE: Duration = Duration::from_secs(20);
const NODE: Id = Id::from_bytes([1; 16]);

/// A whole cloud: its daemon can be stopped and started, its machine too.
pub(crate) struct House {
    pub(crate) store: Store,
    pub(crate) engine: Simulated,
    boot: u32,
    running: Option<(Controllers, Agent)>,
}

impl House {
    /// A cloud whose store lasts as long as the process.
    pub(crate) async fn new() -> Self {
        Self::with(Store::memory()).await
    }

    /// A cloud whose store is in a directory.
    pub(crate) async fn in_directory(directory: &Path) -> Self {
        Self::with(Store::embedded(directory).await.unwrap()).await
    }

    async fn with(store: Store) -> Self {
        let mut house = Self {
            store,
            engine: Simulated::new(),
            boot: 1,
            running: None,
        };
        house.start_daemon().await;
        house
    }

    pub(crate) async fn start_daemon(&mut self) {
        let spec = NodeSpec {
            cpu_milli: 2_000,
            memory_bytes: 4 << 30,
            pid_max: 32_768,
            boot_id: format!("boot {}", self.boot),
            ..NodeSpec::default()
        };
        let announcement = Announcement {
            id: NODE,
            name: "here".into(),
            spec,
        };
        let controllers = controllers::spawn_all(&self.store, Strategy::Spread);
        let agent = Agent::start(
            self.store.clone(),
            Arc::new(self.engine.clone()),
            announcement,
        )
        .await
        .unwrap();
        self.running = Some((controllers, agent));
    }

    /// Containers go on.
    pub(crate) async fn stop_daemon(&mut self) {
        let (controllers, agent) = self.running.take().unwrap();
        agent.shut_down().await;
        controllers.shut_down().await;
    }

    /// The machine starts anew, and the daemon with it.
    pub(crate) async fn reboot(&mut self) {
        self.stop_daemon().await;
        self.engine.reboot();
        self.boot += 1;
        self.start_daemon().await;
    }

    /// Makes an instance that runs these arguments.
    pub(crate) async fn create(&self, args: &[&str], change: impl FnOnce(&mut InstanceSpec)) -> Id {
        let id = Id::random();
        let container = ContainerSpec {
            args: args.iter().map(|&arg| arg.to_owned()).collect(),
            ..ContainerSpec::default()
        };
        let mut spec = InstanceSpec {
            containers: vec![container],
            ..InstanceSpec::default()
        };
        change(&mut spec);
        let mut meta = Meta::new(
            format!("name-{}", id.simple()),
            ProjectId::ADMIN,
            Timestamp::now(),
        );
        meta.id = id;
        meta.finalizers.push(NODE_FINALIZER.into());
        let mut batch = self.store.transaction();
        batch.insert(id, Instance { meta, spec });
        self.store.commit(batch).await.unwrap();
        id
    }

    /// Makes one and starts it.
    pub(crate) async fn run(&self, args: &[&str], change: impl FnOnce(&mut InstanceSpec)) -> Id {
        let id = self.create(args, change).await;
        self.start(id).await;
        id
    }

    /// Changes what a user wants; answers the new generation.
    pub(crate) async fn intend(&self, id: Id, change: impl Fn(&mut Instance)) -> u64 {
        loop {
            let found = self.store.get::<Instance>(id).unwrap();
            let mut instance = Instance::clone(&found.value);
            instance.meta.generation += 1;
            change(&mut instance);
            let generation = instance.meta.generation;
            let mut batch = self.store.transaction();
            batch.update(id, found.revision, instance);
            match self.store.commit(batch).await {
                Ok(_) => return generation,
                Err(CommitError::Conflict { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
    }

    pub(crate) async fn start(&self, id: Id) {
        self.intend(id, |instance| {
            let run = &mut instance.spec.run;
            *run = RunIntent {
                started: true,
                epoch: run.epoch + 1,
                ..RunIntent::default()
            };
        })
        .await;
    }

    pub(crate) async fn stop(&self, id: Id, how: StopRequest) {
        self.intend(id, |instance| {
            let run = &mut instance.spec.run;
            run.started = false;
            run.stopped_by_user = true;
            run.paused = false;
            run.stop = Some(how.clone());
        })
        .await;
    }

    pub(crate) async fn delete(&self, id: Id) {
        self.intend(id, |instance| {
            instance.meta.deleted_at.get_or_insert(Timestamp::now());
        })
        .await;
    }

    pub(crate) fn status(&self, id: Id) -> Option<Arc<InstanceStatus>> {
        self.store.get(id).map(|found| found.value)
    }

    pub(crate) fn placement(&self, id: Id) -> Option<Arc<Placement>> {
        self.store.get(id).map(|found| found.value)
    }

    pub(crate) fn retry(&self, id: Id) -> Option<Arc<Retry>> {
        self.store.get(id).map(|found| found.value)
    }

    /// Waits until an object is as it should be.
    pub(crate) async fn until<T>(
        &self,
        id: Id,
        what: &str,
        mut check: impl FnMut() -> Option<T>,
    ) -> T {
        let mut watch = self.store.watch_object(id);
        let waiting = async {
            loop {
                if let Some(answer) = check() {
                    return answer;
                }
                watch.changed().await;
            }
        };
        timeout(PATIENCE, waiting).await.unwrap_or_else(|_| {
            panic!(
                "not {what}: status {:#?}, placement {:#?}, retry {:#?}",
                self.status(id),
                self.placement(id),
                self.retry(id)
            )
        })
    }

    /// Waits for a status.
    pub(crate) async fn until_status(
        &self,
        id: Id,
        what: &str,
        check: impl Fn(&InstanceStatus) -> bool,
    ) -> Arc<InstanceStatus> {
        self.until(id, what, || self.status(id).filter(|status| check(status)))
            .await
    }

    pub(crate) async fn until_running(&self, id: Id, run: (u64, u32)) -> Arc<InstanceStatus> {
        let run = Run {
            epoch: run.0,
            attempt: run.1,
        };
        self.until_status(id, "running", |status| {
            status.run == run && status.phase == Phase::Running
        })
        .await
    }

    pub(crate) async fn until_exited(&self, id: Id, run: (u64, u32)) -> Arc<InstanceStatus> {
        let run = Run {
            epoch: run.0,
            attempt: run.1,
        };
        self.until_status(id, "exited", |status| {
            status.run == run && status.phase == Phase::Exited
        })
        .await
    }

    pub(crate) async fn until_gone(&self, id: Id) {
        self.until(id, "gone", || {
            self.store.get::<Instance>(id).is_none().then_some(())
        })
        .await;
        assert!(
            self.status(id).is_none() && self.placement(id).is_none() && self.retry(id).is_none()
        );
        assert!(!self.engine.instances().contains(&id), "left on the node");
    }

    /// Makes a network with one range.
    pub(crate) async fn network(&self, name: &str, cidr: &str) -> Id {
        let cidr: model::network::Cidr = cidr.parse().unwrap();
        let subnet = Subnet::new(cidr, cidr.nth(1), Timestamp::now());
        let spec = NetworkSpec {
            subnets: vec![subnet],
            ..NetworkSpec::default()
        };
        let mut meta = Meta::new(name, ProjectId::ADMIN, Timestamp::now());
        meta.finalizers.push(NODE_FINALIZER.into());
        let id = meta.id;
        let mut batch = self.store.transaction();
        batch.insert(id, Network { meta, spec });
        self.store.commit(batch).await.unwrap();
        id
    }

    /// Makes a volume that was made for `owner`, or for nobody.
    pub(crate) async fn volume(&self, name: &str, owner: Option<Id>) -> Id {
        let mut meta = Meta::new(name, ProjectId::ADMIN, Timestamp::now());
        meta.finalizers.push(NODE_FINALIZER.into());
        meta.owners.extend(owner.map(|id| Owner {
            kind: Kind::Instance,
            id,
        }));
        let id = meta.id;
        let spec = VolumeSpec {
            anonymous: owner.is_some(),
            ..VolumeSpec::default()
        };
        let mut batch = self.store.transaction();
        batch.insert(id, Volume { meta, spec });
        self.store.commit(batch).await.unwrap();
        id
    }
}

/// On a network, with nothing special.
pub(crate) fn attachment(network: Id) -> Attachment {
    Attachment::new(network)
}

/// Mounts a volume at `/data`.
pub(crate) fn mount(name: &str, anonymous: bool) -> Mount {
    let source = MountSource::Volume {
        name: name.to_owned(),
        anonymous,
        no_copy: false,
        subpath: String::new(),
    };
    Mount {
        target: "/data".into(),
        source,
        read_only: false,
    }
}

/// Stops at once.
pub(crate) fn kill() -> StopRequest {
    StopRequest {
        signal: Some("KILL".into()),
        timeout_secs: None,
    }
}

/// Sets a restart policy.
pub(crate) fn policy(policy: RestartPolicy) -> impl FnOnce(&mut InstanceSpec) {
    move |spec| spec.restart = policy
}
