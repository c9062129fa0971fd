//! What a registry answers to who has not said who they are.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| image::fuzzing::challenges(input));
