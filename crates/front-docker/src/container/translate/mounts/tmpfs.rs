//! File systems in memory, in both forms. Pure.

use model::container::{Mount, MountSource};

use crate::error::ApiError;

/// Flags that every tmpfs gets unless its options say the opposite.
const FLAGS: [(&str, &str); 3] = [("noexec", "exec"), ("nosuid", "suid"), ("nodev", "dev")];

/// Options of a tmpfs in the long form: `exec` and `noexec` only.
pub(super) fn options(options: &[Vec<String>]) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    for option in options {
        match option.as_slice() {
            [word] if matches!(word.as_str(), "exec" | "noexec") => words.push(word.clone()),
            [] | [_, _, _, ..] => return Err("invalid option array length".to_owned()),
            [word, ..] => return Err(format!("invalid option: {word}")),
        }
    }
    Ok(with_flags(words))
}

fn with_flags(mut words: Vec<String>) -> Vec<String> {
    for (flag, opposite) in FLAGS {
        if !words.iter().any(|word| word == flag || word == opposite) {
            words.push(flag.to_owned());
        }
    }
    words
}

/// A tmpfs in the short form, with options as `mount` takes them.
pub(super) fn mount(target: String, options: &str) -> Result<Mount, ApiError> {
    let (mut size_bytes, mut mode, mut read_only, mut words) = (None, None, false, Vec::new());
    for word in options.split(',').filter(|word| !word.is_empty()) {
        let invalid = || ApiError::invalid(format!("invalid tmpfs option [{word:?}]"));
        match word.split_once('=') {
            Some(("size", size)) => match size_in_bytes(size) {
                Some(bytes) => size_bytes = Some(bytes),
                // A share of the memory: the kernel knows what that is.
                None if size
                    .strip_suffix('%')
                    .is_some_and(|share| share.parse::<u8>().is_ok()) =>
                {
                    words.push(word.to_owned());
                }
                None => return Err(invalid()),
            },
            Some(("mode", bits)) => {
                mode = Some(u32::from_str_radix(bits, 8).map_err(|_| invalid())?);
            }
            Some(("uid" | "gid" | "nr_inodes" | "nr_blocks" | "mpol", _)) => {
                words.push(word.to_owned());
            }
            Some(_) => return Err(invalid()),
            None => match word {
                "ro" => read_only = true,
                "rw" => read_only = false,
                "exec" | "noexec" | "suid" | "nosuid" | "dev" | "nodev" | "sync" | "async"
                | "dirsync" | "mand" | "nomand" | "atime" | "noatime" | "diratime"
                | "nodiratime" | "relatime" | "norelatime" | "strictatime" | "nostrictatime" => {
                    words.push(word.to_owned());
                }
                _ => return Err(invalid()),
            },
        }
    }
    let source = MountSource::Tmpfs {
        size_bytes,
        mode,
        options: with_flags(words),
    };
    Ok(Mount {
        target,
        source,
        read_only,
    })
}

/// Bytes, as the kernel reads a tmpfs size: `64m`.
fn size_in_bytes(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let shift = match text[digits.len()..].to_lowercase().as_str() {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(1 << shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tmpfs_gets_safe_flags_unless_told_otherwise() {
        let in_memory = mount("/t".to_owned(), "size=64m,mode=1777,exec").unwrap();
        assert_eq!(
            in_memory.source,
            MountSource::Tmpfs {
                size_bytes: Some(64 << 20),
                mode: Some(0o1777),
                options: vec!["exec".to_owned(), "nosuid".to_owned(), "nodev".to_owned()],
            }
        );
        assert!(mount("/t".to_owned(), "fly").is_err());
        assert!(mount("/t".to_owned(), "size=99999999999g").is_err());
    }
}
