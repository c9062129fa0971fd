//! An archive of images, as `docker load` reads it: a Docker archive or an OCI layout.

#![no_main]

use std::sync::LazyLock;

use image::Store;
use scratch::Scratch;

static SCRATCH: LazyLock<(Scratch, Store)> = LazyLock::new(|| {
    let scratch = Scratch::new("archive");
    scratch.empty();
    let store = Store::open(&scratch.inside()).expect("open the store");
    (scratch, store)
});

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let (scratch, store) = &*SCRATCH;
    if image::fuzzing::load(store, &scratch::with_sums(input)).is_ok() {
        for image in store.list() {
            // Others may be made from it; those go later in the list, or with the next input.
            _ = store.remove(&image.id, true, false, &|_| None);
        }
    }
    scratch.check();
});
