//! `COPY` and `ADD` in a stage: where files come from, and the layer that they make.

use std::path::Path;
use std::sync::Arc;

use rooted::Root;
use runtime::user::Databases;

use super::State;
use super::repository::Wanted;
use super::step::Step;
use super::view::packed;
use crate::StepError;
use crate::context::Context;
use crate::copy::destination::Destination;
use crate::copy::source::{Place, Source, digest_of};
use crate::copy::{CopyError, Desk, Request};
use crate::dockerfile::{Heredoc, Instruction};
use crate::named::{self, Named};
use crate::pattern::{Ignore, is_pattern};
use crate::remote;

impl State<'_> {
    pub(super) fn desk(&self) -> Desk<'_> {
        Desk {
            scratch: self.build.scratch,
            names: self.build.desk_names,
        }
    }

    pub(super) async fn copy(&mut self, instruction: &Instruction) -> Result<(), StepError> {
        let failed = |source| StepError::Copy {
            keyword: instruction.keyword.clone(),
            source,
        };
        let variables = self.variables();
        let request = Request::of(instruction, &self.scope(&variables)).map_err(failed)?;
        let place = match instruction.flags.get("from") {
            Some(from) => self.place_from(from).await?,
            None => self.context_place()?,
        };
        let found = self.sources(&request, &place).await.map_err(failed)?;
        let (target, is_directory) =
            Destination::absolute(&self.defaults.working_dir, &request.destination);
        let words = created_by(&request, &found);
        let mut step = Step::of_configuration(words);
        step.depends_on = format!(
            "{:?} {:?} {:?} {} {target:?} {is_directory} {:?}",
            request.owner, request.mode, request.unpack, request.parents, request.exclude,
        );
        for commit in found.iter().filter_map(Found::commit) {
            step.depends_on += &commit.depends_on();
        }
        let key = self.key(&step);
        if self.reuse(key).await {
            return Ok(());
        }
        let image = self.view(self.image.as_deref())?;
        let owner = request
            .owner
            .as_deref()
            .map(|owner| numbers(&image.root, owner));
        let owner = owner.transpose().map_err(|error| failed(error.into()))?;
        let mtime = self.build.clock.now().as_second();
        let desk = self.desk();
        let mut sources = Vec::new();
        for found in found {
            let source = match found {
                Found::Here(source) => {
                    let into = desk.new_dir()?;
                    blocking(move || source.unpacked(&into)).await
                }
                Found::Commit(commit) => self.checked_out(commit, &request.exclude).await,
            };
            sources.push(source.map_err(failed)?);
        }
        let keyword = request.keyword.clone();
        let destination = Destination {
            image: image.root,
            path: target,
            is_directory,
            owner,
            mode: request.mode,
            parents: request.parents,
            mtime,
            exclude: request.exclude,
        };
        let (destination, sources) = blocking(move || {
            destination.check(&keyword, &sources)?;
            Ok((destination, sources))
        })
        .await
        .map_err(failed)?;
        step.layer = Some(packed(move |out| destination.pack(&sources, out)));
        self.make(step).await
    }

    /// The context.
    pub(super) fn context_place(&self) -> Result<Place, StepError> {
        Self::place_in(self.build.context)
    }

    fn place_in(context: &Context) -> Result<Place, StepError> {
        let root = context.root().map_err(|error| StepError::Copy {
            keyword: "COPY".to_owned(),
            source: error.into(),
        })?;
        Ok(Place {
            root: Arc::new(root),
            keeps_owners: false,
        })
    }

    /// Another stage, a context that has a name, or an image.
    pub(super) async fn place_from(&mut self, from: &str) -> Result<Place, StepError> {
        let file = self.build.file;
        let image = match file.named_or_numbered(from, self.number) {
            Some(stage) if self.build.plan.stages.contains(&stage) => self.outcome_of(stage).await,
            Some(_) => return Err(StepError::Stage(from.to_owned())),
            None if from.parse::<usize>().is_ok() => {
                return Err(StepError::Stage(from.to_owned()));
            }
            None => match named::find(&self.build.request.contexts, from) {
                Some((name, Named::Directory)) => {
                    let context = self.build.named.get(name);
                    let context = context.ok_or_else(|| StepError::Stage(from.to_owned()))?;
                    return Self::place_in(context);
                }
                Some((_, Named::Image(image))) => Some(self.base_image(image).await?),
                Some((_, Named::Built(id))) => Some(self.built_image(id)?),
                None => Some(self.base_image(from).await?),
            },
        };
        let view = self.view(image.as_deref())?;
        Ok(Place {
            root: view.root,
            keeps_owners: true,
        })
    }

    /// Everything that is copied, in its order.
    async fn sources(&self, request: &Request, place: &Place) -> Result<Vec<Found>, CopyError> {
        let mut found = Vec::new();
        for written in &request.sources {
            if let Some(repository) = request.repository(written)? {
                let commit = self.commit_of(repository).await?;
                found.push(Found::Commit(commit));
                continue;
            }
            if request.is_address(written) {
                let mut source = self.downloaded(request, written).await?;
                if request.unpack.1 {
                    source.unpack()?;
                }
                found.push(Found::Here(source));
                continue;
            }
            let place = place.clone();
            let (pattern, exclude) = (written.clone(), request.exclude.clone());
            let mut some = blocking(move || place.find(&pattern, &exclude)).await?;
            if some.is_empty() && !is_pattern(written) && request.exclude.is_empty() {
                return Err(CopyError::NotFound(written.clone()));
            }
            if request.unpack.0 {
                for source in &mut some {
                    source.unpack()?;
                }
            }
            found.extend(some.into_iter().map(Found::Here));
        }
        for heredoc in &request.heredocs {
            found.push(Found::Here(self.of_heredoc(heredoc)?));
        }
        if found.is_empty() && request.exclude.is_empty() {
            return Err(CopyError::NoSources);
        }
        Ok(found)
    }

    /// A file with the text of a heredoc.
    fn of_heredoc(&self, heredoc: &Heredoc) -> Result<Source, CopyError> {
        let directory = self.desk().new_dir()?;
        let written = std::fs::write(directory.join("file"), &heredoc.text);
        written.map_err(|source| CopyError::File {
            attempt: "write",
            path: heredoc.name.clone(),
            source,
        })?;
        let mut source = alone(&directory, 0o644)?;
        source.name = heredoc.name.clone().into();
        Ok(source)
    }

    /// A file of the web.
    async fn downloaded(&self, request: &Request, address: &str) -> Result<Source, CopyError> {
        let path = address.split(['?', '#']).next().unwrap_or_default();
        let after_scheme = path.split_once("://").map_or(path, |(_, rest)| rest);
        let name = after_scheme
            .split_once('/')
            .and_then(|(_, path)| path.rsplit('/').next());
        let name = name.unwrap_or_default();
        if name.is_empty() && request.destination.ends_with('/') {
            return Err(CopyError::NoName(address.to_owned()));
        }
        let directory = self.desk().new_dir()?;
        let path = directory.join("file");
        let failed = |attempt| {
            move |source| CopyError::File {
                attempt,
                path: address.to_owned(),
                source,
            }
        };
        remote::receive(self.build.runner, address, &path).await?;
        if let Some(expected) = &request.checksum {
            let file = std::fs::File::open(&path).map_err(failed("read"))?;
            let found = format!("sha256:{}", digest_of(file).map_err(failed("read"))?);
            if found != *expected {
                return Err(CopyError::Checksum {
                    source_name: address.to_owned(),
                    expected: expected.clone(),
                    found,
                });
            }
        }
        let mut source = alone(&directory, 0o600)?;
        source.name = name.into();
        Ok(source)
    }
}

/// What is copied, as far as it is there before it is known whether it was copied already.
enum Found {
    Here(Source),
    Commit(Wanted),
}

impl Found {
    fn commit(&self) -> Option<&Wanted> {
        match self {
            Self::Here(_) => None,
            Self::Commit(commit) => Some(commit),
        }
    }

    /// What it is, for the history.
    fn shown(&self) -> String {
        match self {
            Self::Here(source) if source.is_directory => format!("dir:{}", source.hash),
            Self::Here(source) => format!("file:{}", source.hash),
            Self::Commit(commit) => commit.shown(),
        }
    }
}

/// The file `file` of a directory of ours.
fn alone(directory: &Path, mode: u32) -> Result<Source, CopyError> {
    let path = directory.join("file");
    let mode = rustix::fs::Mode::from_raw_mode(mode);
    rustix::fs::chmod(&path, mode).map_err(|errno| CopyError::File {
        attempt: "set mode of",
        path: path.display().to_string(),
        source: errno.into(),
    })?;
    let place = Place {
        root: Arc::new(Root::open(directory)?),
        keeps_owners: false,
    };
    let found = place.find("file", &Ignore::default())?;
    found.into_iter().next().ok_or(CopyError::NoSources)
}

/// User and group of `--chown`; a user alone has the group of the same name or number.
fn numbers(root: &Root, owner: &str) -> Result<(u32, u32), runtime::user::UserError> {
    let (user, group) = owner.split_once(':').unwrap_or((owner, owner));
    let identity = Databases::read(root).named(&format!("{user}:{group}"))?;
    Ok((identity.uid, identity.gid))
}

/// The words of the history, with a hash over all that is copied.
fn created_by(request: &Request, sources: &[Found]) -> String {
    let what = match sources {
        [one] => one.shown(),
        many => {
            let named = many.iter().flat_map(|found| match found {
                Found::Here(source) => {
                    let name = source.relative.to_string_lossy();
                    format!("{name} {} {}\n", source.name.display(), source.hash).into_bytes()
                }
                Found::Commit(commit) => format!("{}\n", commit.shown()).into_bytes(),
            });
            let hash = ring::digest::digest(&ring::digest::SHA256, &named.collect::<Vec<_>>());
            format!("multi:{}", hex::encode(hash))
        }
    };
    let (keyword, destination) = (&request.keyword, &request.destination);
    format!("/bin/sh -c #(nop) {keyword} {what} in {destination} ")
}

/// Work on files, on a thread that may wait for the disk.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, CopyError> + Send + 'static,
) -> Result<T, CopyError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(answer) => answer,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
