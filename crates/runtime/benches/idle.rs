//! What a thousand idle containers cost the keeper, and how fast it starts them.
//!
//! `cargo bench -p runtime --bench idle`. Prints the keeper's proportional memory before and with
//! them, and the times of starts alone, eight at once, and beside a chatty container. Needs root.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "a bench prints its result, and may stop when it cannot go on"
)]

#[expect(dead_code, reason = "tests need more of it")]
#[path = "../tests/scene.rs"]
mod scene;

use std::time::{Duration, Instant};

use runtime::launch::{LogFile, LogTarget};

use scene::{Scene, key};

const CONTAINERS: usize = 1000;
const AT_ONCE: usize = 8;
const STARTS: usize = 200;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let scene = Scene::new().await;
    // Once, so that what is used at all is counted before.
    start(&scene, "first", "exec sleep 100000").await;
    let before = memory_kib(&scene);
    let begun = Instant::now();
    for number in 0..CONTAINERS / AT_ONCE {
        let ids: Vec<String> = (0..AT_ONCE)
            .map(|each| format!("box{number}x{each}"))
            .collect();
        let launches: Vec<_> = ids
            .iter()
            .map(|id| scene.launch(id, "exec sleep 100000"))
            .collect();
        let starts: Vec<_> = launches
            .iter()
            .map(|launch| tokio::spawn(scene.client.start(launch, None)))
            .collect();
        for start in starts {
            start.await.unwrap().unwrap();
        }
    }
    let rate = CONTAINERS as f64 / begun.elapsed().as_secs_f64();
    let with = memory_kib(&scene);
    println!("eight at once: {rate:.0} starts a second");
    println!("keeper alone: {before} KiB; with {CONTAINERS} containers: {with} KiB");
    let begun = Instant::now();
    assert_eq!(scene.client.list().await.unwrap().len(), CONTAINERS + 1);
    println!("list of {CONTAINERS}: {:?}", begun.elapsed());

    let alone = median_start(&scene, "alone").await;
    let mut chatty = scene.launch("chatty", "exec yes");
    let path = scene.path("chatty.log");
    chatty.log = LogTarget::JsonFile(LogFile {
        path,
        max_size_bytes: Some(64 << 20),
        max_files: 2,
        ..LogFile::default()
    });
    scene.client.start(&chatty, None).await.unwrap();
    let beside = median_start(&scene, "beside").await;
    println!("median start: {alone:?} alone, {beside:?} beside a chatty container");
}

async fn start(scene: &Scene, id: &str, script: &str) -> Duration {
    let launch = scene.launch(id, script);
    let begun = Instant::now();
    scene.client.start(&launch, None).await.unwrap();
    begun.elapsed()
}

async fn median_start(scene: &Scene, prefix: &str) -> Duration {
    let mut times = Vec::new();
    for number in 0..STARTS {
        let id = format!("{prefix}{number}");
        times.push(start(scene, &id, "exec sleep 100000").await);
        scene.client.signal(&key(&id), 9).await.unwrap();
    }
    times.sort();
    times[STARTS / 2]
}

/// Proportional set size: pages shared with other processes count in part.
fn memory_kib(scene: &Scene) -> u64 {
    let rollup = format!("/proc/{}/smaps_rollup", scene.client.hello().pid);
    let rollup = std::fs::read_to_string(rollup).unwrap();
    let line = rollup
        .lines()
        .find_map(|line| line.strip_prefix("Pss:"))
        .unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
