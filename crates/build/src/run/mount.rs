//! `RUN --mount`: what it says. Pure; the stage makes mounts of it.

use image::changes::words::{Scope, WordError};

use crate::dockerfile::Instruction;

/// Where secrets are that nobody gave a place.
const SECRETS: &str = "/run/secrets";
/// Where an agent's socket is that nobody gave a place.
const AGENT_SOCKET: &str = "/run/buildkit/ssh_agent.0";
/// The agent that is meant where none is named.
const DEFAULT_AGENT: &str = "default";

/// Why a mount is not one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MountError {
    /// Its words.
    #[error(transparent)]
    Words(#[from] WordError),
    /// A type of mount that there is not.
    #[error("unsupported mount type {0:?}")]
    Type(String),
    /// A field that there is not.
    #[error("unexpected key '{0}' in '{1}'")]
    Field(String, String),
    /// A field with a value that it cannot have.
    #[error("invalid value for '{0}': {1}")]
    Value(String, String),
    /// Nothing says where it is to be.
    #[error("mount target is required: {0}")]
    NoTarget(String),
    /// Something that is asked for and cannot be.
    #[error("--mount=type={kind} {problem}")]
    Refused {
        /// Its type.
        kind: &'static str,
        /// What it cannot.
        problem: &'static str,
    },
    /// A secret or an agent that a command cannot do without.
    #[error("{what} {id} is required, and the client has given none")]
    NotGiven {
        /// `secret` or `agent for SSH`.
        what: &'static str,
        /// Its id.
        id: String,
    },
    /// What is to be mounted is not there.
    #[error("mount source {0} is not there")]
    NoSource(String),
}

/// One mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Spec {
    /// Absolute, or relative to the working directory.
    pub(crate) target: String,
    pub(crate) kind: Kind,
}

/// What is mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Files of the context, a stage or an image; read-only.
    Bind {
        from: Option<String>,
        source: String,
    },
    /// A directory that outlives the build.
    Cache {
        id: String,
        from: Option<String>,
        source: String,
        sharing: Sharing,
        read_only: bool,
        mode: u32,
        owner: (u32, u32),
    },
    /// Memory.
    Tmpfs { size_bytes: Option<u64> },
    /// A file with something that is not to be in the image.
    Secret { id: String, given: Given },
    /// The socket of an agent for SSH.
    Ssh { id: String, given: Given },
}

/// What whoever asked for the build has, or has not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Given {
    pub(crate) required: bool,
    /// It is to be in this variable.
    pub(crate) variable: Option<String>,
    /// It is a file, too: one that is a variable is none, unless it says where.
    pub(crate) is_file: bool,
    pub(crate) mode: u32,
    pub(crate) owner: (u32, u32),
}

/// Whether several commands may have a cache at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sharing {
    Shared,
    Private,
    Locked,
}

/// Stages and images that an instruction's mounts are from, as written.
pub(crate) fn origins(instruction: &Instruction) -> impl Iterator<Item = &str> {
    let fields = instruction
        .flags
        .all("mount")
        .flat_map(|mount| mount.split(','));
    fields.filter_map(|field| field.strip_prefix("from="))
}

/// The mounts of an instruction, variables filled in.
pub(crate) fn mounts(
    instruction: &Instruction,
    scope: &Scope<'_>,
) -> Result<Vec<Spec>, MountError> {
    let mounts = instruction.flags.all("mount");
    mounts.map(|text| spec(&scope.expand(text)?)).collect()
}

fn spec(text: &str) -> Result<Spec, MountError> {
    let mut fields = Fields::default();
    for field in text.split(',') {
        fields.read(field.trim(), text)?;
    }
    fields.spec(text)
}

#[derive(Default)]
struct Fields {
    kind: Option<String>,
    target: Option<String>,
    source: Option<String>,
    from: Option<String>,
    id: Option<String>,
    writable: Option<bool>,
    sharing: Option<Sharing>,
    size_bytes: Option<u64>,
    mode: Option<u32>,
    uid: u32,
    gid: u32,
    required: bool,
    variable: Option<String>,
}

impl Fields {
    fn read(&mut self, field: &str, whole: &str) -> Result<(), MountError> {
        let (name, value) = match field.split_once('=') {
            Some((name, value)) => (name.trim().to_ascii_lowercase(), Some(value.trim())),
            None => (field.to_ascii_lowercase(), None),
        };
        let invalid = || MountError::Value(name.clone(), value.unwrap_or_default().to_owned());
        let text = || value.map(str::to_owned).ok_or_else(invalid);
        let truth = || match value {
            None | Some("true" | "1") => Ok(true),
            Some("false" | "0") => Ok(false),
            Some(_) => Err(invalid()),
        };
        let number = || {
            value
                .and_then(|value| value.parse().ok())
                .ok_or_else(invalid)
        };
        match name.as_str() {
            "type" => self.kind = Some(text()?),
            "target" | "dst" | "destination" => self.target = Some(text()?),
            "source" | "src" => self.source = Some(text()?),
            "from" => self.from = Some(text()?),
            "id" => self.id = Some(text()?),
            "ro" | "readonly" => self.writable = Some(!truth()?),
            "rw" | "readwrite" => self.writable = Some(truth()?),
            "required" => self.required = truth()?,
            "uid" => self.uid = number()?,
            "gid" => self.gid = number()?,
            "mode" => {
                let mode = value.and_then(|value| u32::from_str_radix(value, 8).ok());
                self.mode = Some(mode.filter(|mode| *mode <= 0o7777).ok_or_else(invalid)?);
            }
            "size" => self.size_bytes = Some(value.and_then(bytes).ok_or_else(invalid)?),
            "sharing" => {
                self.sharing = Some(match value {
                    Some("shared") => Sharing::Shared,
                    Some("private") => Sharing::Private,
                    Some("locked") => Sharing::Locked,
                    _ => return Err(invalid()),
                });
            }
            "env" => self.variable = Some(text()?),
            _ => return Err(MountError::Field(name, whole.to_owned())),
        }
        Ok(())
    }

    /// A secret or an agent: the field that is its id, and where it is.
    fn given(self, whole: &str, is_secret: bool) -> Result<Spec, MountError> {
        let given = Given {
            required: self.required,
            is_file: self.variable.is_none() || self.target.is_some(),
            variable: self.variable,
            mode: self.mode.unwrap_or(if is_secret { 0o400 } else { 0o600 }),
            owner: (self.uid, self.gid),
        };
        if !is_secret {
            return Ok(Spec {
                target: self.target.unwrap_or_else(|| AGENT_SOCKET.to_owned()),
                kind: Kind::Ssh {
                    id: self.id.unwrap_or_else(|| DEFAULT_AGENT.to_owned()),
                    given,
                },
            });
        }
        let last = |path: &String| path.rsplit('/').next().map(str::to_owned);
        let id = self.id.or(self.source);
        let id = id.or_else(|| self.target.as_ref().and_then(last));
        let id = id
            .filter(|id| !id.is_empty())
            .ok_or_else(|| MountError::NoTarget(whole.to_owned()))?;
        Ok(Spec {
            target: self.target.unwrap_or_else(|| format!("{SECRETS}/{id}")),
            kind: Kind::Secret { id, given },
        })
    }

    fn spec(self, whole: &str) -> Result<Spec, MountError> {
        let kind = self.kind.as_deref().unwrap_or("bind");
        if matches!(kind, "secret" | "ssh") {
            let is_secret = kind == "secret";
            return self.given(whole, is_secret);
        }
        let refused = |kind, problem| Err(MountError::Refused { kind, problem });
        let source = self.source.unwrap_or_else(|| "/".to_owned());
        let what = match kind {
            "bind" if self.writable == Some(true) => {
                return refused("bind", "cannot be written to: copy the files instead");
            }
            "bind" => Kind::Bind {
                from: self.from,
                source,
            },
            "cache" => Kind::Cache {
                id: self.id.or_else(|| self.target.clone()).unwrap_or_default(),
                from: self.from,
                source,
                sharing: self.sharing.unwrap_or(Sharing::Shared),
                read_only: self.writable == Some(false),
                mode: self.mode.unwrap_or(0o755),
                owner: (self.uid, self.gid),
            },
            "tmpfs" => Kind::Tmpfs {
                size_bytes: self.size_bytes,
            },
            other => return Err(MountError::Type(other.to_owned())),
        };
        let target = self
            .target
            .ok_or_else(|| MountError::NoTarget(whole.to_owned()))?;
        Ok(Spec { target, kind: what })
    }
}

/// `10m`, `1g`, `512`.
fn bytes(text: &str) -> Option<u64> {
    let text = text.to_ascii_lowercase();
    let digits = text.trim_end_matches(['b', 'i']);
    let (digits, shift) = match digits.as_bytes().last()? {
        b'k' => (&digits[..digits.len() - 1], 10),
        b'm' => (&digits[..digits.len() - 1], 20),
        b'g' => (&digits[..digits.len() - 1], 30),
        _ => (digits, 0),
    };
    digits.parse::<u64>().ok()?.checked_mul(1 << shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_are_read_as_documented() {
        assert_eq!(
            spec("type=cache,target=/root/.cache,sharing=locked,uid=5").unwrap(),
            Spec {
                target: "/root/.cache".to_owned(),
                kind: Kind::Cache {
                    id: "/root/.cache".to_owned(),
                    from: None,
                    source: "/".to_owned(),
                    sharing: Sharing::Locked,
                    read_only: false,
                    mode: 0o755,
                    owner: (5, 0),
                }
            }
        );
        assert_eq!(
            spec("target=x,from=base,src=/etc").unwrap().kind,
            Kind::Bind {
                from: Some("base".to_owned()),
                source: "/etc".to_owned()
            }
        );
        assert_eq!(
            spec("type=tmpfs,target=/t,size=10m").unwrap().kind,
            Kind::Tmpfs {
                size_bytes: Some(10 << 20)
            }
        );
        for (text, target, id) in [
            ("type=secret,id=token", "/run/secrets/token", "token"),
            ("type=secret,target=/etc/key", "/etc/key", "key"),
            ("type=ssh", "/run/buildkit/ssh_agent.0", "default"),
            ("type=ssh,id=deploy", "/run/buildkit/ssh_agent.0", "deploy"),
        ] {
            let read = spec(text).unwrap();
            let (Kind::Secret { id: found, .. } | Kind::Ssh { id: found, .. }) = read.kind else {
                panic!("{text}");
            };
            assert_eq!((read.target.as_str(), found.as_str()), (target, id));
        }
        for (text, is_file) in [
            ("type=secret,id=token,env=TOKEN", false),
            ("type=secret,id=token,env=TOKEN,target=/t", true),
        ] {
            let Kind::Secret { given, .. } = spec(text).unwrap().kind else {
                panic!("{text}");
            };
            assert_eq!(given.variable.as_deref(), Some("TOKEN"));
            assert_eq!(given.is_file, is_file);
        }
        for (text, words) in [
            ("type=floppy,target=/x", "unsupported mount type \"floppy\""),
            ("type=bind", "mount target is required: type=bind"),
            (
                "target=/x,nope=1",
                "unexpected key 'nope' in 'target=/x,nope=1'",
            ),
            (
                "type=cache,target=/x,sharing=some",
                "invalid value for 'sharing': some",
            ),
            ("type=secret", "mount target is required: type=secret"),
            (
                "target=/x,rw",
                "--mount=type=bind cannot be written to: copy the files instead",
            ),
        ] {
            assert_eq!(spec(text).unwrap_err().to_string(), words);
        }
    }
}
