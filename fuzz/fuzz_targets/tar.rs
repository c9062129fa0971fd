//! Tar streams: ustar, PAX, GNU, sparse files. Nothing is written.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    _ = image::fuzzing::entries(&scratch::with_sums(input));
});
