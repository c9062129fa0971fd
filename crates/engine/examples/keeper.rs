//! The keeper by itself, for the tests of this crate: they must not depend on the binary's crate.
//!
//! `keeper keeper --dir DIR`, as [`runtime::keeper::ensure`] calls it.

use std::path::Path;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments
        .iter()
        .map(String::as_str)
        .collect::<Vec<_>>()
        .as_slice()
    {
        ["keeper", "--dir", directory] => Ok(runtime::keeper::serve(Path::new(directory))?),
        _ => Err("usage: keeper keeper --dir DIR".into()),
    }
}
