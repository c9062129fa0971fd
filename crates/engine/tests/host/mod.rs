//! The real host: the shared stories, and what only a machine can show. Needs root.

mod keeper;
mod rig;
mod tenant;

use std::time::Duration;

use engine::{Engine, FoundState, Happening};
use model::container::{HealthCheck, Mount, MountSource, Propagation};
use model::instance::{
    FailureKind, Health, HealthState, Instance, NamespaceMode, NetworkMode, Run,
};
use model::stream::ExecSpec;

use self::rig::Rig;
use crate::suite;

const RUN: Run = Run {
    epoch: 1,
    attempt: 0,
};

impl Rig {
    /// Runs this to its end and answers what it printed, both streams, and its exit status.
    async fn output_of(&self, instance: &Instance) -> (String, i32) {
        let mut happenings = self.host.happenings();
        self.host.create(instance).await.unwrap();
        let (mut output, _) = self
            .host
            .attach(instance.meta.id, false, true)
            .await
            .unwrap();
        self.host.start(instance, RUN, &[], &[]).await.unwrap();
        let mut text = Vec::new();
        while let Some((_, bytes)) = output.recv().await {
            text.extend(bytes);
        }
        let code = loop {
            if let Happening::Exited(id, _, exit) = happenings.recv().await.unwrap()
                && id == instance.meta.id
            {
                break exit.code;
            }
        };
        self.host.remove(instance.meta.id).await.unwrap();
        (String::from_utf8_lossy(&text).into_owned(), code)
    }

    fn shell(&self, script: &str) -> Instance {
        self.subject().instance("shell", &["sh", "-c", script])
    }
}

async fn found(rig: &Rig, id: model::Id) -> (Run, FoundState) {
    let found = rig
        .host
        .found()
        .await
        .unwrap()
        .into_iter()
        .find(|found| found.id == id)
        .unwrap();
    (found.run, found.state)
}

fn volume(target: &str, name: &str) -> Mount {
    let source = MountSource::Volume {
        name: name.into(),
        anonymous: false,
        no_copy: false,
        subpath: String::new(),
    };
    Mount {
        target: target.into(),
        source,
        read_only: false,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shared_stories_hold() {
    let rig = Rig::new().await;
    suite::all(&rig.subject()).await;
    rig.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_sees_itself_only() {
    let rig = Rig::new().await;
    let instance = rig.shell("echo $$; hostname; id -u; env | grep HOME; ls /proc | grep -c '^[0-9]'; grep ' / ' /proc/1/mounts");
    let (text, code) = rig.output_of(&instance).await;
    assert_eq!(code, 0, "{text}");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[..4], ["1", "suite", "0", "HOME=/root"], "{text}");
    assert!(lines[5].contains(" / overlay "), "{text}");
    assert_eq!(lines.len(), 6, "{text}");
    rig.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn input_is_attached_before_the_instance_is_made() {
    let rig = Rig::new().await;
    let mut instance = rig.shell("echo made");
    instance.spec.containers[0].open_stdin = true;
    let id = instance.meta.id;
    let (output, input) = rig.host.attach(id, true, true).await.unwrap();
    assert!(input.is_some());
    drop((output, input));
    let (text, code) = rig.output_of(&instance).await;
    assert_eq!((text.as_str(), code), ("made\n", 0));
    rig.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn users_and_groups_are_the_containers_own() {
    let rig = Rig::new().await;
    let mut instance = rig.shell("id");
    instance.spec.containers[0].user = "web".into();
    let (text, _) = rig.output_of(&instance).await;
    assert_eq!(
        text.trim(),
        "uid=1000(web) gid=1000(web) groups=29(audio),1000(web)"
    );
    let mut nobody = rig.shell("id");
    nobody.spec.containers[0].user = "nobody".into();
    rig.host.create(&nobody).await.unwrap();
    let failure = rig.host.start(&nobody, RUN, &[], &[]).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Invalid);
    assert_eq!(
        failure.message,
        "unable to find user nobody: no matching entries in passwd file"
    );
    rig.host.remove(nobody.meta.id).await.unwrap();
    rig.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_volume_is_filled_from_the_image_once() {
    let rig = Rig::new().await;
    let mut first =
        rig.shell("cat /data/seed; stat -c %u:%g:%a /data /data/seed; echo changed > /data/seed");
    first.spec.containers[0].mounts = vec![volume("/data", "filled")];
    let (text, code) = rig.output_of(&first).await;
    assert_eq!(
        (text.as_str(), code),
        ("from the image1000:1000:750\n1000:1000:640\n", 0)
    );
    let mut second = rig.shell("cat /data/seed");
    second.spec.containers[0].mounts = vec![volume("/data", "filled")];
    assert_eq!(rig.output_of(&second).await.0, "changed\n");
    rig.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mounts_of_every_kind_are_there() {
    let rig = Rig::new().await;
    let shared = tempfile::tempdir().unwrap();
    std::fs::write(shared.path().join("file"), "shared").unwrap();
    let bind = |read_only| Mount {
        target: if read_only {
            "/ro".into()
        } else {
            "/deep/rw".into()
        },
        source: MountSource::Bind {
            path: shared.path().to_str().unwrap().into(),
            propagation: Propagation::Rprivate,
            create: false,
            non_recursive: false,
            read_only_non_recursive: false,
        },
        read_only,
    };
    let tmpfs = Mount {
        target: "/mem".into(),
        source: MountSource::Tmpfs {
            size_bytes: Some(1 << 20),
            mode: Some(0o700),
            options: vec![],
        },
        read_only: false,
    };
    let mut instance = rig.shell(
        "cat /ro/file; touch /ro/new 2>&1 | grep -o 'Read-only file system'; touch /deep/rw/new && echo made; stat -c %a /mem; touch /root/x 2>&1 | grep -o 'Read-only file system'; stat -c %a /dev/shm",
    );
    instance.spec.containers[0].mounts = vec![bind(true), bind(false), tmpfs];
    instance.spec.containers[0].read_only_root = true;
    let (text, _) = rig.output_of(&instance).await;
    assert_eq!(
        text,
        "sharedRead-only file system\nmade\n700\nRead-only file system\n1777\n"
    );
    assert!(shared.path().join("new").exists());

    let mut missing = rig.shell("true");
    missing.spec.containers[0].mounts = vec![bind(true)];
    drop(shared);
    let failure = rig.host.create(&missing).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Invalid);
    assert!(
        failure.message.starts_with(
            "invalid mount config for type \"bind\": bind source path does not exist: /"
        )
    );
    rig.host.remove(missing.meta.id).await.unwrap();
    rig.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_is_shared_with_those_who_join() {
    let rig = Rig::new().await;
    let mut owner = rig.shell("echo here > /dev/shm/word; echo ready; sleep 1000");
    owner.spec.namespaces.ipc = NamespaceMode::Shareable;
    rig.host.create(&owner).await.unwrap();
    let (mut output, _) = rig.host.attach(owner.meta.id, false, true).await.unwrap();
    rig.host.start(&owner, RUN, &[], &[]).await.unwrap();
    assert_eq!(output.recv().await.unwrap().1, "ready\n");
    let mut guest = rig.shell("cat /dev/shm/word");
    guest.spec.namespaces.ipc = NamespaceMode::Instance(owner.meta.id);
    assert_eq!(rig.output_of(&guest).await.0, "here\n");
    rig.host.signal(owner.meta.id, "KILL").await.unwrap();
    let mut orphan = rig.shell("true");
    orphan.spec.network = NetworkMode::Instance(guest.meta.id);
    rig.host.create(&orphan).await.unwrap();
    let failure = rig.host.start(&orphan, RUN, &[], &[]).await.unwrap_err();
    assert!(
        failure
            .message
            .starts_with("cannot join network of a non running container"),
        "{failure}"
    );
    rig.host.remove(orphan.meta.id).await.unwrap();
    rig.host
        .stop(&owner, &model::instance::StopRequest::default())
        .await
        .unwrap();
    rig.host.remove(owner.meta.id).await.unwrap();
    rig.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_health_check_follows_what_it_sees() {
    let rig = Rig::new().await;
    let mut instance = rig.shell("sleep 1000");
    instance.spec.containers[0].health_check = Some(HealthCheck {
        args: ["sh", "-c", "echo checked; test -e /tmp/well"]
            .map(str::to_owned)
            .into(),
        interval_ns: 20_000_000,
        retries: 2,
        ..HealthCheck::default()
    });
    let mut happenings = rig.host.happenings();
    let mut next = async |state: HealthState| loop {
        if let Happening::Health(_, health) = happenings.recv().await.unwrap()
            && health.state == state
        {
            break health;
        }
    };
    rig.host.create(&instance).await.unwrap();
    rig.host.start(&instance, RUN, &[], &[]).await.unwrap();
    let health = next(HealthState::Unhealthy).await;
    assert_eq!(
        (
            health.failing_streak,
            health.log[0].exit_code,
            health.log[0].output.as_str()
        ),
        (2, 1, "checked\n")
    );
    let spec = ExecSpec {
        args: ["touch", "/tmp/well"].map(str::to_owned).into(),
        ..ExecSpec::default()
    };
    let exec = rig.host.exec_create(instance.meta.id, &spec).await.unwrap();
    drop(rig.host.exec_start(&exec, true, None).await.unwrap());
    assert_eq!(next(HealthState::Healthy).await.failing_streak, 0);
    rig.host.signal(instance.meta.id, "KILL").await.unwrap();
    rig.host
        .stop(&instance, &model::instance::StopRequest::default())
        .await
        .unwrap();
    rig.host.remove(instance.meta.id).await.unwrap();
    rig.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn health_checks_count_on_after_a_pause_and_with_another_daemon() {
    let rig = Rig::new().await;
    let mut instance = rig.shell("sleep 1000");
    let id = instance.meta.id;
    instance.spec.containers[0].health_check = Some(HealthCheck {
        args: ["false".to_owned()].into(),
        interval_ns: 20_000_000,
        retries: 2,
        ..HealthCheck::default()
    });
    let mut happenings = rig.host.happenings();
    rig.host.create(&instance).await.unwrap();
    rig.host.start(&instance, RUN, &[], &[]).await.unwrap();
    let unhealthy = loop {
        let health = next_health(&mut happenings).await;
        if health.state == HealthState::Unhealthy {
            break health;
        }
    };
    rig.host.set_paused(id, true).await.unwrap();
    rig.host.set_paused(id, false).await.unwrap();
    let thawed = next_health(&mut happenings).await;
    assert!(thawed.failing_streak >= unhealthy.failing_streak);
    let rig = rig.reopened().await;
    let mut happenings = rig.host.happenings();
    rig.host.resume_health(id, &thawed).await;
    while next_health(&mut happenings).await != thawed {}
    let next = next_health(&mut happenings).await;
    assert_eq!(
        (next.state, next.failing_streak),
        (HealthState::Unhealthy, thawed.failing_streak + 1)
    );
    let now = model::instance::StopRequest {
        timeout_secs: Some(0),
        ..Default::default()
    };
    rig.host.stop(&instance, &now).await.unwrap();
    rig.host.remove(id).await.unwrap();
    rig.close().await;
}

async fn next_health(happenings: &mut tokio::sync::broadcast::Receiver<Happening>) -> Health {
    loop {
        if let Happening::Health(_, health) = happenings.recv().await.unwrap() {
            break health;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_daemon_finds_what_runs_and_what_ended_meanwhile() {
    let rig = Rig::new().await;
    let stays = rig.shell("sleep 1000");
    let ends = rig.shell("cat; exit 9");
    for instance in [&stays, &ends] {
        let mut instance = instance.clone();
        instance.spec.containers[0].open_stdin = true;
        rig.host.create(&instance).await.unwrap();
        rig.host.start(&instance, RUN, &[], &[]).await.unwrap();
    }
    let before = found(&rig, stays.meta.id).await;
    let FoundState::Running { pid: ending, .. } = found(&rig, ends.meta.id).await.1 else {
        panic!()
    };
    let rig = {
        let reopened = rig.reopened();
        // It ends while there may be no daemon.
        rustix::process::kill_process(
            rustix::process::Pid::from_raw(ending.cast_signed()).unwrap(),
            rustix::process::Signal::KILL,
        )
        .unwrap();
        reopened.await
    };
    assert_eq!(found(&rig, stays.meta.id).await, before);
    let exit = loop {
        if let (RUN, FoundState::Exited(exit)) = found(&rig, ends.meta.id).await {
            break exit;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    assert_eq!(exit.code, 137);

    // What was found can be used.
    let spec = ExecSpec {
        args: ["hostname"].map(str::to_owned).into(),
        stdout: true,
        ..ExecSpec::default()
    };
    let exec = rig.host.exec_create(stays.meta.id, &spec).await.unwrap();
    let (mut output, _) = rig.host.exec_start(&exec, false, None).await.unwrap();
    assert_eq!(output.recv().await.unwrap().1, "suite\n");
    rig.host
        .stop(
            &stays,
            &model::instance::StopRequest {
                timeout_secs: Some(0),
                ..Default::default()
            },
        )
        .await
        .unwrap();

    // The exit outlives the keeper's memory of it: an attachment to the next run makes it forget.
    drop(rig.host.attach(ends.meta.id, false, true).await.unwrap());
    let rig = rig.reopened().await;
    assert_eq!(
        found(&rig, ends.meta.id).await,
        (RUN, FoundState::Exited(exit))
    );
    for instance in [stays, ends] {
        rig.host.remove(instance.meta.id).await.unwrap();
    }
    rig.close().await;
}
