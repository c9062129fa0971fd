//! Rules of a `.dockerignore`, asked about a path: the first line of the input.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &str| {
    let (path, rules) = input.split_once('\n').unwrap_or((input, ""));
    _ = build::fuzzing::ignore(rules, path);
});
