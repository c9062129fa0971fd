//! What the host does when its connection to the keeper breaks.

use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;

use engine::{Engine as _, FoundState};
use model::instance::StopRequest;
use rustix::process::{
    Pid, PidfdFlags, PidfdGetfdFlags, Signal, getpid, kill_process, pidfd_getfd, pidfd_open,
};

use super::rig::{Rig, keepers_of};
use super::{RUN, found};

/// Unix sockets that a process has, duplicated.
fn sockets_of(process: Pid) -> Vec<UnixStream> {
    let pidfd = pidfd_open(process, PidfdFlags::empty()).unwrap();
    let numbers = std::fs::read_dir(format!("/proc/{}/fd", process.as_raw_nonzero())).unwrap();
    let numbers = numbers.flatten().filter_map(|entry| {
        let link = std::fs::read_link(entry.path()).ok()?;
        let is_socket = link.to_str()?.starts_with("socket:");
        is_socket.then(|| entry.file_name().to_str()?.parse().ok())?
    });
    numbers
        .filter_map(|number| pidfd_getfd(&pidfd, number, PidfdGetfdFlags::empty()).ok())
        .map(UnixStream::from)
        .collect()
}

/// Breaks this process's connection to the keeper whose socket this is.
fn break_connection(socket: &Path) {
    for stream in sockets_of(getpid()) {
        let is_it = stream
            .peer_addr()
            .is_ok_and(|peer| peer.as_pathname() == Some(socket));
        if is_it {
            stream.shutdown(Shutdown::Both).unwrap();
        }
    }
}

async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..3000 {
        if is_so() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("{what} did not come about");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_broke_off_does_not_refuse_the_next() {
    let rig = Rig::new().await;
    let instance = rig.shell("sleep 1000");
    let id = instance.meta.id;
    rig.host.create(&instance).await.unwrap();
    let keeper = Pid::from_raw(keepers_of(rig.data.path())[0]).unwrap();
    kill_process(keeper, Signal::STOP).unwrap();
    let heard = {
        let start = rig.host.start(&instance, RUN, &[], &[]);
        let broken = async {
            until("the call", || {
                sockets_of(keeper)
                    .iter()
                    .any(|socket| rustix::io::ioctl_fionread(socket).is_ok_and(|bytes| bytes > 0))
            })
            .await;
            break_connection(&rig.data.path().join("keeper/socket"));
        };
        tokio::join!(start, broken).0
    };
    kill_process(keeper, Signal::CONT).unwrap();
    heard.unwrap_err();
    // There may be no connection yet.
    let mut last = None;
    for _ in 0..3000 {
        match rig.host.start(&instance, RUN, &[], &[]).await {
            Ok(_) => break,
            Err(failure) => {
                assert!(!failure.message.contains("started before"), "{failure}");
                last = Some(failure);
            }
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let (_, state) = found(&rig, id).await;
    assert!(
        matches!(state, FoundState::Running { .. }),
        "{state:?} {last:?}"
    );
    let at_once = StopRequest {
        signal: Some("KILL".to_owned()),
        timeout_secs: None,
    };
    rig.host.stop(&instance, &at_once).await.unwrap();
    rig.host.remove(id).await.unwrap();
    rig.close().await;
}
