//! SIGKILL in a loop under load: nothing acknowledged is lost, nothing is leaked.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use tests::daemon::{Daemon, Kind};
use tests::docker::Docker;
use tests::image::import_busybox;
use tests::setting;

/// How often the daemon is killed unless `LONGSHORE_CRASHES` says otherwise.
const DEFAULT_CRASHES: u32 = 8;

/// Counts of one run of the test, printed at its end.
#[derive(Default)]
struct Counts {
    created: AtomicU32,
    finished: AtomicU32,
    refused: AtomicU32,
}

#[test]
fn the_daemon_is_killed_again_and_again_under_load() {
    let crashes =
        setting("LONGSHORE_CRASHES").map_or(DEFAULT_CRASHES, |text| text.parse().unwrap());
    let mut daemon = Daemon::start_kind(Kind::Longshore).unwrap();
    let docker = daemon.docker();
    import_busybox(&docker).unwrap();
    docker
        .run(&[
            "run",
            "-d",
            "--name",
            "witness",
            "-p",
            "127.0.0.1::80",
            "busybox",
            "sh",
            "-c",
            "i=0; while :; do i=$((i+1)); echo $i; sleep 0.02; done",
        ])
        .ok();
    let pid = docker.inspect("witness", "{{.State.Pid}}");
    let address = docker.inspect("witness", "{{.NetworkSettings.Networks.bridge.IPAddress}}");

    let stop = Arc::new(AtomicBool::new(false));
    let counts = Arc::new(Counts::default());
    let workers: Vec<_> = (0..3)
        .map(|worker| {
            let (docker, stop, counts) = (docker.clone(), stop.clone(), counts.clone());
            std::thread::spawn(move || load(&docker, worker, &stop, &counts))
        })
        .collect();
    for crash in 0..crashes {
        std::thread::sleep(Duration::from_millis(300 + u64::from(crash * 97 % 700)));
        daemon.crash().unwrap();
        daemon.up().unwrap();
        assert_eq!(
            docker.inspect("witness", "{{.State.Pid}} {{.State.Running}}"),
            format!("{pid} true")
        );
    }
    stop.store(true, Ordering::Relaxed);
    let kept: Vec<String> = workers
        .into_iter()
        .flat_map(|worker| worker.join().unwrap())
        .collect();

    // Whatever a client was told exists, exists, and ended as it should.
    for name in &kept {
        docker.wait_until("a container ends", |docker| {
            docker.inspect(name, "{{.State.Running}}") == "false"
        });
        let state = docker.inspect(name, "{{.State.Status}} {{.State.ExitCode}}");
        assert!(
            ["exited 3", "created 0"].contains(&state.as_str()),
            "{name}: {state}"
        );
    }
    let lines = docker.run(&["logs", "witness"]).ok();
    for (index, line) in lines.lines().enumerate() {
        assert_eq!(
            line,
            (index + 1).to_string(),
            "no line of the log is lost or doubled"
        );
    }
    assert_eq!(
        docker.inspect("witness", "{{.NetworkSettings.Networks.bridge.IPAddress}}"),
        address
    );
    let ids = docker.run(&["ps", "-aq"]).ok();
    for id in ids.split_whitespace() {
        docker.run(&["rm", "-f", id]).ok();
    }
    docker.run(&["run", "--rm", "busybox", "true"]).ok();
    eprintln!(
        "killed {crashes} times: {} containers made, {} ended as told, {} requests cut off, {} log lines whole",
        counts.created.load(Ordering::Relaxed),
        counts.finished.load(Ordering::Relaxed),
        counts.refused.load(Ordering::Relaxed),
        lines.lines().count(),
    );
    daemon.down().unwrap();
    let after = daemon.snapshot().unwrap();
    assert!(after.is_empty(), "{after:?}");
}

/// Makes, starts and waits for containers until told to stop. Answers those it was told exist.
fn load(docker: &Docker, worker: u32, stop: &AtomicBool, counts: &Counts) -> Vec<String> {
    let mut kept = Vec::new();
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        number += 1;
        let name = format!("load-{worker}-{number}");
        if docker
            .run(&[
                "create",
                "--name",
                &name,
                "busybox",
                "sh",
                "-c",
                "echo x; exit 3",
            ])
            .code
            != 0
        {
            counts.refused.fetch_add(1, Ordering::Relaxed);
            std::thread::sleep(Duration::from_millis(50));
            continue;
        }
        counts.created.fetch_add(1, Ordering::Relaxed);
        kept.push(name.clone());
        let answer = docker.run(&["start", "-a", &name]);
        match answer.code {
            3 => counts.finished.fetch_add(1, Ordering::Relaxed),
            _ => counts.refused.fetch_add(1, Ordering::Relaxed),
        };
    }
    kept
}
