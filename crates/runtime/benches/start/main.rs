//! How long the start of a container takes, against the least that the kernel makes of one.
//!
//! `cargo bench -p runtime --bench start`, as root, with Debian's `busybox-static`. No network: no
//! namespace of it is made or joined. All kinds of start take turns, so that what else the machine
//! does meets each of them. Prints medians, and where the time of a start goes.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "a bench prints its result, and may stop when it cannot go on"
)]

mod bare;
mod cgroups;
mod world;

#[expect(dead_code, reason = "tests need more of it")]
#[path = "../../tests/scene.rs"]
mod scene;

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use runtime::keeper::KeeperEvent;
use runtime::start::status::{Phase, Reader, now_ns};
use runtime::start::{self, ChildIo};
use rustix::process::{WaitId, WaitIdOptions, waitid};

use bare::Bare;
use cgroups::Cgroups;
use scene::{Scene, key};
use world::World;

const ROUNDS: usize = 300;
/// Not counted: the first starts find files that are not in memory.
const WARM_UP: usize = 20;
const RUNC: &str = "/usr/sbin/runc";

/// One kind of start, in nanoseconds.
#[derive(Default)]
struct Times {
    /// Until the program is executed.
    to_program: Vec<u64>,
    /// Until it has ended, and what the host had of it is gone.
    to_end: Vec<u64>,
    /// Each phase, in their order: name and times.
    phases: Vec<(String, Vec<u64>)>,
}

impl Times {
    fn add_phases(&mut self, begun: u64, phases: &[Phase], executed: u64) {
        let ends = phases
            .iter()
            .map(|phase| (phase.name.as_str(), phase.at_ns))
            .chain([("execve", executed)]);
        let mut from = begun;
        for (place, (name, end)) in ends.enumerate() {
            if self.phases.len() == place {
                self.phases.push((name.to_owned(), Vec::new()));
            }
            self.phases[place].1.push(end - from);
            from = end;
        }
    }

    fn print_phases(&self, of: &str) {
        println!("\n| phase of {of} | µs |\n|---|---|");
        for (name, times) in &self.phases {
            println!("| {name} | {:.0} |", median(times).unwrap() * 1e3);
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let scene = Scene::new().await;
    let world = World::new(&scene.path("rootfs"));
    let has_runc = Path::new(RUNC).exists();
    let (mut bare, mut limited, mut container, mut keeper, mut runc) = Default::default();
    for round in 0..WARM_UP + ROUNDS {
        if round == WARM_UP {
            (bare, limited, container, keeper, runc) = Default::default();
        }
        start_bare(&world, round, None, &mut bare);
        let cgroups = Cgroups::new(&format!("{}-bare", world.unique()));
        start_bare(&world, round, Some(&cgroups), &mut limited);
        start_container(&world, round, &mut container);
        start_by_keeper(&scene, &world, round, &mut keeper).await;
        if has_runc {
            run_runc(&world, round, &mut runc);
        }
    }
    println!(
        "| warm start | to the program, ms | × bare | × bare in cgroups | to its end, ms |\n|---|---|---|---|---|"
    );
    let limits = [&bare, &limited].map(|times| median(&times.to_program).unwrap());
    for (name, times) in [
        ("bare kernel", &bare),
        ("bare kernel, in cgroups with limits", &limited),
        ("`start::container`", &container),
        ("`keeper::Client::start`", &keeper),
        ("`runc run`", &runc),
    ] {
        let Some(to_end) = median(&times.to_end) else {
            continue;
        };
        let to_program = median(&times.to_program);
        let shown = |value: Option<f64>| value.map_or(String::new(), |value| format!("{value:.2}"));
        let [bare, limited] = limits.map(|limit| shown(to_program.map(|time| time / limit)));
        println!(
            "| {name} | {} | {bare} | {limited} | {to_end:.2} |",
            shown(to_program)
        );
    }
    limited.print_phases("the bare kernel's, in cgroups");
    container.print_phases("`start::container`");
    keeper.print_phases("`keeper::Client::start`");
}

fn start_bare(world: &World, round: usize, cgroups: Option<&Cgroups>, times: &mut Times) {
    let layers = world.layers(&format!("bare{}-{round}", cgroups.is_some()));
    let bare = Bare::new(&layers);
    let begun = now_ns();
    let (child, phases, executed) = bare.start(cgroups);
    waitid(WaitId::PidFd(child.as_fd()), WaitIdOptions::EXITED).unwrap();
    if let Some(cgroups) = cgroups {
        cgroups.remove();
    }
    times.to_end.push(now_ns() - begun);
    times.to_program.push(executed - begun);
    times.add_phases(begun, &phases, executed);
    layers.remove();
}

fn start_container(world: &World, round: usize, times: &mut Times) {
    let id = format!("direct{round}");
    let layers = world.layers(&id);
    let launch = world.launch(&id, &layers);
    let cgroup = world.cgroup(&id);
    let null = || -> OwnedFd {
        let null = File::options().read(true).write(true).open("/dev/null");
        null.unwrap().into()
    };
    let io = ChildIo::Streams {
        stdin: null(),
        stdout: null(),
        stderr: null(),
    };
    let begun = now_ns();
    let spawned = start::container(&launch, io, None).unwrap();
    let mut report = Vec::new();
    File::from(spawned.status).read_to_end(&mut report).unwrap();
    let executed = now_ns();
    let ended = waitid(WaitId::PidFd(spawned.pidfd.as_fd()), WaitIdOptions::EXITED);
    cgroup.remove().unwrap();
    times.to_end.push(now_ns() - begun);
    assert_eq!(ended.unwrap().unwrap().exit_status(), Some(0));
    times.to_program.push(executed - begun);
    let mut reader = Reader::default();
    reader.feed(&report);
    times.add_phases(begun, &reader.finish().unwrap(), executed);
    layers.remove();
}

async fn start_by_keeper(scene: &Scene, world: &World, round: usize, times: &mut Times) {
    let id = format!("kept{round}");
    let layers = world.layers(&id);
    let launch = world.launch(&id, &layers);
    let mut events = scene.client.events();
    let begun = now_ns();
    let spawned = scene.client.start(&launch, None).await.unwrap();
    let executed = now_ns();
    while !matches!(events.recv().await.unwrap(), KeeperEvent::Exited { .. }) {}
    times.to_end.push(now_ns() - begun);
    times.to_program.push(executed - begun);
    times.add_phases(begun, &spawned.phases, executed);
    scene.client.forget(&key(&id)).await.unwrap();
    layers.remove();
}

fn run_runc(world: &World, round: usize, times: &mut Times) {
    let id = format!("runc{round}");
    let bundle = world.bundle(&id);
    let mut command = Command::new(RUNC);
    command.arg("--root").arg(world.path("runc"));
    command.arg("run").arg("--bundle").arg(bundle).arg(&id);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let begun = now_ns();
    assert!(command.status().unwrap().success());
    times.to_end.push(now_ns() - begun);
}

/// In milliseconds.
fn median(times: &[u64]) -> Option<f64> {
    let mut times = times.to_vec();
    times.sort_unstable();
    let middle = times.get(times.len() / 2)?;
    Some(Duration::from_nanos(*middle).as_secs_f64() * 1e3)
}
