//! Headers that say which bytes of a blob are wanted or sent.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: (u64, &str)| {
    let (size_bytes, header) = input;
    front_registry::fuzzing::ranges(header, size_bytes);
});
