//! The keeper, through its client.

mod attachment;
mod exec;
mod life;
mod log;
mod sealed;
mod service;

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::time::Duration;

use runtime::keeper::{Client, Exited, KeeperEvent, ProcessKey};
use runtime::launch::Launch;
use tokio::sync::broadcast;

use crate::scene::key;

/// What an attachment to a process without output gets.
const NOTHING: [Vec<u8>; 2] = [Vec::new(), Vec::new()];
/// Ordinary lines without end.
const CHATTY: &str = "yes 0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789";
/// Far more than anything here takes; only a test that fails waits for it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) async fn exit_of(
    events: &mut broadcast::Receiver<KeeperEvent>,
    which: &ProcessKey,
) -> Exited {
    let wait = async {
        loop {
            match events.recv().await.unwrap() {
                KeeperEvent::Exited { key, exited } if key == *which => return exited,
                KeeperEvent::Lost => panic!("the keeper is gone"),
                _ => {}
            }
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.expect("it ends")
}

/// Starts it and waits for its end.
pub(crate) async fn run(client: &Client, launch: &Launch) -> Exited {
    let mut events = client.events();
    client.start(launch, None).await.unwrap();
    exit_of(&mut events, &key(&launch.id)).await
}

/// Everything of an attachment, by stream.
fn read_all(output: OwnedFd) -> [Vec<u8>; 2] {
    rustix::io::ioctl_fionbio(&output, false).unwrap();
    let mut file = File::from(output);
    let mut streams = [Vec::new(), Vec::new()];
    let mut header = [0; 5];
    while file.read(&mut header[..1]).unwrap() == 1 {
        file.read_exact(&mut header[1..]).unwrap();
        let [stream, a, b, c, d] = header;
        let mut chunk = vec![0; u32::from_be_bytes([a, b, c, d]) as usize];
        file.read_exact(&mut chunk).unwrap();
        streams[usize::from(stream) - 1].extend(chunk);
    }
    streams
}

async fn read_all_later(output: OwnedFd) -> [Vec<u8>; 2] {
    let read = tokio::task::spawn_blocking(|| read_all(output));
    tokio::time::timeout(PATIENCE, read)
        .await
        .expect("it ends")
        .unwrap()
}

/// Until something is so.
pub(crate) async fn until(mut is_so: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait)
        .await
        .expect("it comes about");
}
