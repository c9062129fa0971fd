//! Parameters of a request, `filters` above all.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &str| front_docker::fuzzing::filters(input));
