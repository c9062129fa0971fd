//! `COPY` and `ADD`: what is copied, whom it belongs to then, and where it goes.
//!
//! [`source`] finds and hashes what is copied, [`destination`] packs it as a layer, and [`out`] copies
//! what is mounted. None makes an image: that is the stage's. Source: Dockerfile reference, "COPY", "ADD".

pub(crate) mod destination;
pub(crate) mod out;
pub(crate) mod source;

use git::{AddressError, Repository};
use image::changes::words::{Scope, WordError};
use image::extract::ExtractError;
use image::pack::PackError;
use image::{ContentError, Scratch};
use rooted::RootedError;
use runtime::user::UserError;

use crate::dockerfile::{Heredoc, Instruction, words};
use crate::pattern::{Ignore, PatternError};

/// Why something is not copied.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// Its words.
    #[error(transparent)]
    Words(#[from] WordError),
    /// No file has this name.
    #[error(
        "file not found in build context or excluded by .dockerignore: stat {0}: file does not exist"
    )]
    NotFound(String),
    /// No file matches.
    #[error("no source files were specified")]
    NoSources,
    /// Several things go to one place.
    #[error(
        "When using {0} with more than one source file, the destination must be a directory and end with a /"
    )]
    ManySources(String),
    /// A directory is where something else is.
    #[error("cannot copy to non-directory: {0}")]
    NonDirectory(String),
    /// A pattern.
    #[error(transparent)]
    Pattern(#[from] PatternError),
    /// `--chown`.
    #[error("unable to convert uid/gid chown string to host mapping")]
    Owner(#[from] UserError),
    /// `--chmod`.
    #[error("invalid chmod parameter: '{0}'. it should be octal string and between 0 and 07777")]
    Mode(String),
    /// The address of a repository.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// The instruction and the address do not say the same of `.git`.
    #[error("inconsistent keep-git-dir configuration")]
    KeepGitDir,
    /// An address without the name of a file.
    #[error(
        "cannot determine filename for source {0}: end the destination with the name of a file"
    )]
    NoName(String),
    /// What came is something else.
    #[error("{source_name}: checksum does not match: expected {expected}, found {found}")]
    Checksum {
        /// The address.
        source_name: String,
        /// As the instruction says.
        expected: String,
        /// As it is.
        found: String,
    },
    /// It does not come.
    #[error("{source_name}: {failure}")]
    Download {
        /// The address.
        source_name: String,
        /// Why.
        failure: model::instance::Failure,
    },
    /// A file cannot be read or written.
    #[error("{attempt} {path}")]
    File {
        /// What was tried.
        attempt: &'static str,
        /// On what.
        path: String,
        /// Why it failed.
        source: std::io::Error,
    },
    /// A path.
    #[error(transparent)]
    Path(#[from] RootedError),
    /// An archive to be added.
    #[error("unpack {name}")]
    Extract {
        /// Which.
        name: String,
        /// Why not.
        source: ExtractError,
    },
    /// The layer.
    #[error(transparent)]
    Pack(#[from] PackError),
    /// A file of the store.
    #[error(transparent)]
    Content(#[from] ContentError),
}

/// What an instruction asks for, variables filled in.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) keyword: String,
    pub(crate) sources: Vec<String>,
    pub(crate) heredocs: Vec<Heredoc>,
    pub(crate) destination: String,
    pub(crate) owner: Option<String>,
    pub(crate) mode: Option<u32>,
    pub(crate) parents: bool,
    pub(crate) checksum: Option<String>,
    /// Whether git's own files are copied with those of a repository, where the instruction says it.
    pub(crate) keep_git_dir: Option<bool>,
    pub(crate) exclude: Ignore,
    /// Archives are unpacked: those of the context, those of the web.
    pub(crate) unpack: (bool, bool),
}

impl Request {
    pub(crate) fn of(instruction: &Instruction, scope: &Scope<'_>) -> Result<Self, CopyError> {
        let written = words(&instruction.rest);
        let heredocs: Vec<Heredoc> = instruction
            .heredocs
            .iter()
            .map(|heredoc| filled(heredoc, scope))
            .collect::<Result<_, _>>()?;
        let is_heredoc = |word: &&String| heredocs.iter().any(|known| known.word == **word);
        let mut sources = written
            .iter()
            .filter(|word| !is_heredoc(word))
            .map(|word| scope.expand(word))
            .collect::<Result<Vec<_>, _>>()?;
        let destination = sources.pop().ok_or(CopyError::NoSources)?;
        let flags = &instruction.flags;
        let expanded = |name: &str| flags.get(name).map(|value| scope.expand(value)).transpose();
        let mode = expanded("chmod")?.map(|text| {
            let mode = u32::from_str_radix(&text, 8).ok();
            mode.filter(|mode| *mode <= 0o7777)
                .ok_or(CopyError::Mode(text))
        });
        let exclude = flags
            .all("exclude")
            .map(|pattern| scope.expand(pattern))
            .collect::<Result<Vec<_>, _>>()?;
        let is_add = instruction.keyword == "ADD";
        let unpack = match flags.get("unpack") {
            Some(_) => (flags.is_on("unpack"), flags.is_on("unpack")),
            None => (is_add, false),
        };
        Ok(Self {
            keyword: instruction.keyword.clone(),
            sources,
            heredocs,
            destination,
            owner: expanded("chown")?.filter(|owner| !owner.is_empty()),
            mode: mode.transpose()?,
            parents: flags.is_on("parents"),
            checksum: expanded("checksum")?,
            keep_git_dir: flags
                .get("keep-git-dir")
                .map(|_| flags.is_on("keep-git-dir")),
            exclude: Ignore::of(exclude.iter().map(String::as_str))?,
            unpack,
        })
    }

    /// Whether a source is an address of the web.
    pub(crate) fn is_address(&self, source: &str) -> bool {
        self.keyword == "ADD" && (source.starts_with("http://") || source.starts_with("https://"))
    }

    /// The repository of git that a source is.
    pub(crate) fn repository(&self, source: &str) -> Result<Option<Repository>, CopyError> {
        if self.keyword != "ADD" {
            return Ok(None);
        }
        let found = Repository::parse(source)?;
        let Some(mut found) = found.filter(|found| !found.looks_local) else {
            return Ok(None);
        };
        if let Some(checksum) = &self.checksum {
            found = found.expecting(checksum)?;
        }
        match (found.keep_git_dir, self.keep_git_dir) {
            (Some(one), Some(other)) if one != other => return Err(CopyError::KeepGitDir),
            (one, other) => found.keep_git_dir = one.or(other),
        }
        Ok(Some(found))
    }
}

/// A heredoc with its variables filled in.
fn filled(heredoc: &Heredoc, scope: &Scope<'_>) -> Result<Heredoc, WordError> {
    let mut heredoc = heredoc.clone();
    if heredoc.expands {
        heredoc.text = image::changes::words::fill_in(&heredoc.text, scope)?;
    }
    Ok(heredoc)
}

/// Where files that come from elsewhere than the context are put: a new directory each time.
#[derive(Debug)]
pub(crate) struct Desk<'a> {
    pub(crate) scratch: &'a Scratch,
    pub(crate) names: &'a std::sync::atomic::AtomicU64,
}

impl Desk<'_> {
    pub(crate) fn new_dir(&self) -> Result<std::path::PathBuf, ContentError> {
        let number = self
            .names
            .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        self.scratch.create_dir(&format!("desk-{number}"))
    }
}
