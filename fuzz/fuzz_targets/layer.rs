//! A layer's tar, unpacked into a directory that it must not leave.

#![no_main]

use std::sync::LazyLock;

use scratch::Scratch;

static SCRATCH: LazyLock<Scratch> = LazyLock::new(|| Scratch::new("layer"));

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    SCRATCH.empty();
    _ = image::fuzzing::layer(&scratch::with_sums(input), &SCRATCH.inside());
    SCRATCH.check();
});
