//! Builds of contexts that no client packs: names that climb, devices, archives that break off, and
//! parameters that are no such thing.

use tar::{Builder, EntryType};
use tests::api::Reply;
use tests::daemon::Kind;

use super::Alone;
use super::archives::append;

const TAR: &str = "application/x-tar";

/// A context with this Dockerfile, and more.
fn context(dockerfile: &str, more: impl FnOnce(&mut Builder<Vec<u8>>)) -> Vec<u8> {
    let mut tar = Builder::new(Vec::new());
    let file = EntryType::Regular;
    append(&mut tar, "Dockerfile", file, "", dockerfile.as_bytes());
    more(&mut tar);
    tar.into_inner().unwrap()
}

impl Alone {
    fn build(&mut self, query: &str, body: &[u8]) -> Reply {
        let path = format!("/build?{query}");
        self.api.raw("POST", &path, TAR, body).unwrap()
    }
}

/// What a build says in the end, as an answer of its own or as its last line.
fn told(reply: &Reply) -> String {
    String::from_utf8_lossy(&reply.body).into_owned()
}

#[test]
fn a_hostile_context_is_refused_or_stays_inside() {
    let mut alone = Alone::new();
    let copy_all = "FROM busybox\nCOPY . /all/\n";
    let climbing = context(copy_all, |tar| {
        append(tar, "../../climbed", EntryType::Regular, "", b"x");
    });
    alone.build("t=climbing", &climbing);
    for above in ["images/staging/climbed", "images/climbed", "climbed"] {
        assert!(!alone.daemon.data_dir().join(above).exists(), "{above}");
    }
    // A link that leads outside, and a file through it.
    let through = context(copy_all, |tar| {
        append(tar, "out", EntryType::Symlink, "/tmp", b"");
        append(tar, "out/written-through", EntryType::Regular, "", b"x");
    });
    alone.build("t=through", &through);
    assert!(!std::path::Path::new("/tmp/written-through").exists());
    if alone.daemon.kind() == Kind::Dockerd {
        return;
    }
    let device = context(copy_all, |tar| {
        append(tar, "null", EntryType::Char, "", b"");
    });
    let reply = alone.build("t=device", &device);
    assert_eq!(reply.status, 400);
    assert!(told(&reply).contains("is a device"), "{}", told(&reply));
    let whole = context(copy_all, |tar| {
        append(tar, "large", EntryType::Regular, "", &[7; 5000]);
    });
    for body in [
        &whole[..2000],
        &whole[..700],
        b"this is no archive at all",
        b"",
    ] {
        let reply = alone.build("t=broken", body);
        assert_eq!(reply.status, 400, "{}", told(&reply));
    }
    let listed = alone.daemon.docker().run(&["images", "-q", "broken"]);
    assert_eq!(listed.ok(), "");
}

#[test]
fn parameters_that_are_no_such_thing_are_named() {
    let mut alone = Alone::new();
    if alone.daemon.kind() == Kind::Dockerd {
        return;
    }
    let body = context("FROM busybox\n", |_| {});
    for (query, status, words) in [
        ("buildargs=x", 400, "buildargs"),
        ("buildargs=%5B1%5D", 400, "buildargs"),
        ("labels=%7B%22a%22:1%7D", 400, "labels"),
        ("memory=x", 400, "\"x\""),
        ("memory=1", 400, "memory"),
        ("t=UPPER", 400, "must be lowercase"),
        (
            "dockerfile=../../etc/passwd",
            400,
            "Cannot locate specified Dockerfile",
        ),
        (
            "dockerfile=nowhere",
            400,
            "Cannot locate specified Dockerfile: nowhere",
        ),
        ("networkmode=nowhere", 400, "nowhere"),
        ("platform=plan9", 400, "platform plan9 is not supported"),
        ("version=2&remote=ftp://example.test/x", 400, "remoteURL"),
        ("squash=1", 501, "squash"),
        ("outputs=x", 501, "outputs"),
        ("remote=ftp://example.test/x", 400, "remoteURL"),
        (
            "target=none",
            400,
            "target stage \"none\" could not be found",
        ),
    ] {
        let reply = alone.build(query, &body);
        let told = told(&reply);
        assert_eq!(reply.status, status, "{query}: {told}");
        let told = told.replace('\\', "").to_lowercase();
        assert!(told.contains(&words.to_lowercase()), "{query}: {told}");
    }
    let reply = alone
        .api
        .raw("POST", "/grpc", "application/grpc", b"")
        .unwrap();
    assert_eq!(reply.status, 400);
    assert!(told(&reply).contains("h2c"));
}
