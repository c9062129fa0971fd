//! Which kernel this is, for the few places where that decides how a thing is done.
//!
//! What a call answers is asked of the call; this is for what an older kernel accepts and then
//! fails on. The overlay mounts here ask, and `longshore doctor`.

/// The first two numbers of a kernel's release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u32, pub u32);

/// That of this machine.
#[must_use]
pub fn version() -> Version {
    parse(&rustix::system::uname().release().to_string_lossy())
}

/// Reads `6.1.0-56-cloud-amd64`; what is no number counts as 0.
fn parse(release: &str) -> Version {
    let mut numbers = release
        .split(|character: char| !character.is_ascii_digit())
        .map(|part| part.parse().unwrap_or(0));
    Version(numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_of_distributions_are_read() {
        assert_eq!(parse("6.1.0-56-cloud-amd64"), Version(6, 1));
        assert_eq!(parse("6.12.95+deb12-cloud-amd64"), Version(6, 12));
        assert_eq!(parse("7.0-rc3"), Version(7, 0));
        assert!(parse("5.15.0-generic") < Version(6, 1));
        assert_eq!(parse("strange"), Version(0, 0));
    }
}
