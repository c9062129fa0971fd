//! An archive that is extracted into a directory with links in it, as `docker cp` and the context of a
//! build are.

#![no_main]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::LazyLock;

use image::extract::{Options, extract};
use rooted::Root;
use scratch::Scratch;

static SCRATCH: LazyLock<Scratch> = LazyLock::new(|| Scratch::new("context"));

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    SCRATCH.empty();
    let inside = SCRATCH.inside();
    fs::create_dir(inside.join("a")).expect("make a directory");
    symlink("../../outside", inside.join("a/door")).expect("make a link");
    symlink(
        "/dev/shm/longshore-fuzz/context/outside/secret",
        inside.join("a/file"),
    )
    .expect("make a link");
    let root = Root::open(&inside).expect("open the directory");
    let (flags, archive) = input.split_first().unwrap_or((&0, &[]));
    let options = Options {
        keep_kinds: flags & 1 != 0,
        owner: (flags & 2 != 0).then_some((1000, 1000)),
        first_id: if flags & 4 != 0 { u32::MAX - 1 } else { 0 },
        refuse_devices: flags & 8 != 0,
    };
    let archive = scratch::with_sums(archive);
    _ = extract(archive.as_slice(), &root, Path::new("/a"), options);
    SCRATCH.check();
});
