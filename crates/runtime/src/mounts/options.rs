//! Mount options, from the words of `fstab` and of the OCI runtime specification
//! (`config.md`, "Linux mount options") to what the kernel's mount API takes.
//!
//! Pure: looks nothing up and mounts nothing.

/// What the options of one mount ask for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    /// A bind mount, and whether of what is mounted below the source, too.
    pub(crate) bind: Option<Recursion>,
    /// Attributes of this mount.
    pub(crate) attributes: Change,
    /// Attributes of this mount and of those below it.
    pub(crate) attributes_below: Change,
    /// `MS_PRIVATE` and its like, applied in this order.
    pub(crate) propagation: Vec<(u64, Recursion)>,
    /// Parameters of the file system, with their value where they have one.
    pub(crate) data: Vec<(String, Option<String>)>,
    /// A new `tmpfs` starts with what its mount point holds.
    pub(crate) copy_up: bool,
    /// Ids are mapped, and whether those of mounts below, too.
    pub(crate) id_mapping: Option<Recursion>,
}

/// Whether something is done to the mounts below, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Recursion {
    /// Only to the one.
    No,
    /// To all of them.
    Yes,
}

/// `MOUNT_ATTR_*` bits to set and to clear.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) set: u64,
    pub(crate) clear: u64,
}

impl Change {
    /// Sets one flag; the last word wins.
    fn set(&mut self, flag: u64) {
        self.set |= flag;
        self.clear &= !flag;
    }

    fn clear(&mut self, flag: u64) {
        self.clear |= flag;
        self.set &= !flag;
    }

    /// Access time modes are one field of the attributes, not a bit each.
    fn access_time(&mut self, mode: u64) {
        self.set = (self.set & !libc::MOUNT_ATTR__ATIME) | mode;
        self.clear |= libc::MOUNT_ATTR__ATIME;
    }

    fn apply(&mut self, word: &str) -> bool {
        match word {
            "ro" => self.set(libc::MOUNT_ATTR_RDONLY),
            "rw" => self.clear(libc::MOUNT_ATTR_RDONLY),
            "nosuid" => self.set(libc::MOUNT_ATTR_NOSUID),
            "suid" => self.clear(libc::MOUNT_ATTR_NOSUID),
            "nodev" => self.set(libc::MOUNT_ATTR_NODEV),
            "dev" => self.clear(libc::MOUNT_ATTR_NODEV),
            "noexec" => self.set(libc::MOUNT_ATTR_NOEXEC),
            "exec" => self.clear(libc::MOUNT_ATTR_NOEXEC),
            "nodiratime" => self.set(libc::MOUNT_ATTR_NODIRATIME),
            "diratime" => self.clear(libc::MOUNT_ATTR_NODIRATIME),
            "nosymfollow" => self.set(libc::MOUNT_ATTR_NOSYMFOLLOW),
            "symfollow" => self.clear(libc::MOUNT_ATTR_NOSYMFOLLOW),
            "noatime" => self.access_time(libc::MOUNT_ATTR_NOATIME),
            "strictatime" => self.access_time(libc::MOUNT_ATTR_STRICTATIME),
            "relatime" | "atime" | "norelatime" | "nostrictatime" => {
                self.access_time(libc::MOUNT_ATTR_RELATIME);
            }
            _ => return false,
        }
        true
    }

    /// Nothing is to be changed.
    pub(crate) const fn is_empty(self) -> bool {
        self.set == 0 && self.clear == 0
    }
}

impl Options {
    /// Reads a list of options; what is no known word is a parameter of the file system.
    pub(crate) fn parse<'word>(words: impl IntoIterator<Item = &'word str>) -> Self {
        let mut options = Self::default();
        for word in words {
            if let Some(propagation) = propagation(word) {
                options.propagation.push(propagation);
                continue;
            }
            match word {
                // Flags of mount(2) that are already so, or that only mount(8) reads.
                "" | "defaults" | "auto" | "noauto" | "user" | "nouser" | "_netdev" | "nofail"
                | "remount" => {}
                "bind" => options.bind = options.bind.or(Some(Recursion::No)),
                "rbind" => options.bind = Some(Recursion::Yes),
                "idmap" => options.id_mapping = Some(Recursion::No),
                "ridmap" => options.id_mapping = Some(Recursion::Yes),
                "tmpcopyup" => options.copy_up = true,
                _ if options.attributes.apply(word) => {}
                _ if word
                    .strip_prefix('r')
                    .is_some_and(|word| options.attributes_below.apply(word)) => {}
                _ => options.data.push(match word.split_once('=') {
                    Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
                    None => (word.to_owned(), None),
                }),
            }
        }
        options
    }
}

/// The propagation that a word asks for; also read for `linux.rootfsPropagation`.
pub(crate) fn propagation(word: &str) -> Option<(u64, Recursion)> {
    let (word, recursion) = match word.strip_prefix('r') {
        Some(word) => (word, Recursion::Yes),
        None => (word, Recursion::No),
    };
    let flag = match word {
        "private" => libc::MS_PRIVATE,
        "shared" => libc::MS_SHARED,
        "slave" => libc::MS_SLAVE,
        "unbindable" => libc::MS_UNBINDABLE,
        _ => return None,
    };
    Some((flag, recursion))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_parameters_and_propagation_are_told_apart() {
        let options = Options::parse([
            "rbind",
            "rslave",
            "ro",
            "nosuid",
            "rnoexec",
            "mode=755",
            "newinstance",
        ]);
        assert_eq!(options.bind, Some(Recursion::Yes));
        assert_eq!(options.propagation, [(libc::MS_SLAVE, Recursion::Yes)]);
        assert_eq!(
            options.attributes.set,
            libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOSUID
        );
        assert_eq!(options.attributes_below.set, libc::MOUNT_ATTR_NOEXEC);
        assert_eq!(
            options.data,
            [
                ("mode".to_owned(), Some("755".to_owned())),
                ("newinstance".to_owned(), None),
            ]
        );
    }

    #[test]
    fn the_last_of_two_opposite_words_wins() {
        let options = Options::parse(["ro", "rw", "noatime", "strictatime"]);
        assert_eq!(options.attributes.set, libc::MOUNT_ATTR_STRICTATIME);
        assert_eq!(
            options.attributes.clear,
            libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR__ATIME
        );
    }

    #[test]
    fn words_that_begin_with_r_keep_their_own_meaning() {
        let options = Options::parse(["rw", "relatime", "rprivate", "rro"]);
        assert!(options.data.is_empty());
        assert_eq!(options.attributes_below.set, libc::MOUNT_ATTR_RDONLY);
        assert_eq!(options.propagation, [(libc::MS_PRIVATE, Recursion::Yes)]);
    }
}
