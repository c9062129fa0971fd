//! Headers of every kind of tar, made byte by byte.

use super::*;

fn all(bytes: &[u8]) -> Result<Vec<Entry>, ArchiveError> {
    let mut reader = Reader::new(bytes);
    let mut entries = Vec::new();
    while let Some(entry) = reader.next_entry()? {
        entries.push(entry);
    }
    Ok(entries)
}

fn sample() -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, content) in [("a", "one"), ("b/c", "two"), (&*"n".repeat(150), "three")] {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o4755);
        header.set_mtime(7);
        tar.append_data(&mut header, name, content.as_bytes())
            .unwrap();
    }
    tar.into_inner().unwrap()
}

#[test]
fn entries_have_what_their_headers_say() {
    let entries = all(&sample()).unwrap();
    let names: Vec<_> = entries
        .iter()
        .map(|entry| entry.path.to_str().unwrap().len())
        .collect();
    assert_eq!(names, [1, 3, 150]);
    assert_eq!(
        (entries[0].mode, entries[0].mtime.seconds, entries[0].size),
        (0o4755, 7, 3)
    );
}

#[test]
fn content_ends_where_the_entry_does() {
    let bytes = sample();
    let mut reader = Reader::new(&bytes[..]);
    reader.next_entry().unwrap().unwrap();
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert_eq!(text, "one");
}

#[test]
fn a_stream_that_ends_inside_an_entry_is_refused() {
    let bytes = sample();
    for length in [1, 511, 513, 1023, 512 + 3] {
        let mut reader = Reader::new(&bytes[..length]);
        let outcome = reader.next_entry().and_then(|_| {
            io::copy(&mut reader, &mut io::sink())?;
            reader.next_entry()
        });
        assert!(
            matches!(outcome, Err(ArchiveError::Truncated)),
            "{length}: {outcome:?}"
        );
    }
    assert_eq!(
        all(&bytes[..1024]).unwrap().len(),
        1,
        "an end between entries is one"
    );
}

/// Damaged archives must be refused or read, but never make the reader panic or keep much.
#[test]
fn damaged_archives_never_panic() {
    let original = sample();
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        usize::try_from(random >> 8).unwrap_or_default()
    };
    for round in 0..20_000 {
        let mut bytes = original.clone();
        for _ in 0..1 + next() % 8 {
            let at = next() % bytes.len();
            bytes[at] = u8::try_from(next() % 256).unwrap_or_default();
        }
        if round % 2 == 0 {
            for block in bytes.chunks_exact_mut(BLOCK) {
                mend_checksum(block);
            }
        }
        bytes.truncate(1 + next() % bytes.len());
        let _outcome = all(&bytes);
        let _outcome = pax::parse(&bytes[..bytes.len().min(200)]);
    }
}

fn mend_checksum(block: &mut [u8]) {
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}
