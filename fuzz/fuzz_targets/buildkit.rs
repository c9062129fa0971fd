//! What clients with buildx send: what is to be built, and their files. The archive that is made of these
//! must be read with the same names.

#![no_main]

use std::os::unix::ffi::OsStrExt;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    front_docker::fuzzing::solve(input);
    let (paths, archive) = front_docker::fuzzing::files(input);
    let read = image::fuzzing::entries(&archive).expect("what is written can be read");
    let read: Vec<_> = read.iter().map(|name| name.as_bytes()).collect();
    let paths: Vec<_> = paths.iter().map(String::as_bytes).collect();
    assert_eq!(read, paths);
});
