//! Bodies of `POST /containers/create`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    _ = front_docker::fuzzing::create(input);
});
