//! How long a commit takes until it survives the process, and until it survives a power cut.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a bench prints, and fails by panicking"
)]

use std::path::Path;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use model::container::ContainerSpec;
use model::instance::{Instance, InstanceSpec, InstanceStatus, Phase, Run};
use model::{Id, Meta, ProjectId};
use store::Store;

const ROUNDS: usize = 5_000;
const FLUSHES: usize = 200;

fn instance() -> Instance {
    let mut container = ContainerSpec {
        image: "debian:stable".into(),
        ..ContainerSpec::default()
    };
    container.env = (0..10)
        .map(|number| format!("VARIABLE_{number}=some value of usual length"))
        .collect();
    let spec = InstanceSpec {
        containers: vec![container],
        ..InstanceSpec::default()
    };
    let id = Id::random();
    let mut meta = Meta::new(
        format!("name-{}", id.simple()),
        ProjectId::ADMIN,
        Timestamp::now(),
    );
    meta.id = id;
    Instance { meta, spec }
}

fn status() -> InstanceStatus {
    InstanceStatus {
        generation: 1,
        run: Run {
            epoch: 1,
            attempt: 0,
        },
        phase: Phase::Running,
        pid: 4711,
        started_at: Some(Timestamp::now()),
        exit: None,
        error: None,
        health: None,
        endpoints: Vec::new(),
        ports: Vec::new(),
        boot_id: Id::random().to_string(),
    }
}

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

#[tokio::main]
async fn main() {
    // Beside the build, so that the file system is the one that data directories are on.
    let directory =
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("commit-{}", std::process::id()));
    let store = Store::embedded(&directory).await.unwrap();

    let (mut inserts, mut puts) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let instance = instance();
        let id = instance.meta.id;
        let began = Instant::now();
        let mut batch = store.transaction();
        batch.insert(id, instance);
        store.commit(batch).await.unwrap();
        inserts.push(began.elapsed());
        let began = Instant::now();
        let mut batch = store.transaction();
        batch.put(id, status());
        store.commit(batch).await.unwrap();
        puts.push(began.elapsed());
    }
    show("an instance, process-durable", inserts);
    show("a status, process-durable", puts);

    let mut flushes = Vec::new();
    for _ in 0..FLUSHES {
        let instance = instance();
        let began = Instant::now();
        let mut batch = store.transaction();
        batch.insert(instance.meta.id, instance);
        store
            .commit(batch)
            .await
            .unwrap()
            .durable
            .wait()
            .await
            .unwrap();
        flushes.push(began.elapsed());
    }
    show("an instance, power-cut-durable", flushes);

    let began = Instant::now();
    let waiting: Vec<_> = (0..64)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move {
                for _ in 0..20 {
                    let instance = instance();
                    let mut batch = store.transaction();
                    batch.insert(instance.meta.id, instance);
                    store
                        .commit(batch)
                        .await
                        .unwrap()
                        .durable
                        .wait()
                        .await
                        .unwrap();
                }
            })
        })
        .collect();
    for task in waiting {
        task.await.unwrap();
    }
    println!(
        "64 at once, power-cut-durable: {:.0} a second",
        64.0 * 20.0 / began.elapsed().as_secs_f64()
    );

    let began = Instant::now();
    let count = store.list::<Instance>().len();
    println!("list of {count}: {:?}", began.elapsed());
    drop(store);
    let began = Instant::now();
    let store = Store::embedded(&directory).await.unwrap();
    println!("open with {count} instances: {:?}", began.elapsed());
    drop(store);
    std::fs::remove_dir_all(&directory).unwrap();
}
