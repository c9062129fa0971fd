//! The simulated engine: the shared stories, and what only it can do.

use std::sync::Arc;
use std::time::Duration;

use engine::simulated::{Operation, Simulated};
use engine::{Engine, FoundState, Happening};
use jiff::Timestamp;
use model::instance::{
    Failure, FailureKind, Health, HealthState, NetworkMode, Protocol, PublishedPort, Run,
    StopRequest,
};
use model::stream::LogOptions;

use crate::suite::{self, Subject};

const RUN: Run = Run {
    epoch: 1,
    attempt: 0,
};

fn subject(engine: &Simulated) -> Subject<'_> {
    Subject {
        engine,
        image: ("busybox".to_owned(), "sha256:simulated".to_owned()),
    }
}

#[tokio::test(start_paused = true)]
async fn the_shared_stories_hold() {
    suite::all(&subject(&Simulated::new())).await;
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_told_once_and_in_order() {
    let engine = Simulated::new();
    let instance = subject(&engine).instance("failing", &["true"]);
    let full = |message: &str| Failure {
        kind: FailureKind::Internal,
        message: message.to_owned(),
    };
    engine.fail_next(Operation::Create, full("disk full"));
    engine.fail_next(Operation::Create, full("still full"));
    assert_eq!(engine.create(&instance).await, Err(full("disk full")));
    assert_eq!(engine.create(&instance).await, Err(full("still full")));
    assert_eq!(engine.instances(), []);
    engine.create(&instance).await.unwrap();
    assert_eq!(engine.instances(), [instance.meta.id]);
}

#[tokio::test(start_paused = true)]
async fn the_clock_is_tokios_alone() {
    let engine = Simulated::at(Timestamp::UNIX_EPOCH);
    let instance = subject(&engine).instance("clock", &["sleep", "1000"]);
    engine.create(&instance).await.unwrap();
    let mut happenings = engine.happenings();
    engine.start(&instance, RUN, &[], &[]).await.unwrap();
    engine
        .stop(&instance, &StopRequest::default())
        .await
        .unwrap();
    let mut signals = Vec::new();
    let exit = loop {
        match happenings.recv().await.unwrap() {
            Happening::Signal(_, number) => signals.push(number),
            Happening::Exited(_, _, exit) => break exit,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(signals, [15, 9]);
    assert_eq!(
        exit.at.as_second(),
        10,
        "process 1 does not hear SIGTERM, and ten seconds are the default"
    );
}

#[tokio::test(start_paused = true)]
async fn it_outlives_its_agent_and_a_reboot_forgets() {
    let host = Simulated::new();
    let instance = subject(&host).instance("survivor", &["sh", "-c", "sleep 5; exit 9"]);
    {
        let agent: Arc<dyn Engine> = Arc::new(host.clone());
        agent.create(&instance).await.unwrap();
        agent.start(&instance, RUN, &[], &[]).await.unwrap();
    }
    tokio::time::sleep(Duration::from_secs(6)).await;
    let agent: Arc<dyn Engine> = Arc::new(host.clone());
    let found = agent.found().await.unwrap();
    assert!(
        matches!(&found[..], [one] if matches!(&one.state, FoundState::Exited(exit) if exit.code == 9))
    );
    host.reboot();
    assert_eq!(agent.found().await.unwrap(), []);
    agent.start(&instance, RUN, &[], &[]).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_happens_by_itself_can_be_triggered() {
    let engine = Simulated::new();
    let instance = subject(&engine).instance("triggered", &["sleep", "1000"]);
    let id = instance.meta.id;
    engine.create(&instance).await.unwrap();
    assert!(!engine.exit(id, 3), "it does not run yet");
    let mut happenings = engine.happenings();
    for (attempt, code) in [(0, 3), (1, 137)] {
        let run = Run { epoch: 1, attempt };
        engine.start(&instance, run, &[], &[]).await.unwrap();
        let ran = if code == 3 {
            engine.exit(id, 3)
        } else {
            engine.run_out_of_memory(id)
        };
        assert!(ran);
        if code == 137 {
            assert_eq!(happenings.recv().await.unwrap(), Happening::OutOfMemory(id));
        }
        let Happening::Exited(_, ended, exit) = happenings.recv().await.unwrap() else {
            panic!()
        };
        assert_eq!(
            (ended, exit.code, exit.oom_killed),
            (run, code, code == 137)
        );
    }
    let health = Health {
        state: HealthState::Unhealthy,
        failing_streak: 3,
        log: Vec::new(),
    };
    engine.set_health(id, health.clone());
    assert_eq!(
        happenings.recv().await.unwrap(),
        Happening::Health(id, health)
    );
}

#[tokio::test(start_paused = true)]
async fn a_port_has_one_owner() {
    let engine = Simulated::new();
    let mut instances =
        ["one", "two", "three"].map(|name| subject(&engine).instance(name, &["sleep", "1000"]));
    for (instance, host_port) in instances.iter_mut().zip([8080, 8080, 0]) {
        instance.spec.network = NetworkMode::Attached;
        let port = PublishedPort {
            protocol: Protocol::Tcp,
            container_port: 80,
            host_ip: None,
            host_port,
            host_port_end: host_port,
        };
        instance.spec.published_ports = vec![port];
        engine.create(instance).await.unwrap();
    }
    let started = engine.start(&instances[0], RUN, &[], &[]).await.unwrap();
    assert!(started.ports.iter().all(|port| port.host_port == 8080));
    let refused = engine
        .start(&instances[1], RUN, &[], &[])
        .await
        .unwrap_err();
    assert_eq!(refused.kind, FailureKind::Conflict);
    assert!(
        refused
            .message
            .ends_with("Bind for 0.0.0.0:8080 failed: port is already allocated"),
        "{refused}"
    );
    assert_ne!(
        engine
            .start(&instances[2], RUN, &[], &[])
            .await
            .unwrap()
            .ports,
        []
    );
    assert!(engine.exit(instances[0].meta.id, 0));
    engine.start(&instances[1], RUN, &[], &[]).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_followed_log_ends_at_its_time() {
    let engine = Simulated::new();
    let instance = subject(&engine).instance(
        "until",
        &["sh", "-c", "while true; do echo tick; sleep 1; done"],
    );
    engine.create(&instance).await.unwrap();
    engine.start(&instance, RUN, &[], &[]).await.unwrap();
    let until = Some(engine.now() + Duration::from_millis(2500));
    let options = LogOptions {
        stdout: true,
        follow: true,
        until,
        ..LogOptions::default()
    };
    let mut lines = engine.logs(instance.meta.id, &options).await.unwrap();
    let mut count = 0;
    while let Some(batch) = lines.recv().await {
        count += batch.unwrap().len();
    }
    assert_eq!(count, 3);
}
