//! Numbers of system calls by name, for each architecture whose calls a kernel here may see.

use std::collections::HashMap;
use std::sync::OnceLock;

use oci_spec::runtime::Arch;

/// An architecture that filters are compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Architecture {
    X86_64,
    X86,
    Aarch64,
}

impl Architecture {
    /// The one this program was compiled for.
    #[cfg(target_arch = "x86_64")]
    pub(super) const NATIVE: Self = Self::X86_64;
    #[cfg(target_arch = "aarch64")]
    pub(super) const NATIVE: Self = Self::Aarch64;

    /// From a specification's word; `None` for those that no kernel here runs.
    pub(super) const fn from_spec(arch: Arch) -> Option<Self> {
        match arch {
            Arch::ScmpArchNative => Some(Self::NATIVE),
            Arch::ScmpArchX86_64 => Some(Self::X86_64),
            Arch::ScmpArchX86 => Some(Self::X86),
            Arch::ScmpArchAarch64 => Some(Self::Aarch64),
            _ => None,
        }
    }

    /// `AUDIT_ARCH_*` of `linux/audit.h`, by which the kernel tells a filter.
    pub(super) const fn audit(self) -> u32 {
        match self {
            Self::X86_64 => 0xc000_003e,
            Self::X86 => 0x4000_0003,
            Self::Aarch64 => 0xc000_00b7,
        }
    }

    /// The name that conditions of Docker's profiles use.
    pub(super) const fn docker_name(self) -> &'static str {
        match self {
            Self::X86_64 => "amd64",
            Self::X86 => "x86",
            Self::Aarch64 => "arm64",
        }
    }

    /// The number of a system call.
    pub(super) fn number(self, name: &str) -> Option<u32> {
        static X86_64: OnceLock<HashMap<&str, u32>> = OnceLock::new();
        static X86: OnceLock<HashMap<&str, u32>> = OnceLock::new();
        static AARCH64: OnceLock<HashMap<&str, u32>> = OnceLock::new();
        let (table, text) = match self {
            Self::X86_64 => (&X86_64, include_str!("tables/x86_64.txt")),
            Self::X86 => (&X86, include_str!("tables/x86.txt")),
            Self::Aarch64 => (&AARCH64, include_str!("tables/aarch64.txt")),
        };
        table.get_or_init(|| parse(text)).get(name).copied()
    }
}

/// Lines of name and number.
fn parse(text: &'static str) -> HashMap<&'static str, u32> {
    let entries = text.lines().filter_map(|line| line.split_once(' '));
    entries
        .filter_map(|(name, number)| Some((name, number.parse().ok()?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_the_kernels() {
        assert_eq!(Architecture::X86_64.number("execve"), Some(59));
        assert_eq!(Architecture::X86.number("execve"), Some(11));
        assert_eq!(Architecture::Aarch64.number("execve"), Some(221));
        assert_eq!(Architecture::X86_64.number("nosuch"), None);
    }
}
