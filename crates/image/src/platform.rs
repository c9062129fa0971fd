//! Platforms: `os/architecture/variant`, and which image of many suits one. Pure.
//!
//! Source: OCI Image Index, "platform"; the normal forms are containerd's.

use std::fmt;

use oci_spec::image::{Arch, Descriptor};

/// On manifests that are not images but about one.
const ABOUT: &str = "vnd.docker.reference.type";

/// What an image runs on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Platform {
    /// As Go calls it: `linux`.
    pub os: String,
    /// As Go calls it: `amd64`.
    pub architecture: String,
    /// `v7`; empty where there is none, or any will do.
    pub variant: String,
}

/// Operating systems that a word alone is taken for. Source: Go, `GOOS`.
const SYSTEMS: [&str; 15] = [
    "aix",
    "android",
    "darwin",
    "dragonfly",
    "freebsd",
    "hurd",
    "illumos",
    "ios",
    "js",
    "linux",
    "netbsd",
    "openbsd",
    "plan9",
    "solaris",
    "windows",
];
/// Architectures that a word alone is taken for. Source: Go, `GOARCH`.
const ARCHITECTURES: [&str; 17] = [
    "386", "amd64", "arm", "arm64", "loong64", "mips", "mipsle", "mips64", "mips64le", "ppc64",
    "ppc64le", "riscv", "riscv64", "s390", "s390x", "sparc64", "wasm",
];

/// A text that is no platform, in words that clients look for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlatformError {
    /// It has more than three parts.
    #[error("{text:?} is an invalid platform: it is not os/architecture/variant")]
    Parts {
        /// All of it.
        text: String,
    },
    /// A part is empty or has other characters.
    #[error(
        "{part:?} is an invalid {} of {text:?}: it takes letters, digits, '.', '_' and '-'",
        if *.is_system { "OS component" } else { "component" }
    )]
    Part {
        /// The part.
        part: String,
        /// It is the operating system.
        is_system: bool,
        /// All of it.
        text: String,
    },
    /// A word alone that is neither.
    #[error("{text:?}: unknown operating system or architecture")]
    Unknown {
        /// The word.
        text: String,
    },
}

impl Platform {
    /// This machine's.
    #[must_use]
    pub fn host() -> Self {
        Self::new("linux", &Arch::default().to_string(), "")
    }

    /// In its normal form: 64 bits of ARM are version 8 unless it says otherwise.
    #[must_use]
    pub fn new(os: &str, architecture: &str, variant: &str) -> Self {
        let architecture = match architecture.to_lowercase().as_str() {
            "x86_64" | "x86-64" => "amd64".to_owned(),
            "aarch64" => "arm64".to_owned(),
            "i386" => "386".to_owned(),
            other => other.to_owned(),
        };
        let variant = variant.to_lowercase();
        let variant = match (architecture.as_str(), variant.as_str()) {
            ("arm64", "v8" | "8") | ("amd64", "v1") => String::new(),
            ("arm", "5" | "6" | "7" | "8") => format!("v{variant}"),
            _ => variant,
        };
        let os = match os.to_lowercase().as_str() {
            "macos" => "darwin".to_owned(),
            other => other.to_owned(),
        };
        Self {
            os,
            architecture,
            variant,
        }
    }

    /// Whether an image for `other` is one for this.
    #[must_use]
    pub fn accepts(&self, other: &Self) -> bool {
        self.os == other.os
            && self.architecture == other.architecture
            && (self.variant.is_empty() || self.variant == other.variant)
    }
}

impl std::str::FromStr for Platform {
    type Err = PlatformError;

    /// Alone, a word is an operating system or an architecture of Linux.
    fn from_str(text: &str) -> Result<Self, PlatformError> {
        let parts: Vec<&str> = text.split('/').collect();
        let is_word = |part: &str| {
            let mut letters = part.bytes();
            !part.is_empty()
                && letters.all(|letter| letter.is_ascii_alphanumeric() || b"._-".contains(&letter))
        };
        if let Some(at) = parts.iter().position(|part| !is_word(part)) {
            return Err(PlatformError::Part {
                part: parts[at].to_owned(),
                is_system: at == 0,
                text: text.to_owned(),
            });
        }
        match parts.as_slice() {
            [word] => {
                let system = Self::new(word, &Arch::default().to_string(), "");
                let alone = Self::new("linux", word, "");
                if SYSTEMS.contains(&system.os.as_str()) {
                    Ok(system)
                } else if ARCHITECTURES.contains(&alone.architecture.as_str()) {
                    Ok(alone)
                } else {
                    let text = text.to_owned();
                    Err(PlatformError::Unknown { text })
                }
            }
            [os, architecture] => Ok(Self::new(os, architecture, "")),
            [os, architecture, variant] => Ok(Self::new(os, architecture, variant)),
            _ => Err(PlatformError::Parts {
                text: text.to_owned(),
            }),
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.os, self.architecture)?;
        if self.variant.is_empty() {
            return Ok(());
        }
        write!(formatter, "/{}", self.variant)
    }
}

/// Whether a manifest is only about another one: an attestation.
pub(crate) fn is_about(descriptor: &Descriptor) -> bool {
    descriptor
        .annotations()
        .as_ref()
        .is_some_and(|annotations| annotations.contains_key(ABOUT))
}

/// The platform that an entry of an index says that it is for.
pub(crate) fn of(descriptor: &Descriptor) -> Option<Platform> {
    let platform = descriptor.platform().as_ref()?;
    Some(Platform::new(
        &platform.os().to_string(),
        &platform.architecture().to_string(),
        platform.variant().as_deref().unwrap_or_default(),
    ))
}

/// The best of an index: one for exactly this platform, then one that suits it, then one that does
/// not say what it is for.
pub(crate) fn choose<'a>(manifests: &'a [Descriptor], wanted: &Platform) -> Option<&'a Descriptor> {
    let images = || manifests.iter().filter(|descriptor| !is_about(descriptor));
    images()
        .find(|descriptor| of(descriptor).is_some_and(|platform| platform == *wanted))
        .or_else(|| {
            images().find(|descriptor| of(descriptor).is_some_and(|other| wanted.accepts(&other)))
        })
        .or_else(|| images().find(|descriptor| descriptor.platform().is_none()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn descriptor(number: usize, platform: Option<(&str, &str, &str)>) -> Descriptor {
        let mut document = serde_json::json!({
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": format!("sha256:{number:064}"),
            "size": 1,
        });
        if let Some((os, architecture, variant)) = platform {
            document["platform"] = serde_json::json!({
                "os": os, "architecture": architecture, "variant": variant,
            });
        }
        serde_json::from_value(document).unwrap()
    }

    #[test]
    fn one_platform_has_many_names() {
        for (text, normal) in [
            ("linux/x86_64", "linux/amd64"),
            ("Linux/AArch64/V8", "linux/arm64"),
            ("linux/arm/7", "linux/arm/v7"),
            ("arm64", "linux/arm64"),
            ("macOS/arm64", "darwin/arm64"),
        ] {
            assert_eq!(text.parse::<Platform>().unwrap().to_string(), normal);
        }
        for (wrong, words) in [
            ("", "is an invalid OS component"),
            ("linux/ ", "\" \" is an invalid component"),
            ("a/b/c/d", "os/architecture/variant"),
            ("/amd64", "is an invalid OS component"),
            ("nintendo64", "unknown operating system or architecture"),
        ] {
            let error = wrong.parse::<Platform>().unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn the_exact_platform_is_better_than_one_that_suits() {
        let manifests = [
            descriptor(0, Some(("linux", "arm", "v6"))),
            descriptor(1, Some(("linux", "arm", "v7"))),
            descriptor(2, Some(("linux", "arm64", "v8"))),
            descriptor(3, Some(("windows", "amd64", ""))),
        ];
        let chosen = |platform: &str| {
            choose(&manifests, &platform.parse().unwrap())
                .and_then(|found| manifests.iter().position(|manifest| manifest == found))
        };
        assert_eq!(chosen("linux/arm/v7"), Some(1));
        assert_eq!(chosen("linux/arm"), Some(0));
        assert_eq!(chosen("linux/arm64"), Some(2));
        assert_eq!(chosen("linux/amd64"), None);
        assert_eq!(chosen("linux/arm/v5"), None);
    }

    #[test]
    fn one_that_does_not_say_suits_all() {
        let manifests = [descriptor(0, None)];
        assert!(choose(&manifests, &Platform::host()).is_some());
    }
}
