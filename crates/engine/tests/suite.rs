//! Stories that every engine must tell alike, seen through the trait only.
//!
//! [`all`] runs them against one engine; the simulated one and the real one both do. Programs are
//! busybox's, and only what both understand.

use std::time::Duration;

use bytes::Bytes;
use engine::{Engine, FoundState, Happening, Output};
use jiff::Timestamp;
use model::container::ContainerSpec;
use model::instance::{Exit, FailureKind, Instance, InstanceSpec, NetworkMode, Run, StopRequest};
use model::stream::{ExecSpec, LogLine, LogOptions, Stream};
use model::{Id, Meta, ProjectId};
use tokio::sync::broadcast;

mod exec;
mod file;
mod log;
mod stream;

/// Long enough for a loaded machine; nothing waits for it unless it fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// An engine under test, and an image it has.
pub(crate) struct Subject<'a> {
    pub(crate) engine: &'a dyn Engine,
    /// An image with busybox: its familiar name and its identity.
    pub(crate) image: (String, String),
}

/// Runs every story.
pub(crate) async fn all(subject: &Subject<'_>) {
    a_program_runs_and_its_status_is_told(subject).await;
    a_run_is_started_once(subject).await;
    a_program_that_does_not_exist_leaves_nothing(subject).await;
    stream::output_reaches_an_early_attachment_and_the_log(subject).await;
    stream::input_reaches_the_program_and_its_end_too(subject).await;
    stream::a_terminal_merges_the_streams(subject).await;
    a_signal_is_handled_by_who_traps_it(subject).await;
    stop_kills_who_does_not_listen(subject).await;
    a_paused_instance_stands_still(subject).await;
    exec::an_exec_runs_beside_and_tells_its_status(subject).await;
    exec::an_exec_dies_with_its_instance(subject).await;
    log::logs_are_cut_and_followed(subject).await;
    file::files_go_in_and_out(subject).await;
    file::changes_are_listed(subject).await;
    statistics_and_processes_are_of_a_running_one(subject).await;
    what_runs_and_what_ended_is_found(subject).await;
    nothing_unknown_is_touched(subject).await;
}

impl Subject<'_> {
    /// An instance without a network that runs these arguments.
    pub(crate) fn instance(&self, name: &str, args: &[&str]) -> Instance {
        let container = ContainerSpec {
            image: self.image.0.clone(),
            image_id: self.image.1.clone(),
            args: args.iter().map(|arg| (*arg).to_owned()).collect(),
            env: vec![
                "PATH=/bin:/sbin:/usr/bin:/usr/sbin".to_owned(),
                "GREETING=hello".to_owned(),
            ],
            ..ContainerSpec::default()
        };
        let spec = InstanceSpec {
            hostname: "suite".to_owned(),
            network: NetworkMode::None,
            containers: vec![container],
            ..InstanceSpec::default()
        };
        Instance {
            meta: Meta::new(format!("suite-{name}"), ProjectId::ADMIN, Timestamp::now()),
            spec,
        }
    }

    async fn created(&self, name: &str, args: &[&str]) -> Instance {
        let instance = self.instance(name, args);
        self.engine.create(&instance).await.unwrap();
        instance
    }

    async fn start(&self, instance: &Instance, epoch: u64) -> engine::Started {
        self.engine
            .start(instance, run(epoch), &[], &[])
            .await
            .unwrap()
    }

    async fn running(&self, name: &str, args: &[&str]) -> Instance {
        let instance = self.created(name, args).await;
        self.start(&instance, 1).await;
        instance
    }

    /// What the next run of an instance writes.
    async fn output(&self, instance: &Instance) -> Output {
        let attached = self.engine.attach(instance.meta.id, false, true).await;
        attached.unwrap().0
    }

    async fn kill_and_remove(&self, instance: &Instance) {
        let now = StopRequest {
            timeout_secs: Some(0),
            ..StopRequest::default()
        };
        self.engine.stop(instance, &now).await.unwrap();
        self.engine.remove(instance.meta.id).await.unwrap();
    }

    async fn exec(&self, id: Id, args: &[&str]) -> (String, Vec<u8>) {
        let spec = exec_spec(args);
        let exec = self.engine.exec_create(id, &spec).await.unwrap();
        let (mut output, _) = self.engine.exec_start(&exec, false, None).await.unwrap();
        let (stdout, _) = drained(&mut output).await;
        (exec, stdout)
    }
}

fn run(epoch: u64) -> Run {
    Run { epoch, attempt: 0 }
}

fn exec_spec(args: &[&str]) -> ExecSpec {
    ExecSpec {
        args: args.iter().map(|arg| (*arg).to_owned()).collect(),
        stdout: true,
        stderr: true,
        ..ExecSpec::default()
    }
}

async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what)
        .await
        .expect("it should have happened by now")
}

async fn exited(happenings: &mut broadcast::Receiver<Happening>, id: Id) -> (Run, Exit) {
    soon(async {
        loop {
            if let Happening::Exited(who, run, exit) = happenings.recv().await.unwrap()
                && who == id
            {
                return (run, exit);
            }
        }
    })
    .await
}

/// Everything until the end: standard output and standard error.
async fn drained(output: &mut Output) -> (Vec<u8>, Vec<u8>) {
    soon(async {
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        while let Some((stream, bytes)) = output.recv().await {
            match stream {
                Stream::Stdout => stdout.extend(bytes),
                Stream::Stderr => stderr.extend(bytes),
            }
        }
        (stdout, stderr)
    })
    .await
}

/// Output up to and with this text.
async fn output_until(output: &mut Output, text: &str) -> Vec<u8> {
    soon(async {
        let mut all = Vec::new();
        while !String::from_utf8_lossy(&all).contains(text) {
            all.extend(output.recv().await.expect("output ended early").1);
        }
        all
    })
    .await
}

async fn log(subject: &Subject<'_>, id: Id, options: LogOptions) -> Vec<LogLine> {
    let mut batches = subject.engine.logs(id, &options).await.unwrap();
    soon(async {
        let mut lines = Vec::new();
        while let Some(batch) = batches.recv().await {
            lines.extend(batch.unwrap());
        }
        lines
    })
    .await
}

fn both() -> LogOptions {
    LogOptions {
        stdout: true,
        stderr: true,
        ..LogOptions::default()
    }
}

fn text(lines: &[LogLine]) -> String {
    lines
        .iter()
        .map(|line| String::from_utf8_lossy(&line.bytes).into_owned())
        .collect()
}

async fn a_program_runs_and_its_status_is_told(subject: &Subject<'_>) {
    let mut happenings = subject.engine.happenings();
    let instance = subject.created("status", &["sh", "-c", "exit 3"]).await;
    subject.engine.create(&instance).await.unwrap();
    let started = subject.start(&instance, 1).await;
    assert!(started.pid > 0);
    let (run_ended, exit) = exited(&mut happenings, instance.meta.id).await;
    assert_eq!((run_ended, exit.code, exit.oom_killed), (run(1), 3, false));
    assert!(exit.at >= started.at);
    subject.start(&instance, 2).await;
    assert_eq!(exited(&mut happenings, instance.meta.id).await.0, run(2));
    subject.kill_and_remove(&instance).await;
    subject.engine.remove(instance.meta.id).await.unwrap();
}

async fn a_run_is_started_once(subject: &Subject<'_>) {
    let instance = subject.created("once", &["sleep", "1000"]).await;
    let first = subject.start(&instance, 1).await;
    assert_eq!(subject.start(&instance, 1).await.pid, first.pid);
    assert!(subject.engine.remove(instance.meta.id).await.is_err());
    subject.kill_and_remove(&instance).await;
}

async fn a_program_that_does_not_exist_leaves_nothing(subject: &Subject<'_>) {
    let cases = [
        ("nosuch", FailureKind::CommandNotFound),
        ("/nosuch", FailureKind::CommandNotFound),
        ("/etc", FailureKind::CommandNotExecutable),
    ];
    for (program, kind) in cases {
        let instance = subject.created("nosuch", &[program]).await;
        let failure = subject
            .engine
            .start(&instance, run(1), &[], &[])
            .await
            .unwrap_err();
        assert_eq!(failure.kind, kind, "{failure}");
        assert!(
            failure.message.contains(&format!("exec: \"{program}\": ")),
            "{failure}"
        );
        assert!(
            !subject
                .engine
                .found()
                .await
                .unwrap()
                .iter()
                .any(|found| found.id == instance.meta.id)
        );
        subject.engine.remove(instance.meta.id).await.unwrap();
    }
}

async fn a_signal_is_handled_by_who_traps_it(subject: &Subject<'_>) {
    let mut happenings = subject.engine.happenings();
    let instance = subject
        .created(
            "trap",
            &[
                "sh",
                "-c",
                "trap 'exit 7' TERM; echo ready; sleep 1000 & wait",
            ],
        )
        .await;
    let mut output = subject.output(&instance).await;
    subject.start(&instance, 1).await;
    output_until(&mut output, "ready").await;
    let refused = subject
        .engine
        .signal(instance.meta.id, "SIGNONSENSE")
        .await
        .unwrap_err();
    assert_eq!(refused.kind, FailureKind::Invalid, "{refused}");
    subject
        .engine
        .signal(instance.meta.id, "TERM")
        .await
        .unwrap();
    assert_eq!(exited(&mut happenings, instance.meta.id).await.1.code, 7);
    let late = subject
        .engine
        .signal(instance.meta.id, "TERM")
        .await
        .unwrap_err();
    assert_eq!(late.kind, FailureKind::Conflict, "{late}");
    subject.kill_and_remove(&instance).await;
}

async fn stop_kills_who_does_not_listen(subject: &Subject<'_>) {
    let mut happenings = subject.engine.happenings();
    let instance = subject.running("stubborn", &["sleep", "1000"]).await;
    let how = StopRequest {
        timeout_secs: Some(1),
        ..StopRequest::default()
    };
    subject.engine.stop(&instance, &how).await.unwrap();
    assert_eq!(exited(&mut happenings, instance.meta.id).await.1.code, 137);
    subject.engine.stop(&instance, &how).await.unwrap();
    subject.kill_and_remove(&instance).await;

    // An init of its own hears signals once it runs, and so does what it runs.
    let mut instance = subject.instance("reaped", &["sh", "-c", "echo ready; exec sleep 1000"]);
    instance.spec.containers[0].init = true;
    subject.engine.create(&instance).await.unwrap();
    let mut output = subject.output(&instance).await;
    subject.start(&instance, 1).await;
    output_until(&mut output, "ready").await;
    subject
        .engine
        .stop(&instance, &StopRequest::default())
        .await
        .unwrap();
    assert_eq!(exited(&mut happenings, instance.meta.id).await.1.code, 143);
    subject.kill_and_remove(&instance).await;
}

async fn a_paused_instance_stands_still(subject: &Subject<'_>) {
    let mut happenings = subject.engine.happenings();
    let instance = subject.running("paused", &["sleep", "1000"]).await;
    let id = instance.meta.id;
    subject.engine.set_paused(id, true).await.unwrap();
    subject.engine.set_paused(id, true).await.unwrap();
    let found = subject.engine.found().await.unwrap();
    let state = found
        .into_iter()
        .find(|found| found.id == id)
        .unwrap()
        .state;
    assert!(
        matches!(state, FoundState::Running { paused: true, .. }),
        "{state:?}"
    );
    let refused = subject
        .engine
        .exec_create(id, &exec_spec(&["true"]))
        .await
        .unwrap_err();
    assert_eq!(refused.kind, FailureKind::Conflict, "{refused}");
    subject.engine.set_paused(id, false).await.unwrap();
    subject.exec(id, &["true"]).await;
    subject.engine.set_paused(id, true).await.unwrap();
    subject.engine.signal(id, "KILL").await.unwrap();
    assert_eq!(exited(&mut happenings, id).await.1.code, 137);
    subject.kill_and_remove(&instance).await;
}

async fn statistics_and_processes_are_of_a_running_one(subject: &Subject<'_>) {
    let instance = subject.running("top", &["sleep", "1000"]).await;
    let id = instance.meta.id;
    let stats = subject.engine.stats(id).await.unwrap();
    assert!(stats.cpus_online > 0 && stats.memory_limit_bytes > 0 && stats.pids_current >= 1);
    let processes = subject.engine.processes(id, &[]).await.unwrap();
    let command = processes
        .titles
        .iter()
        .position(|title| title == "CMD")
        .unwrap();
    assert_eq!(
        processes
            .rows
            .iter()
            .map(|row| row[command].as_str())
            .collect::<Vec<_>>(),
        ["sleep 1000"]
    );
    subject.kill_and_remove(&instance).await;

    let instance = subject.created("still", &["sleep", "1000"]).await;
    assert_eq!(
        subject
            .engine
            .processes(instance.meta.id, &[])
            .await
            .unwrap_err()
            .kind,
        FailureKind::Conflict
    );
    subject.kill_and_remove(&instance).await;
}

async fn what_runs_and_what_ended_is_found(subject: &Subject<'_>) {
    let mut happenings = subject.engine.happenings();
    let created = subject.created("never", &["true"]).await;
    let running = subject.running("runs", &["sleep", "1000"]).await;
    let ended = subject.running("ended", &["sh", "-c", "exit 4"]).await;
    exited(&mut happenings, ended.meta.id).await;
    let found = subject.engine.found().await.unwrap();
    let state = |id: Id| {
        found
            .iter()
            .find(|found| found.id == id)
            .map(|found| (found.run, found.state.clone()))
    };
    assert_eq!(state(created.meta.id), None);
    assert!(
        matches!(state(running.meta.id), Some((of, FoundState::Running { paused: false, .. })) if of == run(1))
    );
    assert!(
        matches!(state(ended.meta.id), Some((of, FoundState::Exited(Exit { code: 4, .. }))) if of == run(1))
    );
    for instance in [created, running, ended] {
        subject.kill_and_remove(&instance).await;
    }
}

async fn nothing_unknown_is_touched(subject: &Subject<'_>) {
    let id = Id::random();
    subject.engine.remove(id).await.unwrap();
    assert!(subject.engine.signal(id, "TERM").await.is_err());
    assert!(subject.engine.set_paused(id, true).await.is_err());
    assert!(subject.engine.stats(id).await.is_err());
    assert!(
        subject
            .engine
            .exec_create(id, &exec_spec(&["true"]))
            .await
            .is_err()
    );
    assert_eq!(
        subject.engine.exec_status("0123").await.unwrap_err().kind,
        FailureKind::NotFound
    );
    assert_eq!(
        subject
            .engine
            .exec_start("0123", false, None)
            .await
            .map(drop)
            .unwrap_err()
            .kind,
        FailureKind::NotFound
    );
    assert!(subject.engine.execs(id).await.is_empty());
}

/// An archive with one file of mode 0640.
pub(crate) fn packed(name: &str, contents: &[u8]) -> Bytes {
    let mut archive = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o640);
    header.set_size(contents.len() as u64);
    archive.append_data(&mut header, name, contents).unwrap();
    archive.into_inner().unwrap().into()
}

/// Regular files of an archive: name and contents.
pub(crate) fn unpacked(archive: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in tar::Archive::new(archive).entries().unwrap() {
        let mut entry = entry.unwrap();
        if entry.header().entry_type().is_file() {
            let mut contents = Vec::new();
            std::io::Read::read_to_end(&mut entry, &mut contents).unwrap();
            files.push((
                entry.path().unwrap().to_string_lossy().into_owned(),
                contents,
            ));
        }
    }
    files
}
