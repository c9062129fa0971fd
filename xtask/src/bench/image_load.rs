//! `docker load` of an image with one gzip layer of 200 MB.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::pair::{Pair, milliseconds};
use super::table::Row;

const RUNS: usize = 3;
/// What the layer is made of: this machine's own files, as real as any image's.
const SOURCES: [&str; 3] = ["/usr/lib", "/usr/share", "/usr/bin"];
/// Bytes at which the quickest compression is cut, so that the layer has about 200 MB.
const COMPRESSED_BYTES: u64 = 210_000_000;

pub(super) fn measure(pair: &Pair) -> Result<Vec<Row>> {
    let scratch = tempfile::tempdir()?;
    let archive = scratch.path().join("image.tar");
    make_archive(scratch.path(), &archive)?;
    let path = archive.to_str().context("a path that is text")?;
    let [longshore, dockerd] = pair.medians(RUNS, |daemon| {
        let docker = daemon.docker();
        let took = milliseconds(|| {
            docker.run(&["load", "--quiet", "--input", path]).ok();
            Ok(())
        })?;
        docker.run(&["rmi", "large:1"]).ok();
        Ok(took / 1000.0)
    })?;
    Ok(vec![Row {
        what: "docker load of a 200 MB gzip image".to_owned(),
        unit: "s",
        longshore,
        peer: Some(dockerd),
        more_is_better: false,
        reach: ">= 1.5x",
    }])
}

/// Makes an image archive whose layer is compressed with gzip, as registries have them.
pub(super) fn make_archive(scratch: &Path, archive: &Path) -> Result<()> {
    let layer = scratch.join("layer.tar.gz");
    let script = format!(
        "tar -C / -cf - {} 2>/dev/null | gzip -1 | head -c {COMPRESSED_BYTES} | gzip -dc 2>/dev/null > {tar}; \
         size=$(stat -c %s {tar}); truncate -s $((size / 512 * 512)) {tar}",
        SOURCES.join(" "),
        tar = scratch.join("cut.tar").display(),
    );
    ensure!(
        Command::new("bash")
            .args(["-c", &script])
            .status()?
            .success(),
        "the layer cannot be made"
    );
    // Repacked, so that the cut last file is gone and the archive ends as it should.
    let tree = scratch.join("tree");
    std::fs::create_dir(&tree)?;
    let script = format!(
        "tar -C {tree} -xf {cut} 2>/dev/null; tar -C {tree} -cf - . | tee {plain} | gzip -5 > {layer}",
        tree = tree.display(),
        cut = scratch.join("cut.tar").display(),
        plain = scratch.join("plain.tar").display(),
        layer = layer.display(),
    );
    ensure!(
        Command::new("bash")
            .args(["-c", &script])
            .status()?
            .success(),
        "the layer cannot be packed"
    );
    let diff = Command::new("sha256sum")
        .arg(scratch.join("plain.tar"))
        .output()?;
    let diff_id = String::from_utf8(diff.stdout)?
        .split(' ')
        .next()
        .unwrap_or_default()
        .to_owned();
    let config = serde_json::json!({
        "architecture": "amd64", "os": "linux", "config": {"Cmd": ["/bin/true"]},
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{diff_id}")]},
    });
    std::fs::write(scratch.join("config.json"), config.to_string())?;
    let manifest = serde_json::json!([{"Config": "config.json", "RepoTags": ["large:1"], "Layers": ["layer.tar.gz"]}]);
    std::fs::write(scratch.join("manifest.json"), manifest.to_string())?;
    let packed = Command::new("tar")
        .arg("-C")
        .arg(scratch)
        .arg("-cf")
        .arg(archive)
        .args(["config.json", "layer.tar.gz", "manifest.json"])
        .status()?;
    ensure!(packed.success(), "the archive cannot be packed");
    Ok(())
}
