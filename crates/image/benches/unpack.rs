//! Loads an image archive again and again and prints the seconds of each run and their median.
//!
//! `cargo bench -p image -- ARCHIVE [RUNS [DIRECTORY]]`; without an archive it makes one of 200 MB
//! of text and random bytes in one gzip layer. The store is made anew in DIRECTORY for each run.

#![allow(clippy::print_stdout, reason = "a bench prints its result")]
#![allow(clippy::unwrap_used, reason = "a bench may die")]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use ring::digest::{SHA256, digest as hash};

fn main() {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with("--"))
        .collect();
    let directory = arguments
        .get(2)
        .map_or_else(std::env::temp_dir, PathBuf::from);
    let scratch = tempfile::tempdir_in(&directory).unwrap();
    let archive = arguments
        .first()
        .map_or_else(|| make_archive(scratch.path()), PathBuf::from);
    let runs: usize = arguments.get(1).map_or(5, |runs| runs.parse().unwrap());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut seconds: Vec<f64> = (0..runs)
        .map(|_| runtime.block_on(load(&archive, scratch.path())))
        .collect();
    for one in &seconds {
        println!("{one:.3} s");
    }
    seconds.sort_by(f64::total_cmp);
    println!("median {:.3} s", seconds[seconds.len() / 2]);
}

async fn load(archive: &Path, scratch: &Path) -> f64 {
    let directory = tempfile::tempdir_in(scratch).unwrap();
    let store = image::Store::open(directory.path()).unwrap();
    let file = tokio::fs::File::open(archive).await.unwrap();
    let begin = Instant::now();
    store.load(file, |_| {}).await.unwrap();
    begin.elapsed().as_secs_f64()
}

/// About 200 MB once compressed: half of it text that shrinks, half bytes that do not.
fn make_archive(scratch: &Path) -> PathBuf {
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut layer = tar::Builder::new(Vec::new());
    for number in 0..4000 {
        let mut content = Vec::with_capacity(100_000);
        while content.len() < 45_000 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            content.extend_from_slice(&random.to_le_bytes());
        }
        while content.len() < 100_000 {
            writeln!(content, "line {} of file {number}", content.len()).unwrap();
        }
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        layer
            .append_data(
                &mut header,
                format!("usr/d{}/f{number}", number / 100),
                &content[..],
            )
            .unwrap();
    }
    let layer = layer.into_inner().unwrap();
    let diff_id = hex::encode(hash(&SHA256, &layer));
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(&layer).unwrap();
    let packed = encoder.finish().unwrap();
    let config = format!(
        r#"{{"architecture":"amd64","os":"linux","config":{{}},"rootfs":{{"type":"layers","diff_ids":["sha256:{diff_id}"]}}}}"#
    );
    let manifest =
        r#"[{"Config":"config.json","RepoTags":["bench:1"],"Layers":["layer/layer.tar"]}]"#;
    let path = scratch.join("archive.tar");
    let mut tar = tar::Builder::new(std::fs::File::create(&path).unwrap());
    for (name, content) in [
        ("layer/layer.tar", &packed[..]),
        ("config.json", config.as_bytes()),
        ("manifest.json", manifest.as_bytes()),
    ] {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, content).unwrap();
    }
    tar.into_inner().unwrap();
    path
}
