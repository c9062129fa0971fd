//! The registry beside Debian's `docker-registry`: `skopeo` pushing and pulling 500 MB, and a hundred
//! clients pulling a small image at once.
//!
//! `skopeo` hashes and copies each byte itself, one layer after the other: what it takes with a
//! registry that does nothing is told, too.
//!
//! Each run has registries of its own, with nothing in them, on the same disk: `skopeo` remembers
//! where a blob is, and would have it mounted instead of sending it.

use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tests::api::Api;
use tests::daemon::Daemon;
use tests::distribution::Registry;

use super::idle_registry;
use super::pair::milliseconds;
use super::table::{Row, median};

const RUNS: usize = 3;
/// Layers of the large image, and MiB of each.
const LAYERS: usize = 5;
const LAYER_MIB: usize = 100;
/// Clients that pull at once.
const CLIENTS: usize = 100;
/// Bytes of the small image's layer.
const SMALL_BYTES: usize = 1 << 20;
/// Where the peer listens.
const PEER: &str = "127.0.0.1:20999";
const READY_WITHIN: Duration = Duration::from_secs(20);

pub(super) fn measure(binary: &Path) -> Result<Vec<Row>> {
    let scratch = tempfile::tempdir()?;
    let source = scratch.path().join("large");
    make_image(&source)?;
    let mut values: [[Vec<f64>; 4]; 2] = Default::default();
    let mut alone: [Vec<f64>; 2] = Default::default();
    let idle = Registry::new(&idle_registry::start(&source)?);
    for _ in 0..RUNS {
        for (values, value) in alone.iter_mut().zip(copies(&idle, &source)?) {
            values.push(value);
        }
        let daemon = Daemon::start_with(binary)?;
        let pid = daemon.pid().context("the daemon runs")?;
        note(&mut values[0], &daemon.registry()?, pid, &source)?;
        drop(daemon);
        let peer = Peer::start(scratch.path())?;
        note(&mut values[1], &Registry::new(PEER), peer.0.id(), &source)?;
    }
    let [longshore, peer] = values.map(|values| values.map(median));
    let rows = [
        ("skopeo copy of 500 MB to the registry", "s", ">= 1.5x"),
        ("skopeo copy of 500 MB from the registry", "s", ">= 1.5x"),
        ("100 pulls of a small image at once", "ms", "no error"),
        ("resident memory at most, after these", "MiB", "bounded"),
    ];
    let row = |what: &str, unit, longshore, peer, reach| Row {
        what: what.to_owned(),
        unit,
        longshore,
        peer,
        more_is_better: false,
        reach,
    };
    let rows = rows.into_iter().zip(longshore.into_iter().zip(peer));
    let mut rows: Vec<Row> = rows
        .map(|((what, unit, reach), (longshore, peer))| {
            row(what, unit, longshore, Some(peer), reach)
        })
        .collect();
    let [to, from] = alone.map(median);
    rows.insert(1, row("of this skopeo alone", "s", to, None, ""));
    rows.insert(3, row("of this skopeo alone", "s", from, None, ""));
    Ok(rows)
}

/// One run against one registry.
fn note(values: &mut [Vec<f64>; 4], registry: &Registry, pid: u32, source: &Path) -> Result<()> {
    let [to, from] = copies(registry, source)?;
    values[0].push(to);
    values[1].push(from);
    values[2].push(pull_at_once(registry)?);
    values[3].push(most_resident_mib(pid)?);
    Ok(())
}

/// Seconds that `skopeo` takes to copy an image to a registry, and from there.
fn copies(registry: &Registry, source: &Path) -> Result<[f64; 2]> {
    let layout = format!("oci:{}:large", source.display());
    let name = "docker://REGISTRY/admin/large:1";
    let copied = |args: &[&str]| {
        milliseconds(|| {
            registry.skopeo(args).ok();
            Ok(())
        })
    };
    let to = copied(&["copy", &layout, name])?;
    let target = tempfile::tempdir_in(source.parent().context("a parent")?)?;
    let target = format!("dir:{}", target.path().display());
    let from = copied(&["copy", name, &target])?;
    Ok([to / 1000.0, from / 1000.0])
}

/// Milliseconds in which a hundred clients, who have a token, get a manifest and two blobs each.
fn pull_at_once(registry: &Registry) -> Result<f64> {
    let layer: Vec<u8> = (0..SMALL_BYTES)
        .map(|at| (at / 7).to_le_bytes()[0])
        .collect();
    let digests = [
        registry.push_blob("admin/small", b"{}")?,
        registry.push_blob("admin/small", &layer)?,
    ];
    let descriptor = |digest: &str, size: usize| serde_json::json!({ "mediaType": "application/octet-stream", "digest": digest, "size": size });
    let manifest = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": descriptor(&digests[0], 2),
        "layers": [descriptor(&digests[1], SMALL_BYTES)],
    });
    let mut api = registry.api("repository:admin/small:pull,push")?;
    let kind = "application/vnd.oci.image.manifest.v1+json";
    let path = "/v2/admin/small/manifests/1";
    let pushed = api.raw("PUT", path, kind, manifest.to_string().as_bytes())?;
    ensure!(pushed.status == 201, "{pushed:?}");
    let pull = |mut api: Api| -> Result<()> {
        api.expect("GET", path, None)?;
        for digest in &digests {
            api.expect("GET", &format!("/v2/admin/small/blobs/{digest}"), None)?;
        }
        Ok(())
    };
    let clients = (0..CLIENTS).map(|_| {
        let api = registry.api("repository:admin/small:pull")?;
        Ok(api.with("Accept", kind))
    });
    let clients = clients.collect::<Result<Vec<Api>>>()?;
    milliseconds(|| {
        std::thread::scope(|scope| {
            let pull = &pull;
            let clients = clients
                .into_iter()
                .map(|api| scope.spawn(move || pull(api)));
            let clients: Vec<_> = clients.collect();
            for client in clients {
                match client.join() {
                    Ok(pulled) => pulled?,
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
            Ok(())
        })
    })
}

/// The most memory that a process had, in MiB.
fn most_resident_mib(pid: u32) -> Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let kib = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .and_then(|line| line.split_whitespace().next())
        .context("VmHWM")?;
    Ok(kib.parse::<f64>()? / 1024.0)
}

/// Makes an OCI layout of an image whose layers do not compress.
fn make_image(dir: &Path) -> Result<()> {
    std::fs::create_dir_all(dir.join("blobs/sha256"))?;
    let script = format!(
        r#"set -e; cd {dir}
        put() {{ d=$(sha256sum "$1" | cut -d' ' -f1); mv "$1" blobs/sha256/$d; echo $d; }}
        layers=
        for n in $(seq {LAYERS}); do
          head -c {LAYER_MIB}M /dev/urandom | gzip -1 > layer; s=$(stat -c %s layer); d=$(put layer)
          layers="$layers,{{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar+gzip\",\"digest\":\"sha256:$d\",\"size\":$s}}"
        done
        printf '{{"architecture":"amd64","os":"linux","rootfs":{{"type":"layers","diff_ids":[]}}}}' > config
        s=$(stat -c %s config); d=$(put config)
        printf '{{"schemaVersion":2,"config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:%s","size":%s}},"layers":[%s]}}' $d $s "${{layers#,}}" > manifest
        s=$(stat -c %s manifest); d=$(put manifest)
        printf '{{"schemaVersion":2,"manifests":[{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:%s","size":%s,"annotations":{{"org.opencontainers.image.ref.name":"large"}}}}]}}' $d $s > index.json
        printf '{{"imageLayoutVersion":"1.0.0"}}' > oci-layout"#,
        dir = dir.display(),
    );
    let made = Command::new("bash").args(["-c", &script]).status()?;
    ensure!(made.success(), "the image cannot be made");
    Ok(())
}

/// Debian's registry, with nothing in it.
struct Peer(
    Child,
    #[expect(dead_code, reason = "its files go with it")] tempfile::TempDir,
);

impl Peer {
    fn start(scratch: &Path) -> Result<Self> {
        let dir = tempfile::tempdir_in(scratch)?;
        let config = dir.path().join("config.yml");
        let root = dir.path().join("data");
        std::fs::write(
            &config,
            format!(
                "version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\n\
                 storage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: '{PEER}'}}\n",
                root.display()
            ),
        )?;
        let child = Command::new("docker-registry")
            .arg("serve")
            .arg(&config)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("start docker-registry")?;
        let peer = Self(child, dir);
        let deadline = Instant::now() + READY_WITHIN;
        while TcpStream::connect(PEER).is_err() {
            ensure!(Instant::now() < deadline, "docker-registry does not answer");
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(peer)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // One that has ended by itself is as good.
        let _ended = self.0.kill().and_then(|()| self.0.wait());
    }
}
