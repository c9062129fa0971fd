//! Where targets that write files do so: a directory in memory, with another one beside it that none of
//! them may touch; and tars whose sums are right, for otherwise nearly all that a fuzzer makes is refused
//! at its first block.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The one size of a tar's blocks.
const BLOCK: usize = 512;

/// A directory for one target; there is one path a target, so that its seeds can name it.
pub struct Scratch {
    dir: PathBuf,
}

impl Scratch {
    /// `/dev/shm/longshore-fuzz/NAME`, with `outside/secret` in it.
    ///
    /// # Panics
    /// When it cannot be made.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let dir = Path::new("/dev/shm/longshore-fuzz").join(name);
        if dir.exists() {
            fs::remove_dir_all(&dir).expect("remove the scratch directory of the last run");
        }
        fs::create_dir_all(dir.join("outside")).expect("make the scratch directory");
        fs::write(dir.join("outside/secret"), "old").expect("write the secret");
        Self { dir }
    }

    /// The directory in it that may be written to.
    #[must_use]
    pub fn inside(&self) -> PathBuf {
        self.dir.join("inside")
    }

    /// Makes the directory anew, empty.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn empty(&self) {
        let root = rooted::Root::open(&self.dir).expect("open the scratch directory");
        match rooted::remove_entry(std::os::fd::AsFd::as_fd(&root), "inside".as_ref()) {
            Ok(()) | Err(rustix::io::Errno::NOENT) => {}
            Err(errno) => panic!("empty the scratch directory: {errno}"),
        }
        fs::create_dir(self.inside()).expect("make the directory");
    }

    /// Nothing but the directory was touched.
    ///
    /// # Panics
    /// When something was.
    pub fn check(&self) {
        let names = |path: &Path| -> Vec<_> {
            let entries = fs::read_dir(path).expect("list");
            let mut names: Vec<_> = entries
                .map(|entry| entry.expect("list").file_name())
                .collect();
            names.sort();
            names
        };
        assert_eq!(names(&self.dir), ["inside", "outside"]);
        let outside = self.dir.join("outside");
        assert_eq!(names(&outside), ["secret"]);
        let secret = outside.join("secret");
        assert_eq!(fs::read(&secret).expect("read the secret"), b"old");
        for path in [outside, secret] {
            let facts = fs::symlink_metadata(path).expect("look at what is outside");
            let links = if facts.is_dir() { 2 } else { 1 };
            assert_eq!((facts.nlink(), facts.uid(), facts.gid()), (links, 0, 0));
        }
    }
}

/// The tar with the right sum in each of its headers.
#[must_use]
pub fn with_sums(tar: &[u8]) -> Vec<u8> {
    let mut tar = tar.to_vec();
    let mut at = 0;
    while let Some(header) = tar.get_mut(at..at + BLOCK) {
        header[148..156].fill(b' ');
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        let size = size(&header[124..136]);
        at = at.saturating_add(BLOCK + size.div_ceil(BLOCK).saturating_mul(BLOCK));
    }
    tar
}

/// A size as headers have it, in octal digits.
fn size(field: &[u8]) -> usize {
    let digits = field.iter().skip_while(|byte| **byte == b' ');
    digits
        .take_while(|byte| (b'0'..=b'7').contains(byte))
        .fold(0_usize, |size, digit| {
            size.saturating_mul(8)
                .saturating_add(usize::from(digit - b'0'))
        })
}
