//! `docker logs` and `docker attach`.

use std::io::{BufRead as _, BufReader, Write as _};

use tests::docker::answer;

use crate::daemon;

#[test]
fn both_streams_are_kept_in_order() {
    let daemon = daemon();
    let docker = daemon.docker();
    docker
        .run(&[
            "run",
            "--name",
            "talker",
            "busybox",
            "sh",
            "-c",
            "for i in 1 2 3; do echo out $i; done; sleep 0.2; echo err >&2",
        ])
        .ok();
    let answer = docker.run(&["logs", "talker"]);
    assert_eq!(
        (answer.stdout.as_str(), answer.stderr.as_str()),
        ("out 1\nout 2\nout 3\n", "err\n")
    );
    assert_eq!(
        docker.run(&["logs", "--tail", "2", "talker"]).stdout,
        "out 3\n"
    );
    assert_eq!(docker.run(&["logs", "--tail", "0", "talker"]).stdout, "");
    let stamped = docker.run(&["logs", "-t", "talker"]).stdout;
    assert!(
        stamped
            .lines()
            .all(|line| line.starts_with("20") && line.contains("Z out ")),
        "{stamped}"
    );
    let second = stamped.lines().nth(1).unwrap().split(' ').next().unwrap();
    assert!(
        docker
            .run(&["logs", "--since", second, "talker"])
            .stdout
            .contains("out 2")
    );
    assert_eq!(
        docker
            .run(&["logs", "--until", "2001-01-01T00:00:00Z", "talker"])
            .stdout,
        ""
    );
    docker.run(&["rm", "talker"]).ok();
}

#[test]
fn following_ends_with_the_container() {
    let daemon = daemon();
    let docker = daemon.docker();
    docker
        .run(&[
            "run",
            "-d",
            "--name",
            "ticker",
            "busybox",
            "sh",
            "-c",
            "for i in 1 2 3 4; do echo tick $i; sleep 0.3; done",
        ])
        .ok();
    assert_eq!(
        docker.run(&["logs", "-f", "ticker"]).ok(),
        "tick 1\ntick 2\ntick 3\ntick 4"
    );
    docker.run(&["rm", "ticker"]).ok();
}

#[test]
fn logs_are_rotated() {
    let daemon = daemon();
    let docker = daemon.docker();
    docker
        .run(&[
            "run",
            "--name",
            "rotated",
            "--log-opt",
            "max-size=20k",
            "--log-opt",
            "max-file=2",
            "busybox",
            "seq",
            "1",
            "5000",
        ])
        .ok();
    let path = docker.inspect("rotated", "{{.LogPath}}");
    let sizes: Vec<u64> = [path.clone(), format!("{path}.1")]
        .iter()
        .map(|path| std::fs::metadata(path).unwrap().len())
        .collect();
    assert!(sizes.iter().all(|size| *size <= 21_000), "{sizes:?}");
    assert!(!std::path::Path::new(&format!("{path}.2")).exists());
    let kept = docker.run(&["logs", "rotated"]).stdout;
    assert_eq!(kept.lines().last(), Some("5000"));
    docker.run(&["rm", "rotated"]).ok();
}

#[test]
fn older_logs_are_compressed_and_read_as_the_others() {
    let daemon = daemon();
    let docker = daemon.docker();
    let script = "seq 1 300; sleep 1; seq 301 600; sleep 1; seq 601 700; sleep 300";
    let mut run = vec!["run", "-d", "--name", "packed"];
    for option in [
        "max-size=20k",
        "max-file=5",
        "compress=true",
        "mode=non-blocking",
        "max-buffer-size=4m",
    ] {
        run.extend(["--log-opt", option]);
    }
    run.extend(["busybox", "sh", "-c", script]);
    docker.run(&run).ok();
    let follower = docker.spawn(&["logs", "-f", "packed"]);
    let path = docker.inspect("packed", "{{.LogPath}}");
    docker.wait_until("older files are compressed", |_| {
        let is_there = |end: &str| std::path::Path::new(&format!("{path}.{end}")).exists();
        is_there("1.gz") && is_there("2.gz") && !is_there("1") && !is_there("2")
    });
    let numbers = |from: u32| (from..=700).map(|number| format!("{number}\n")).collect();
    let all: String = numbers(1);
    assert_eq!(docker.run(&["logs", "packed"]).stdout, all);
    let (tail, last): (String, String) = (numbers(251), numbers(700));
    assert_eq!(
        docker.run(&["logs", "--tail", "450", "packed"]).stdout,
        tail
    );
    assert_eq!(docker.run(&["logs", "-n1", "packed"]).stdout, last);
    assert_eq!(
        docker.inspect("packed", "{{json .HostConfig.LogConfig.Config.compress}}"),
        r#""true""#
    );
    docker.run(&["rm", "-f", "packed"]).ok();
    let followed = answer(follower.wait_with_output().unwrap());
    assert_eq!(followed.stdout, all);
    let refused = docker.run(&["create", "--log-opt", "compress=true", "busybox"]);
    assert!(refused.fails(1).contains("compress cannot be true"));
}

#[test]
fn the_local_driver_keeps_logs_too() {
    let daemon = daemon();
    let docker = daemon.docker();
    let local = ["--log-driver", "local", "--log-opt", "max-size=1m"];
    let say = ["busybox", "sh", "-c", "echo out; echo err >&2"];
    docker
        .run(&[&["run", "--name", "local"], &local[..], &say].concat())
        .ok();
    let kept = docker.run(&["logs", "local"]);
    assert_eq!(
        (kept.stdout.as_str(), kept.stderr.as_str()),
        ("out\n", "err\n")
    );
    assert_eq!(
        docker.inspect("local", "{{json .HostConfig.LogConfig}} {{.LogPath}}"),
        r#"{"Type":"local","Config":{"max-size":"1m"}}"#
    );
    docker.run(&["rm", "local"]).ok();
    let unknown = ["--log-driver", "local", "--log-opt", "x=1", "busybox"];
    let refused = docker.run(&[&["create"], &unknown[..]].concat());
    assert!(refused.fails(1).contains("unknown log opt 'x' for"));
}

#[test]
fn nothing_is_kept_where_nobody_wants_it() {
    let daemon = daemon();
    let docker = daemon.docker();
    assert_eq!(
        docker
            .run(&[
                "run",
                "--name",
                "mute",
                "--log-driver",
                "none",
                "busybox",
                "echo",
                "x"
            ])
            .ok(),
        "x"
    );
    assert!(
        docker
            .run(&["logs", "mute"])
            .fails(1)
            .contains("configured logging driver does not support reading")
    );
    docker.run(&["rm", "mute"]).ok();
}

#[test]
fn attaching_gives_the_streams_of_a_running_container() {
    let daemon = daemon();
    let docker = daemon.docker();
    docker
        .run(&["run", "-d", "-i", "--name", "echoer", "busybox", "cat"])
        .ok();
    let mut child = docker.spawn(&["attach", "echoer"]);
    let mut stdin = child.stdin.take().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    stdin.write_all(b"hello\n").unwrap();
    assert_eq!(lines.next().unwrap().unwrap(), "hello");
    docker.run(&["kill", "echoer"]).ok();
    assert_eq!(child.wait().unwrap().code(), Some(137));
    docker.run(&["rm", "echoer"]).ok();
}

#[test]
fn starting_attached_shows_the_output() {
    let daemon = daemon();
    let docker = daemon.docker();
    docker
        .run(&[
            "create",
            "--name",
            "starter",
            "busybox",
            "sh",
            "-c",
            "echo here; exit 2",
        ])
        .ok();
    let answer = docker.run(&["start", "-a", "starter"]);
    assert_eq!((answer.code, answer.stdout.as_str()), (2, "here\n"));
    docker.run(&["rm", "starter"]).ok();
}

#[test]
fn lines_tell_of_their_container_where_that_is_asked_for() {
    let daemon = daemon();
    let docker = daemon.docker();
    let run = [
        "run", "--name", "telling", "--label", "team=a b", "--env", "MODE=x", "--env", "MOOD=y",
    ];
    let options = [
        "--log-opt",
        "labels=team,none",
        "--log-opt",
        "env-regex=^MO.E$",
        "--log-opt",
        "tag={{.ImageName}}/{{.Name}}",
    ];
    let command = ["busybox", "echo", "said"];
    docker.run(&[&run[..], &options, &command].concat()).ok();
    assert_eq!(
        docker.run(&["logs", "--details", "telling"]).ok(),
        "MODE=x,tag=busybox%2Ftelling,team=a+b said"
    );
    assert_eq!(docker.run(&["logs", "telling"]).ok(), "said");
    let path = docker.inspect("telling", "{{.LogPath}}");
    let record = std::fs::read_to_string(path).unwrap();
    let attributes = r#""attrs":{"MODE":"x","tag":"busybox/telling","team":"a b"},"time":"#;
    assert!(record.contains(attributes), "{record}");
    docker.run(&["rm", "telling"]).ok();
    let refused = docker.run(&["create", "--log-opt", "colour=red", "busybox"]);
    assert!(
        refused
            .fails(1)
            .contains("unknown log opt 'colour' for json-file log driver")
    );
}
