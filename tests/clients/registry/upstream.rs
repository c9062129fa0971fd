//! Our registry in front of another one: Debian's `docker-registry`, which wants a password that only
//! the operator knows; and clients that pull through us, by a prefix or by taking us for a mirror.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;
use tests::api::Api;
use tests::daemon::Daemon;
use tests::distribution::{Registry as Client, code, digest_of, shelf};
use tests::registry::{PASSWORD, Registry, USER};

use super::registry;

/// Bytes of an image's only layer.
const LAYER: usize = 400_000;
const MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// How long the collector may take to free something.
const FREED_WITHIN: Duration = Duration::from_secs(60);

/// Our registry, in front of another one.
struct Behind {
    upstream: Registry,
    front: Daemon,
}

/// An upstream that wants a password, and a daemon that knows it.
fn behind(more: &str) -> Behind {
    let upstream = Registry::start_with_password().unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), format!("{PASSWORD}\n")).unwrap();
    let settings = format!(
        "[registry]\ncollect-every-seconds = 1\n\
         [[registry.upstreams]]\nprefix = 'admin/copies'\nregistry = '{name}'\nuser = '{USER}'\n\
         password-file = '{password}'\npublic = true\nmirror = true\n{more}\n\
         [[registry.upstreams]]\nprefix = 'admin/own'\nregistry = '{name}'\nuser = '{USER}'\n\
         password-file = '{password}'\n",
        name = upstream.name(),
        password = file.path().display()
    );
    let front = Daemon::start_configured(&settings).unwrap();
    Behind { upstream, front }
}

impl Behind {
    /// Somebody with the password, at the upstream.
    fn owner(&self) -> Client {
        Client::new(&self.upstream.name()).user(USER, PASSWORD)
    }

    /// Pushes an image with a layer of its own to the upstream; answers the layer's digest.
    fn push(&self, tag: &str) -> String {
        let owner = self.owner();
        let layer = noise(tag, LAYER);
        let config =
            br#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}"#;
        let mut api = owner.basic().unwrap();
        let (layer_digest, config_digest) = (
            push_blob(&mut api, "team/app", &layer),
            push_blob(&mut api, "team/app", config),
        );
        let document = json!({
            "schemaVersion": 2, "mediaType": MANIFEST,
            "config": {
                "mediaType": "application/vnd.docker.container.image.v1+json",
                "digest": config_digest, "size": config.len(),
            },
            "layers": [{
                "mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip",
                "digest": layer_digest, "size": LAYER,
            }],
        });
        let path = format!("/v2/team/app/manifests/{tag}");
        let reply = api
            .raw("PUT", &path, MANIFEST, document.to_string().as_bytes())
            .unwrap();
        assert_eq!(reply.status, 201, "{reply:?}");
        layer_digest
    }

    /// Somebody whom our registry does not know.
    fn nobody(&self) -> Client {
        Client::new(self.front.listen())
    }

    /// Pulls an image through our registry with `skopeo`, as nobody.
    fn pull(&self, tag: &str, to: &str) -> tests::docker::Answer {
        let target = format!("dir:{}", self.front.scratch().join(to).display());
        let source = format!("docker://REGISTRY/admin/copies/team/app:{tag}");
        self.nobody().skopeo(&["copy", "--quiet", &source, &target])
    }

    /// Waits until a blob is not kept any more.
    fn wait_until_freed(&self, blob: &str) {
        let deadline = Instant::now() + FREED_WITHIN;
        while keeps(&self.front, blob) {
            assert!(Instant::now() < deadline, "{blob} is still kept");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

fn keeps(daemon: &Daemon, blob: &str) -> bool {
    let shelved = shelf(&daemon.data_dir()).unwrap();
    shelved.iter().any(|kept| kept == blob)
}

fn push_blob(api: &mut Api, repository: &str, content: &[u8]) -> String {
    let digest = digest_of(content);
    let begun = api
        .call("POST", &format!("/v2/{repository}/blobs/uploads/"), None)
        .unwrap();
    let place = begun.header("location").unwrap();
    let place = place.find("/v2/").map_or(place, |at| &place[at..]);
    let place = format!("{place}&digest={digest}");
    let done = api
        .raw("PUT", &place, "application/octet-stream", content)
        .unwrap();
    assert_eq!(done.status, 201, "{done:?}");
    digest
}

/// Bytes that no other seed gives.
fn noise(seed: &str, bytes: usize) -> Vec<u8> {
    let block = digest_of(seed.as_bytes());
    block.bytes().cycle().take(bytes).collect()
}

#[test]
fn what_was_pulled_through_once_is_kept_and_served_without_the_upstream() {
    let Some(_) = registry() else {
        return;
    };
    let behind = behind("");
    let layer = behind.push("1");
    behind.pull("1", "first").ok();
    assert!(keeps(&behind.front, &layer));
    let before = behind.upstream.sent_bytes();
    behind.pull("1", "second").ok();
    let moved = behind.upstream.sent_bytes() - before;
    assert!(moved < 10_000, "{moved} bytes moved again");

    // A tag that means something else upstream means that here.
    let moved_layer = behind.push("2");
    let owner = behind.owner();
    owner
        .skopeo(&[
            "copy",
            "docker://REGISTRY/team/app:2",
            "docker://REGISTRY/team/app:1",
        ])
        .ok();
    behind.pull("1", "moved").ok();
    assert!(keeps(&behind.front, &moved_layer));
    let tags = "docker://REGISTRY/admin/copies/team/app";
    let listed = behind.nobody().skopeo(&["list-tags", tags]).ok();
    assert!(
        listed.contains("\"1\"") && listed.contains("\"2\""),
        "{listed}"
    );

    // Nobody pushes there, and who does not know the project does not pull from one that is not public.
    let root = behind.front.registry().unwrap();
    let mut api = root
        .api("repository:admin/copies/team/app:pull,push")
        .unwrap();
    let path = "/v2/admin/copies/team/app/blobs/uploads/";
    let refused = api.call("POST", path, None).unwrap();
    assert_eq!(
        (refused.status, code(&refused).as_str()),
        (405, "UNSUPPORTED")
    );
    let own = "/v2/admin/own/team/app/manifests/1";
    let mut stranger = Api::tcp(behind.front.listen());
    assert_eq!(stranger.call("GET", own, None).unwrap().status, 401);
    let mut api = root.api("repository:admin/own/team/app:pull").unwrap();
    assert_eq!(api.call("GET", own, None).unwrap().status, 200);
    let missing = "/v2/admin/copies/team/app/manifests/none";
    let missing = stranger.call("GET", missing, None).unwrap();
    assert_eq!(
        (missing.status, code(&missing).as_str()),
        (404, "MANIFEST_UNKNOWN")
    );

    let Behind { upstream, front } = behind;
    drop(upstream);
    let client = Client::new(front.listen());
    let source = "docker://REGISTRY/admin/copies/team/app:1";
    let target = format!("dir:{}", front.scratch().join("alone").display());
    client.skopeo(&["copy", "--quiet", source, &target]).ok();
    let listed = client.skopeo(&["list-tags", tags]).ok();
    assert!(
        listed.contains("\"1\"") && !listed.contains("\"2\""),
        "{listed}"
    );
    let path = "/v2/admin/copies/team/app/manifests/2";
    assert_eq!(stranger.call("GET", path, None).unwrap().status, 502);
}

#[test]
fn many_who_want_a_blob_at_once_get_it_by_one_download() {
    let Some(_) = registry() else {
        return;
    };
    let behind = behind("");
    let layer = behind.push("1");
    let path = format!("/v2/admin/copies/team/app/blobs/{layer}");
    behind
        .upstream
        .hold_after(behind.upstream.sent_bytes() + LAYER as u64 / 2);
    std::thread::scope(|scope| {
        let pulls: Vec<_> = (0..10)
            .map(|_| {
                let (path, listen) = (&path, behind.front.listen());
                scope.spawn(move || Api::tcp(listen).expect("GET", path, None).unwrap().body)
            })
            .collect();
        behind.upstream.wait_until_held();
        behind.upstream.let_go();
        for pull in pulls {
            assert_eq!(digest_of(&pull.join().unwrap()), layer);
        }
    });
    let sent = behind.upstream.sent_bytes();
    assert!(sent < LAYER as u64 * 3 / 2, "{sent} bytes were sent");
}

#[test]
fn a_blob_that_is_not_what_it_should_be_breaks_off_and_is_not_kept() {
    let Some(_) = registry() else {
        return;
    };
    let behind = behind("");
    let layer = behind.push("1");
    behind.upstream.spoil_blob(&layer).unwrap();
    let pulled = behind.pull("1", "spoilt");
    assert_ne!(pulled.code, 0, "{pulled:?}");
    assert!(!keeps(&behind.front, &layer));
    let staging = behind.front.data_dir().join("images/staging");
    let is_empty = |path: &Path| std::fs::read_dir(path).unwrap().next().is_none();
    assert!(is_empty(&staging));
}

#[test]
fn what_was_not_used_the_longest_makes_room() {
    let Some(_) = registry() else {
        return;
    };
    let limit = LAYER * 3 / 2;
    let behind = behind(&format!("most-bytes = {limit}"));
    let (first, second) = (behind.push("1"), behind.push("2"));
    behind.pull("1", "first").ok();
    behind.pull("2", "second").ok();
    behind.wait_until_freed(&first);
    assert!(keeps(&behind.front, &second));
    // It comes again, and the other goes.
    behind.pull("1", "again").ok();
    behind.wait_until_freed(&second);
    assert!(keeps(&behind.front, &first));
}

#[test]
fn an_engine_pulls_from_us_as_a_mirror() {
    let Some((daemon, _)) = registry() else {
        return;
    };
    let behind = behind("");
    let docker = daemon.docker();
    let name = format!("{}/team/mirrored:1", behind.upstream.name());
    let login = [
        "login",
        "-u",
        USER,
        "--password-stdin",
        &behind.upstream.name(),
    ];
    docker.run_with_input(&login, PASSWORD.as_bytes()).ok();
    docker.run(&["tag", "busybox", &name]).ok();
    docker.run(&["push", &name]).ok();
    docker.run(&["rmi", &name]).ok();
    let settings = format!(
        "[registries]\nmirrors = ['http://{}']\n",
        behind.front.listen()
    );
    let engine = Daemon::start_configured(&settings).unwrap();
    let ran = engine
        .docker()
        .run(&["run", "--rm", "team/mirrored:1", "echo", "mirrored"]);
    assert_eq!(ran.ok(), "mirrored");
}
