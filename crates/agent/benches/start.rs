//! What the way from a user's intent to the observed run costs beside the engine's own start.
//!
//! The simulated engine takes next to no time, so what is left is the store, the placement and
//! the agent.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a bench prints, and fails by panicking"
)]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use agent::{Agent, Announcement};
use engine::simulated::Simulated;
use jiff::Timestamp;
use model::container::ContainerSpec;
use model::instance::{Instance, InstanceSpec, InstanceStatus, Phase};
use model::meta::NODE_FINALIZER;
use model::node::NodeSpec;
use model::{Id, Meta, ProjectId};
use store::Store;

const ROUNDS: usize = 2_000;

fn show(what: &str, mut samples: Vec<Duration>) {
    samples.sort_unstable();
    let at = |share: usize| samples[(samples.len() - 1) * share / 100];
    println!(
        "{what}: median {:?}, 99 % {:?}, most {:?}",
        at(50),
        at(99),
        at(100)
    );
}

async fn until(store: &Store, id: Id, check: impl Fn(Option<&InstanceStatus>) -> bool) {
    let mut watch = store.watch_object(id);
    loop {
        if check(
            store
                .get::<InstanceStatus>(id)
                .as_ref()
                .map(|found| &*found.value),
        ) {
            return;
        }
        watch.changed().await;
    }
}

async fn intend(store: &Store, id: Id, change: impl FnOnce(&mut Instance)) {
    let found = store.get::<Instance>(id).unwrap();
    let mut instance = Instance::clone(&found.value);
    change(&mut instance);
    let mut batch = store.transaction();
    batch.update(id, found.revision, instance);
    store.commit(batch).await.unwrap();
}

#[tokio::main]
async fn main() {
    let directory =
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("start-{}", std::process::id()));
    let store = Store::embedded(&directory).await.unwrap();
    let controllers = controllers::spawn_all(&store, controllers::Strategy::Spread);
    let spec = NodeSpec {
        cpu_milli: 2_000,
        memory_bytes: 4 << 30,
        pid_max: 32_768,
        ..NodeSpec::default()
    };
    let announcement = Announcement {
        id: Id::random(),
        name: "here".into(),
        spec,
    };
    let agent = Agent::start(store.clone(), Arc::new(Simulated::new()), announcement)
        .await
        .unwrap();

    let (mut creates, mut starts, mut stops, mut removals) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let id = Id::random();
        let container = ContainerSpec {
            args: vec!["sleep".into(), "1000".into()],
            ..ContainerSpec::default()
        };
        let spec = InstanceSpec {
            containers: vec![container],
            ..InstanceSpec::default()
        };
        let mut meta = Meta::new(
            format!("name-{}", id.simple()),
            ProjectId::ADMIN,
            Timestamp::now(),
        );
        meta.id = id;
        meta.finalizers.push(NODE_FINALIZER.into());

        let began = Instant::now();
        let mut batch = store.transaction();
        batch.insert(id, Instance { meta, spec });
        store.commit(batch).await.unwrap();
        until(&store, id, |status| status.is_some()).await;
        creates.push(began.elapsed());

        let began = Instant::now();
        intend(&store, id, |instance| {
            instance.spec.run.started = true;
            instance.spec.run.epoch = 1;
        })
        .await;
        until(&store, id, |status| {
            status.is_some_and(|status| status.phase == Phase::Running)
        })
        .await;
        starts.push(began.elapsed());

        let began = Instant::now();
        intend(&store, id, |instance| {
            instance.spec.run.started = false;
            instance.spec.run.stop = Some(model::instance::StopRequest {
                signal: Some("KILL".into()),
                timeout_secs: None,
            });
        })
        .await;
        until(&store, id, |status| {
            status.is_some_and(|status| status.phase == Phase::Exited)
        })
        .await;
        stops.push(began.elapsed());

        let began = Instant::now();
        intend(&store, id, |instance| {
            instance.meta.deleted_at = Some(Timestamp::now());
        })
        .await;
        until(&store, id, |status| status.is_none()).await;
        removals.push(began.elapsed());
    }
    show("create", creates);
    show("start", starts);
    show("stop", stops);
    show("remove", removals);
    agent.shut_down().await;
    controllers.shut_down().await;
    drop(store);
    std::fs::remove_dir_all(&directory).unwrap();
}
