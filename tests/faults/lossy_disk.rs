//! A disk that takes what is written and loses it before it is flushed: who wrote it is told, and
//! nothing counts that is not there.

use tests::daemon::Daemon;
use tests::distribution::{code, digest_of};

/// What the disk says it has.
const SHOWN: u64 = 512 << 20;
/// And what it has.
const HELD: u64 = 96 << 20;
/// More than that, though it fits into what is shown.
const LOST: usize = 160 << 20;

fn daemon() -> Daemon {
    Daemon::start_on_one_that_loses(SHOWN, HELD).unwrap()
}

fn root_file_system() -> Vec<u8> {
    let content = vec![b'x'; LOST];
    let mut header = tar::Header::new_gnu();
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    let mut tar = tar::Builder::new(Vec::new());
    tar.append_data(&mut header, "content", content.as_slice())
        .unwrap();
    tar.into_inner().unwrap()
}

#[test]
fn an_image_that_is_lost_is_not_there() {
    let mut daemon = daemon();
    let docker = daemon.docker();
    let imported = docker.run_with_input(&["import", "-", "lost"], &root_file_system());
    assert!(imported.fails(1).contains("flush"), "{imported:?}");
    assert!(
        imported.stderr.contains("Input/output error"),
        "{imported:?}"
    );
    assert_eq!(docker.run(&["images", "-aq"]).ok(), "");
    daemon.down().unwrap();
}

#[test]
fn a_blob_that_is_lost_is_not_there() {
    let mut daemon = daemon();
    let registry = daemon.registry().unwrap();
    let content = vec![b'x'; LOST];
    let digest = digest_of(&content);
    let mut api = registry.api("repository:admin/lost:pull,push").unwrap();
    let path = format!("/v2/admin/lost/blobs/uploads/?digest={digest}");
    let refused = api
        .raw("POST", &path, "application/octet-stream", &content)
        .unwrap();
    assert_eq!((refused.status, code(&refused).as_str()), (507, "UNKNOWN"));
    let blob = format!("/v2/admin/lost/blobs/{digest}");
    assert_eq!(api.head(&blob).unwrap().status, 404);
    daemon.down().unwrap();
}
