//! Names of images. One that is taken is the same when it is written and read again.

#![no_main]

use image::platform::Platform;
use image::reference::Reference;

libfuzzer_sys::fuzz_target!(|input: &str| {
    _ = input.parse::<Platform>();
    let Ok(name) = Reference::parse(input) else {
        return;
    };
    assert_eq!(Reference::parse(&name.to_string()).as_ref(), Ok(&name));
    assert_eq!(Reference::parse(&name.familiar()).as_ref(), Ok(&name));
});
