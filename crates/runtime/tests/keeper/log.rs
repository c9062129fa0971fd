//! What the keeper writes into logs.

use runtime::launch::{LogFile, LogTarget};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use super::run;
use crate::scene::Scene;

#[tokio::test]
async fn output_is_logged_as_docker_does() {
    let scene = Scene::new().await;
    let script = r#"printf 'a "b" <c>\n\tx\303\050\n'; printf 'err\n' >&2; printf 'no end'"#;
    let before = jiff::Timestamp::now();
    let exited = run(&scene.client, &scene.launch("box", script)).await;
    assert_eq!((exited.code, exited.oom_killed), (0, false));
    let log = std::fs::read_to_string(scene.path("box.log")).unwrap();
    let mut records: Vec<String> = Vec::new();
    for line in log.lines() {
        let (record, time) = line.split_once(r#","time":""#).unwrap();
        let time: jiff::Timestamp = time.strip_suffix("\"}").unwrap().parse().unwrap();
        assert!(before < time && time < jiff::Timestamp::now());
        records.push(record.to_owned());
    }
    // Streams are two pipes, so only the order within one is certain.
    records.sort_by_key(|record| record.contains("stderr"));
    let expected = [
        r#"{"log":"a \"b\" \u003cc\u003e\n","stream":"stdout""#,
        r#"{"log":"\u0009x\ufffd(\n","stream":"stdout""#,
        r#"{"log":"no end","stream":"stdout""#,
        r#"{"log":"err\n","stream":"stderr""#,
    ];
    assert_eq!(records, expected);
}

#[tokio::test]
async fn long_lines_are_cut_where_docker_cuts_them() {
    let scene = Scene::new().await;
    let script = "head -c 16384 /dev/zero | tr '\\0' a; echo; head -c 40000 /dev/zero | tr '\\0' b; echo; echo c";
    run(&scene.client, &scene.launch("box", script)).await;
    let log = std::fs::read_to_string(scene.path("box.log")).unwrap();
    let texts: Vec<String> = log
        .lines()
        .map(|line| {
            serde_json::from_str::<serde_json::Value>(line).unwrap()["log"]
                .as_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    let lengths: Vec<(usize, bool)> = texts
        .iter()
        .map(|text| (text.len(), text.ends_with('\n')))
        .collect();
    let expected = [
        (16384, false),
        (1, true),
        (16384, false),
        (16384, false),
        (7233, true),
        (2, true),
    ];
    assert_eq!(lengths, expected);
}

#[tokio::test]
async fn logs_rotate_at_their_size() {
    let scene = Scene::new().await;
    let mut launch = scene.launch(
        "box",
        "i=0; while [ $i -lt 1000 ]; do echo line $i; i=$((i+1)); done",
    );
    launch.log = LogTarget::JsonFile(LogFile {
        path: scene.path("box.log"),
        max_size_bytes: Some(20_000),
        max_files: 3,
        ..LogFile::default()
    });
    run(&scene.client, &launch).await;
    let read = |name: &str| std::fs::read_to_string(scene.path(name)).unwrap();
    let all = [read("box.log.2"), read("box.log.1"), read("box.log")].concat();
    let numbers: Vec<u32> = all
        .lines()
        .map(|line| {
            line.split_once("line ")
                .unwrap()
                .1
                .split_once('\\')
                .unwrap()
                .0
                .parse()
                .unwrap()
        })
        .collect();
    let first = numbers[0];
    assert!(first > 0 && numbers == (first..1000).collect::<Vec<_>>());
    assert!(!scene.path("box.log.3").exists());
    for name in ["box.log.1", "box.log.2"] {
        // A record that begins below the limit is still written.
        assert!(
            (20_000..20_200).contains(&read(name).len()),
            "{name} has {}",
            read(name).len()
        );
    }
}

#[tokio::test]
async fn files_that_somebody_compresses_keep_their_order() {
    let scene = Scene::new().await;
    let mut launch = scene.launch("box", "head -c 2000 /dev/zero | tr '\\0' '\\n'");
    launch.log = LogTarget::JsonFile(LogFile {
        path: scene.path("box.log"),
        max_size_bytes: Some(100_000),
        max_files: 4,
        compressed_by_other: true,
        ..LogFile::default()
    });
    for (name, text) in [("1.gz", "1"), ("2", "2"), ("3", "3"), ("3.gz", "3z")] {
        std::fs::write(scene.path(&format!("box.log.{name}")), text).unwrap();
    }
    run(&scene.client, &launch).await;
    let read =
        |name: &str| std::fs::read_to_string(scene.path(&format!("box.log.{name}"))).unwrap();
    assert!(read("1").len() >= 100_000);
    assert_eq!((read("2.gz").as_str(), read("3").as_str()), ("1", "2"));
    assert!(!scene.path("box.log.3.gz").exists());

    // Names are given just now: nothing moves, and nothing is lost.
    let directory = std::fs::File::open(scene.path("")).unwrap();
    directory.lock().unwrap();
    let (first, before) = (read("1"), std::fs::read(scene.path("box.log")).unwrap());
    launch.id = "again".to_owned();
    run(&scene.client, &launch).await;
    assert_eq!(read("1"), first);
    assert!(
        std::fs::metadata(scene.path("box.log")).unwrap().len() > before.len() as u64 + 100_000
    );
}

#[tokio::test]
async fn a_full_disk_stops_no_container() {
    let scene = Scene::new().await;
    let mut launch = scene.launch("box", "seq 1 100000; exit 3");
    launch.log = LogTarget::JsonFile(LogFile {
        path: "/dev/full".into(),
        max_size_bytes: None,
        max_files: 1,
        ..LogFile::default()
    });
    assert_eq!(run(&scene.client, &launch).await.code, 3);
    assert!(scene.client.list().await.unwrap()[0].log_lost_bytes > 588_895);
}

/// A file system of a few pages, which goes when it is dropped.
struct TinyDisk(std::path::PathBuf);

impl TinyDisk {
    fn new(at: std::path::PathBuf) -> Self {
        std::fs::create_dir(&at).unwrap();
        mount("tiny", &at, "tmpfs", MountFlags::empty(), c"size=64k").unwrap();
        Self(at)
    }
}

impl Drop for TinyDisk {
    fn drop(&mut self) {
        unmount(&self.0, UnmountFlags::DETACH).unwrap();
    }
}

#[tokio::test]
async fn a_disk_that_fills_up_tears_no_record() {
    let scene = Scene::new().await;
    let disk = TinyDisk::new(scene.path("disk"));
    let mut launch = scene.launch("box", "seq 1 100000; exit 3");
    let path = disk.0.join("box.log");
    launch.log = LogTarget::JsonFile(LogFile {
        path: path.clone(),
        max_size_bytes: None,
        max_files: 1,
        ..LogFile::default()
    });
    assert_eq!(run(&scene.client, &launch).await.code, 3);
    let log = std::fs::read_to_string(path).unwrap();
    assert!(
        log.len() > 60_000 && log.ends_with('\n'),
        "{} bytes",
        log.len()
    );
    for line in log.lines() {
        serde_json::from_str::<serde_json::Value>(line).unwrap();
    }
    assert!(scene.client.list().await.unwrap()[0].log_lost_bytes > 588_895);
}

#[tokio::test]
async fn a_log_that_cannot_be_opened_is_an_error_of_the_start() {
    let scene = Scene::new().await;
    let mut launch = scene.launch("box", "exit 0");
    launch.log = LogTarget::JsonFile(LogFile {
        path: scene.path("nowhere/box.log"),
        max_size_bytes: None,
        max_files: 1,
        ..LogFile::default()
    });
    let error = scene.client.start(&launch, None).await.unwrap_err();
    assert!(error.message.contains("nowhere/box.log"), "{error}");
    assert_eq!(scene.client.list().await.unwrap(), []);
}
