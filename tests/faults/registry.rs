//! The registry under faults: the daemon killed in the middle of pushes, the disk full, and pushes
//! while what nobody needs is collected.

use std::fs::File;
use std::io::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tests::daemon::{Daemon, Kind};
use tests::distribution::{Registry, code, digest_of, shelf};
use tests::image::import_busybox;

/// Size of the small disk.
const DISK: u64 = 96 * 1024 * 1024;
/// Collects at once, again and again.
const EAGER: &str =
    "[registry]\ngrace-seconds = 0\nuntagged-seconds = 0\ncollect-every-seconds = 1\n";
const OCTETS: &str = "application/octet-stream";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// Bytes that no other seed gives.
fn content(seed: u32, bytes: usize) -> Vec<u8> {
    let block = digest_of(&seed.to_be_bytes());
    block.bytes().cycle().take(bytes).collect()
}

/// An image of one layer that is its own configuration.
fn image(layer: &str, bytes: usize) -> String {
    let descriptor = format!(r#"{{"mediaType":"a/b","digest":"{layer}","size":{bytes}}}"#);
    format!(r#"{{"schemaVersion":2,"config":{descriptor},"layers":[{descriptor}]}}"#)
}

/// Pushes an image of one layer; `false` where the daemon did not take it whole.
fn push(registry: &Registry, repository: &str, tag: &str, layer: &[u8]) -> anyhow::Result<bool> {
    let digest = registry.push_blob(repository, layer)?;
    let mut api = registry.api(&format!("repository:{repository}:pull,push"))?;
    let path = format!("/v2/{repository}/manifests/{tag}");
    let text = image(&digest, layer.len());
    let reply = api.raw("PUT", &path, MANIFEST, text.as_bytes())?;
    Ok(reply.status == 201)
}

/// Fails unless every image that a repository lists can be pulled whole.
fn every_tag_is_whole(registry: &Registry, repository: &str) -> Vec<String> {
    let mut api = registry
        .api(&format!("repository:{repository}:pull"))
        .unwrap();
    let listed = api
        .call("GET", &format!("/v2/{repository}/tags/list"), None)
        .unwrap();
    if listed.status == 404 {
        return Vec::new();
    }
    let listed = listed.json().unwrap();
    let tags = listed["tags"].as_array().unwrap();
    let mut whole = Vec::new();
    for tag in tags {
        let tag = tag.as_str().unwrap();
        let path = format!("/v2/{repository}/manifests/{tag}");
        let manifest = api.expect("GET", &path, None).unwrap().json().unwrap();
        let digest = manifest["layers"][0]["digest"].as_str().unwrap();
        let path = format!("/v2/{repository}/blobs/{digest}");
        let layer = api.expect("GET", &path, None).unwrap();
        assert_eq!(digest_of(&layer.body), digest, "{tag}");
        whole.push(tag.to_owned());
    }
    whole
}

/// What lies in the content store unfinished.
fn staged(daemon: &Daemon) -> usize {
    std::fs::read_dir(daemon.data_dir().join("images/staging"))
        .unwrap()
        .count()
}

#[test]
fn a_daemon_killed_over_pushes_keeps_what_it_has_taken_and_nothing_half() {
    let mut daemon = Daemon::start_configured(EAGER).unwrap();
    let mut taken = Vec::new();
    for round in 0..4 {
        let registry = daemon.registry().unwrap();
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let pushers: Vec<_> = (0..2_u32)
                .map(|pusher| {
                    let (registry, stop) = (registry.clone(), &stop);
                    scope.spawn(move || {
                        let mut taken = Vec::new();
                        for number in 0.. {
                            if stop.load(Ordering::Relaxed) {
                                break;
                            }
                            let tag = format!("r{round}-p{pusher}-{number}");
                            let seed = round * 10_000 + pusher * 1000 + number;
                            let pushed =
                                push(&registry, "admin/crash", &tag, &content(seed, 300_000));
                            // The daemon is gone in the middle.
                            match pushed {
                                Ok(true) => taken.push(tag),
                                Ok(false) | Err(_) => break,
                            }
                        }
                        taken
                    })
                })
                .collect();
            // Each round is hit somewhere else.
            std::thread::sleep(Duration::from_millis(500 + 170 * u64::from(round)));
            daemon.crash().unwrap();
            stop.store(true, Ordering::Relaxed);
            for pusher in pushers {
                taken.extend(pusher.join().unwrap());
            }
        });
        daemon.up().unwrap();
        let whole = every_tag_is_whole(&daemon.registry().unwrap(), "admin/crash");
        for tag in &taken {
            assert!(whole.contains(tag), "{tag} was acknowledged and is gone");
        }
    }
    assert!(!taken.is_empty());

    // An upload ends with the daemon, and its client is told.
    let registry = daemon.registry().unwrap();
    let scope = "repository:admin/crash:pull,push,delete";
    let mut api = registry.api(scope).unwrap();
    let begun = api
        .raw("POST", "/v2/admin/crash/blobs/uploads/", OCTETS, b"")
        .unwrap();
    let location = begun.header("location").unwrap().to_owned();
    api.raw("PATCH", &location, OCTETS, &content(7, 1 << 20))
        .unwrap();
    daemon.crash().unwrap();
    daemon.up().unwrap();
    let mut api = registry.api(scope).unwrap();
    let gone = api.raw("PATCH", &location, OCTETS, b"more").unwrap();
    assert_eq!(
        (gone.status, code(&gone).as_str()),
        (404, "BLOB_UPLOAD_UNKNOWN")
    );

    // All of it goes when its manifests do.
    for tag in every_tag_is_whole(&registry, "admin/crash") {
        let path = format!("/v2/admin/crash/manifests/{tag}");
        api.expect("DELETE", &path, None).unwrap();
    }
    daemon.docker().wait_until("the registry is empty", |_| {
        shelf(&daemon.data_dir()).unwrap().is_empty() && staged(&daemon) == 0
    });
    daemon.down().unwrap();
}

#[test]
fn a_full_disk_is_told_and_what_is_there_can_be_pulled() {
    let mut daemon = Daemon::start_on(Kind::Longshore, DISK).unwrap();
    let registry = daemon.registry().unwrap();
    assert!(push(&registry, "admin/full", "kept", &content(1, 1 << 20)).unwrap());
    let before = shelf(&daemon.data_dir()).unwrap();
    let filler = daemon.data_dir().join("filler");
    let mut file = File::create(&filler).unwrap();
    for size in [1 << 20, 4096] {
        while file.write_all(&vec![0; size]).is_ok() {}
    }
    drop(file);
    let layer = content(2, 2 << 20);
    let digest = digest_of(&layer);
    let mut api = registry.api("repository:admin/full:pull,push").unwrap();
    let path = format!("/v2/admin/full/blobs/uploads/?digest={digest}");
    let refused = api.raw("POST", &path, OCTETS, &layer).unwrap();
    assert_eq!(refused.status, 507, "{refused:?}");
    let told = String::from_utf8_lossy(&refused.body).into_owned();
    assert!(told.contains("the disk is full"), "{told}");
    assert_eq!(shelf(&daemon.data_dir()).unwrap(), before);
    assert_eq!(staged(&daemon), 0);
    assert_eq!(every_tag_is_whole(&registry, "admin/full"), ["kept"]);
    std::fs::remove_file(filler).unwrap();
    assert!(push(&registry, "admin/full", "room", &layer).unwrap());
    assert_eq!(
        every_tag_is_whole(&registry, "admin/full"),
        ["kept", "room"]
    );
    daemon.down().unwrap();
}

#[test]
fn pushes_while_collecting_lose_nothing() {
    let mut daemon = Daemon::start_configured(EAGER).unwrap();
    import_busybox(&daemon.docker()).unwrap();
    let registry = daemon.registry().unwrap();
    let shared = content(1, 200_000);
    std::thread::scope(|scope| {
        for pusher in 0..3 {
            let (registry, shared) = (registry.clone(), &shared);
            scope.spawn(move || {
                let scope = "repository:admin/busy:pull,push,delete";
                for number in 0..40 {
                    // One layer of all, which is free to go whenever no manifest names it; and the
                    // same tag for all.
                    let mut tries = 0;
                    while !push(&registry, "admin/busy", "latest", shared).unwrap() {
                        tries += 1;
                        assert!(tries < 20, "the blob is gone again and again");
                    }
                    let own = content(100 + pusher * 50 + number, 50_000);
                    let tag = format!("p{pusher}");
                    while !push(&registry, "admin/busy", &tag, &own).unwrap() {}
                    if number % 5 == 0 {
                        let mut api = registry.api(scope).unwrap();
                        let path = "/v2/admin/busy/manifests/latest";
                        let deleted = api.call("DELETE", path, None).unwrap();
                        assert!(matches!(deleted.status, 202 | 404), "{deleted:?}");
                    }
                }
            });
        }
    });
    let whole = every_tag_is_whole(&registry, "admin/busy");
    for tag in ["p0", "p1", "p2"] {
        assert!(whole.iter().any(|known| known == tag), "{tag}");
    }
    // A manifest and a layer for each tag is what is left.
    daemon
        .docker()
        .wait_until("only what has tags is left", |_| {
            shelf(&daemon.data_dir()).unwrap().len() == 2 * whole.len()
        });
    daemon.down().unwrap();
}
