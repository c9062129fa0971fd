//! How fast the keeper keeps the output of one chatty container: `cargo bench -p runtime`.
//!
//! Lines of 100 bytes, from a container through a pipe into `json-file` with rotation. Prints
//! payload per second, and the most memory the keeper ever had. Needs root.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "a bench prints its result, and may stop when it cannot go on"
)]

#[expect(dead_code, reason = "tests need more of it")]
#[path = "../tests/scene.rs"]
mod scene;

use std::io::Write;
use std::time::{Duration, Instant};

use runtime::keeper::KeeperEvent;
use runtime::launch::{LogFile, LogTarget};

use scene::{Scene, key};

const LINE_BYTES: usize = 100;
const FILE_BYTES: usize = 64 << 20;
const COPIES: usize = 16;
const ROUNDS: usize = 5;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let scene = Scene::new().await;
    let mut file = std::fs::File::create(scene.path("rootfs/lines")).unwrap();
    for number in 0..FILE_BYTES / LINE_BYTES {
        writeln!(file, "{number:>0$}", LINE_BYTES - 1).unwrap();
    }
    let payload = FILE_BYTES / LINE_BYTES * LINE_BYTES * COPIES;
    for (name, is_kept) in [("into json-file", true), ("into nothing", false)] {
        let mut times: Vec<Duration> = Vec::new();
        let spent = cpu_time(&scene);
        for _ in 0..ROUNDS {
            times.push(run(&scene, is_kept).await);
        }
        times.sort();
        let median = times[ROUNDS / 2];
        let spent = (cpu_time(&scene) - spent).as_secs_f64() / ROUNDS as f64;
        let megabytes = payload as f64 / 1e6;
        let (by_clock, by_cpu) = (megabytes / median.as_secs_f64(), megabytes / spent);
        println!(
            "{name}: {by_clock:.0} MB/s of payload ({by_cpu:.0} a second of the keeper's CPU)"
        );
    }
    let status =
        std::fs::read_to_string(format!("/proc/{}/status", scene.client.hello().pid)).unwrap();
    let memory = status
        .lines()
        .find(|line| line.starts_with("VmHWM"))
        .unwrap();
    println!("the keeper's memory: {memory}");
}

/// What the keeper has used of a processor. Tells the truth on a busy machine too.
fn cpu_time(scene: &Scene) -> Duration {
    let path = format!("/proc/{}/schedstat", scene.client.hello().pid);
    let stat = std::fs::read_to_string(path).unwrap();
    Duration::from_nanos(stat.split_whitespace().next().unwrap().parse().unwrap())
}

async fn run(scene: &Scene, is_kept: bool) -> Duration {
    let mut launch = scene.launch("chatty", &format!("cat {}", "/lines ".repeat(COPIES)));
    let path = scene.path("chatty.log");
    launch.log = if is_kept {
        LogTarget::JsonFile(LogFile {
            path,
            max_size_bytes: Some(256 << 20),
            max_files: 2,
            ..LogFile::default()
        })
    } else {
        LogTarget::None
    };
    let mut events = scene.client.events();
    let begun = Instant::now();
    scene.client.start(&launch, None).await.unwrap();
    while !matches!(events.recv().await.unwrap(), KeeperEvent::Exited { .. }) {}
    let time = begun.elapsed();
    assert_eq!(scene.client.list().await.unwrap()[0].log_lost_bytes, 0);
    scene.client.forget(&key("chatty")).await.unwrap();
    time
}
