//! Dockerfiles: the language, and the instructions that change a configuration.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    _ = build::fuzzing::dockerfile(input);
});
