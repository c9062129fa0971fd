//! `docker pull` from Debian's `docker-registry`: a large gzip layer, and the bytes that a change of
//! one layer moves.

use anyhow::{Context, Result};
use tests::docker::Docker;
use tests::registry::Registry;

use super::image_load::make_archive;
use super::pair::{Pair, milliseconds};
use super::table::Row;

const RUNS: usize = 3;
/// Bytes of the layer that changes: they compress to no less.
const CHANGED_BYTES: u64 = 5_000_000;

pub(super) fn measure(pair: &Pair) -> Result<Vec<Row>> {
    let registry = Registry::start()?;
    Ok(vec![large(pair, &registry)?, changed(pair, &registry)?])
}

fn large(pair: &Pair, registry: &Registry) -> Result<Row> {
    let scratch = tempfile::tempdir()?;
    let archive = scratch.path().join("image.tar");
    make_archive(scratch.path(), &archive)?;
    let docker = pair.dockerd.docker();
    let path = archive.to_str().context("a path that is text")?;
    docker.run(&["load", "--quiet", "--input", path]).ok();
    // Without the counter in between, which costs time.
    let name = format!("{}/large:1", registry.direct_name());
    docker.run(&["tag", "large:1", &name]).ok();
    docker.run(&["push", "--quiet", &name]).ok();
    docker.run(&["rmi", "large:1", &name]).ok();
    let [longshore, dockerd] = pair.medians(RUNS, |daemon| {
        let docker = daemon.docker();
        let took = milliseconds(|| {
            docker.run(&["pull", "--quiet", &name]).ok();
            Ok(())
        })?;
        docker.run(&["rmi", &name]).ok();
        Ok(took / 1000.0)
    })?;
    Ok(Row {
        what: "docker pull of a 200 MB gzip image".to_owned(),
        unit: "s",
        longshore,
        peer: Some(dockerd),
        more_is_better: false,
        reach: ">= 1.5x",
    })
}

/// Bytes that come from the registry, for each byte of the layer that changed.
fn changed(pair: &Pair, registry: &Registry) -> Result<Row> {
    let docker = pair.dockerd.docker();
    let names = ["one", "two"].map(|tag| format!("{}/changed:{tag}", registry.name()));
    for name in &names {
        let container = docker
            .run(&["create", "busybox", "sh", "-c", &noise()])
            .ok();
        docker.run(&["start", "--attach", &container]).ok();
        docker.run(&["commit", &container, name]).ok();
        docker.run(&["rm", &container]).ok();
        docker.run(&["push", "--quiet", name]).ok();
    }
    docker.run(&["rmi", &names[0], &names[1]]).ok();
    let moved = |docker: &Docker| {
        docker.run(&["pull", "--quiet", &names[0]]).ok();
        let before = registry.sent_bytes();
        docker.run(&["pull", "--quiet", &names[1]]).ok();
        let moved = registry.sent_bytes() - before;
        docker.run(&["rmi", &names[0], &names[1]]).ok();
        moved as f64 / CHANGED_BYTES as f64
    };
    let [longshore, dockerd] = pair.both().map(|daemon| moved(&daemon.docker()));
    Ok(Row {
        what: "bytes moved by the pull of a one-layer change, of that layer".to_owned(),
        unit: "",
        longshore,
        peer: Some(dockerd),
        more_is_better: false,
        reach: "<= 1.05",
    })
}

fn noise() -> String {
    format!("head -c {CHANGED_BYTES} /dev/urandom > /noise")
}
