//! Archives that are none, end early, reach outside, or lie about what is in them.

use serde_json::json;
use tar::{Builder, EntryType, Header};
use tests::api::Reply;
use tests::daemon::Kind;

use super::{Alone, shown};

const TAR: &str = "application/x-tar";

/// An archive of one entry, whose name is written as it is.
fn archive(name: &str, data: &[u8]) -> Vec<u8> {
    let mut tar = Builder::new(Vec::new());
    append(&mut tar, name, EntryType::Regular, "", data);
    tar.into_inner().unwrap()
}

pub(super) fn append(
    tar: &mut Builder<Vec<u8>>,
    name: &str,
    kind: EntryType,
    link: &str,
    data: &[u8],
) {
    let mut header = Header::new_ustar();
    // The library refuses names like these.
    let fields = header.as_old_mut();
    fields.name[..name.len()].copy_from_slice(name.as_bytes());
    fields.linkname[..link.len()].copy_from_slice(link.as_bytes());
    header.set_entry_type(kind);
    header.set_mode(0o644);
    header.set_size(data.len() as u64);
    header.set_cksum();
    tar.append(&header, data).unwrap();
}

impl Alone {
    fn put(&mut self, path: &str, body: &[u8]) -> Reply {
        let path = format!("/containers/here/archive?path={path}");
        self.api.raw("PUT", &path, TAR, body).unwrap()
    }
}

#[test]
fn a_bad_archive_puts_nothing_outside() {
    let mut alone = Alone::new();
    let good = archive("f", b"hello");
    let mut hard_link = Builder::new(Vec::new());
    let shadow = "../../../../../etc/shadow";
    append(&mut hard_link, "h", EntryType::Link, shadow, &[]);
    let hard_link = hard_link.into_inner().unwrap();
    for (path, body, statuses, words) in [
        ("/tmp", &vec![b'x'; 2000], [400, 500], ""),
        (
            "/tmp",
            &archive("f", &[b'x'; 5000])[..2000].to_vec(),
            [400, 500],
            "unexpected",
        ),
        (
            "/tmp",
            &archive("../../evil", b"x"),
            [400, 500],
            "is outside of",
        ),
        ("/tmp", &hard_link, [400, 500], shadow),
        (
            "/etc/passwd",
            &good,
            [400, 500],
            "extraction point is not a directory",
        ),
        (
            "/nosuch",
            &good,
            [404, 404],
            "Could not find the file /nosuch",
        ),
        ("", &good, [400, 400], "cannot be empty"),
    ] {
        let reply = alone.put(path, body);
        assert!(
            statuses.contains(&reply.status),
            "{path}: {}",
            shown(&reply)
        );
        assert!(shown(&reply).contains(words), "{path}: {}", shown(&reply));
    }
    let reply = alone.put("/tmp", &archive("/absolute", b"x"));
    assert_eq!(reply.status, 200, "{}", shown(&reply));
    let changed = alone.daemon.docker().run(&["diff", "here"]).ok();
    assert!(changed.contains("A /tmp/absolute"), "{changed}");
    assert!(!changed.contains("evil"), "{changed}");
    alone.works();
}

#[test]
fn an_import_that_ends_early_makes_no_image() {
    let mut alone = Alone::new();
    let whole = archive("f", &[b'x'; 5000]);
    for body in [
        &vec![b'x'; 2000],
        &whole[..2000].to_vec(),
        &b"\x1f\x8b\x08\0\0\0\0\0\0\x03".to_vec(),
    ] {
        let reply = alone
            .api
            .raw("POST", "/images/create?fromSrc=-&repo=bad", TAR, body)
            .unwrap();
        assert!([400, 500].contains(&reply.status), "{}", shown(&reply));
    }
    for (path, words) in [
        (
            "/images/create?fromSrc=-&repo=bad&changes=NOSUCH+x",
            "is not a valid change command",
        ),
        ("/images/create?fromSrc=-&repo=BAD", "must be lowercase"),
    ] {
        let reply = alone.api.raw("POST", path, TAR, &whole).unwrap();
        assert!(alone.is_so(&reply, 400, words), "{}", shown(&reply));
    }
    alone.works();
}

/// A saved image with these parts, `None` for one that is missing.
fn saved(manifest: &str, config: Option<&str>, layer: Option<&[u8]>) -> Vec<u8> {
    let mut tar = Builder::new(Vec::new());
    let parts = [
        ("config.json", config.map(str::as_bytes)),
        ("layer.tar", layer),
        ("manifest.json", Some(manifest.as_bytes())),
    ];
    for (name, data) in parts {
        if let Some(data) = data {
            append(&mut tar, name, EntryType::Regular, "", data);
        }
    }
    tar.into_inner().unwrap()
}

#[test]
fn a_load_of_what_lies_makes_no_image() {
    let mut alone = Alone::new();
    let layer = archive("f", b"hello");
    let manifest = |config: &str, layers: &[&str]| {
        json!([{ "Config": config, "RepoTags": ["liar:latest"], "Layers": layers }]).to_string()
    };
    let config = json!({
        "architecture": "amd64", "os": "linux", "config": {},
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{}", "0".repeat(64))] },
    })
    .to_string();
    let usual = manifest("config.json", &["layer.tar"]);
    let whole = saved(&usual, Some(&config), Some(&layer));
    for (what, body) in [
        ("garbage", vec![b'x'; 2000]),
        ("nothing", Vec::new()),
        ("no manifest", layer.clone()),
        ("cut off", whole[..whole.len() / 2].to_vec()),
        ("wrong digest", whole),
        ("no layer", saved(&usual, Some(&config), None)),
        ("no config", saved(&usual, None, Some(&layer))),
        ("config is no JSON", saved(&usual, Some("{"), Some(&layer))),
        (
            "config is an array",
            saved(&usual, Some("[]"), Some(&layer)),
        ),
        (
            "manifest is no JSON",
            saved("{", Some(&config), Some(&layer)),
        ),
        (
            "manifest is an object",
            saved("{}", Some(&config), Some(&layer)),
        ),
        (
            "one layer too many",
            saved(
                &manifest("config.json", &["layer.tar", "layer.tar"]),
                Some(&config),
                Some(&layer),
            ),
        ),
        (
            "config outside",
            saved(
                &manifest("../../../etc/passwd", &["layer.tar"]),
                Some(&config),
                Some(&layer),
            ),
        ),
        (
            "layer is no archive",
            saved(&usual, Some(&config), Some(&[b'x'; 3000])),
        ),
    ] {
        let reply = alone
            .api
            .raw("POST", "/images/load?quiet=1", TAR, &body)
            .unwrap();
        // The answer's head is out before the archive is read.
        assert_eq!(reply.status, 200, "{what}: {}", shown(&reply));
        let message = reply.json().unwrap();
        assert!(
            message["errorDetail"]["message"].is_string(),
            "{what}: {}",
            shown(&reply)
        );
    }
    alone.works();
    if alone.daemon.kind() == Kind::Longshore {
        let staging = alone.daemon.data_dir().join("images/staging");
        let left: Vec<_> = std::fs::read_dir(staging).into_iter().flatten().collect();
        assert!(left.is_empty(), "{left:?}");
    }
}
