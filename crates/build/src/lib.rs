//! From a Dockerfile to an image.
//!
//! [`build`] reads a Dockerfile, goes through its stages, and makes an image of each instruction.
//! What copies files is done here, on the layers of the image; what runs a command is asked of the
//! caller's [`Runner`]. The content store keeps each step, so that the same is not done twice. It
//! knows no containers, no API and no records; `actions` calls it.

mod argument;
mod context;
mod contexts;
mod copy;
mod dockerfile;
mod error;
#[cfg(fuzzing)]
pub mod fuzzing;
mod named;
mod pattern;
mod plan;
mod progress;
mod remote;
mod run;
mod runner;
mod stage;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use bytes::Bytes;
use futures_util::future::try_join_all;
use image::{Held, Scratch, StepLayer, Store};
use jiff::Timestamp;
use model::image::Image;
use tokio::sync::{mpsc, watch};

pub use context::ContextError;
pub use contexts::Contexts;
pub use copy::CopyError;
pub use dockerfile::{LineProblem, ParseError};
pub use error::{BuildError, StepError};
pub use git::{AddressError, Commit, Repository};
pub use named::Named;
pub use pattern::{Ignore, PatternError};
pub use progress::{Event, Line};
pub use remote::{Fetched, Parts, Remote, RemoteError, fetch};
pub use runner::{Command, Network, Runner};

use argument::{Declared, Given};
use context::Context;
use dockerfile::Dockerfile;
use plan::Plan;
use stage::Outcome;

/// Lines of one stage that wait until those before it are told.
const WAITING_LINES: usize = 4096;

/// What is to be built, and how.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// Path of the Dockerfile in the context.
    pub dockerfile: String,
    /// What it says, where it came by itself: the context is as it is then.
    pub dockerfile_text: Option<Bytes>,
    /// Values of build arguments.
    pub arguments: BTreeMap<String, String>,
    /// Labels that the image gets beside its own.
    pub labels: BTreeMap<String, String>,
    /// The stage to be built; empty is the last one.
    pub target: String,
    /// `os/architecture` that it is for; `None` is this node's.
    pub platform: Option<String>,
    /// Nothing is taken from what earlier builds left.
    pub no_cache: bool,
    /// Only steps that led to one of these images, by name, are taken; empty is all.
    pub cache_from: Vec<String>,
    /// What names of the Dockerfile stand for, as images are written, without `:latest`.
    pub contexts: BTreeMap<String, Named>,
    /// Look for newer images to begin with.
    pub pull: bool,
    /// Commands run where they can do this and that, as a text: others are other steps.
    pub surroundings: String,
    /// Keep what commands ran in.
    pub keep_containers: bool,
    /// Stages that go on at once are told of as it happens, and not one after the other.
    pub as_it_happens: bool,
}

/// What an image is built of: tar archives.
pub struct Files {
    /// The context, with the Dockerfile in it unless that came by itself.
    pub context: StepLayer,
    /// The directories among [`Request::contexts`].
    pub named: BTreeMap<String, StepLayer>,
}

impl Files {
    /// A context alone.
    #[must_use]
    pub const fn of(context: StepLayer) -> Self {
        Self {
            context,
            named: BTreeMap::new(),
        }
    }
}

/// What was built.
#[derive(Debug)]
pub struct Built {
    /// The image; it is not listed yet.
    pub image: Arc<Image>,
    /// Keeps it until it is.
    pub held: Arc<Held>,
    /// Keys of the steps that were taken from earlier builds.
    pub reused: Vec<String>,
}

/// One build, as its stages see it.
pub(crate) struct Build<'a> {
    pub(crate) store: &'a Store,
    pub(crate) runner: &'a dyn Runner,
    pub(crate) request: &'a Request,
    pub(crate) file: &'a Dockerfile,
    pub(crate) context: &'a Context,
    /// Directories that have a name.
    pub(crate) named: &'a BTreeMap<String, Arc<Context>>,
    /// For what only this build needs.
    pub(crate) scratch: &'a Scratch,
    pub(crate) plan: &'a Plan,
    pub(crate) given: &'a Given,
    pub(crate) global: &'a Declared,
    pub(crate) clock: Clock,
    /// Images whose steps may be taken from earlier builds; `None` is all.
    pub(crate) cache_from: Option<Vec<Arc<Image>>>,
    /// What became of each stage.
    pub(crate) outcomes: &'a [watch::Sender<Option<Outcome>>],
    pub(crate) desk_names: &'a AtomicU64,
}

/// When things are said to be made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    /// `SOURCE_DATE_EPOCH`, where it is given.
    epoch: Option<Timestamp>,
}

impl Clock {
    fn of(given: &Given) -> Result<Self, BuildError> {
        let epoch = given.source_date_epoch().map(|text| {
            let seconds = text.parse().ok();
            seconds
                .and_then(|seconds| Timestamp::from_second(seconds).ok())
                .ok_or_else(|| BuildError::Epoch(text.to_owned()))
        });
        Ok(Self {
            epoch: epoch.transpose()?,
        })
    }

    pub(crate) fn now(self) -> Timestamp {
        self.epoch.unwrap_or_else(Timestamp::now)
    }

    pub(crate) fn latest_mtime(self) -> Option<i64> {
        self.epoch.map(Timestamp::as_second)
    }
}

/// The images that are there of those that a request names to take steps from.
fn cache_sources(store: &Store, names: &[String]) -> Option<Vec<Arc<Image>>> {
    let found = || names.iter().filter_map(|name| store.get(name).ok());
    (!names.is_empty()).then(|| found().collect())
}

/// Builds an image of a context. `contexts` may have it from an earlier build, and keeps it for later
/// ones.
///
/// What happens is told to `events`; a receiver that is gone does not end the build. Dropping the
/// future does, and leaves nothing but steps that were finished.
///
/// # Errors
/// [`BuildError`]; no image is listed then.
pub async fn build(
    store: &Store,
    contexts: &Contexts,
    runner: &dyn Runner,
    files: Files,
    request: &Request,
    events: mpsc::Sender<Event>,
) -> Result<Built, BuildError> {
    let text = request.dockerfile_text.clone();
    let (received, named) = tokio::try_join!(
        contexts.receive(store, files.context, &request.dockerfile, text),
        named::receive(store, files.named),
    )?;
    let mut file = dockerfile::parse(&received.dockerfile)?;
    named::replace(&mut file, &request.contexts);
    let scratch = store.scratch()?;
    let platform = plan::platform(request.platform.as_deref())?;
    let target = plan::target(&file, &request.target)?;
    let target_name = file.stages[target].name.clone();
    let given = Given::new(
        request.arguments.clone(),
        &platform,
        target_name.as_deref().unwrap_or("default"),
    );
    let mut global = Declared::default();
    for argument in &file.arguments {
        global
            .declare_global(&argument.rest, file.escape, &given)
            .map_err(|error| StepError::from(error).at(&request.dockerfile, argument))?;
    }
    let plan = Plan::new(&file, &global, &given, target, request)?;
    let outcomes: Vec<_> = file
        .stages
        .iter()
        .map(|_| watch::Sender::new(None))
        .collect();
    let build = Build {
        store,
        runner,
        request,
        file: &file,
        context: &received.context,
        named: &named,
        scratch: &scratch,
        plan: &plan,
        given: &given,
        global: &global,
        clock: Clock::of(&given)?,
        cache_from: cache_sources(store, &request.cache_from),
        outcomes: &outcomes,
        desk_names: &AtomicU64::new(0),
    };
    let (senders, mut receivers): (Vec<_>, Vec<_>) = if request.as_it_happens {
        (vec![events.clone(); plan.stages.len()], Vec::new())
    } else {
        let channels = plan.stages.iter().map(|_| mpsc::channel(WAITING_LINES));
        channels.unzip()
    };
    let stages = plan
        .stages
        .iter()
        .zip(senders)
        .map(|(stage, sender)| stage::run(&build, *stage, progress::Teller::new(sender)));
    // Lines of stages that go on at once are told one stage after the other.
    let tell = async {
        for receiver in &mut receivers {
            while let Some(event) = receiver.recv().await {
                if events.send(event).await.is_err() {
                    tracing::debug!("nobody listens to a build");
                }
            }
        }
    };
    let (finished, ()) = tokio::join!(try_join_all(stages), tell);
    let reused = finished?.into_iter().flatten().collect();
    let left_over = given.left_over();
    if !left_over.is_empty() {
        let words = format!(
            "[Warning] One or more build-args [{}] were not consumed\n",
            left_over.join(" ")
        );
        let line = Line::Note(words);
        drop(events.send(Event { step: 0, line }).await);
    }
    let outcome = outcomes[target].borrow().clone();
    let Some(Outcome {
        image: Some(image),
        held: Some(held),
    }) = outcome
    else {
        return Err(BuildError::NoImage);
    };
    contexts.keep(received);
    // Nobody waits for many files to be removed.
    drop(tokio::task::spawn_blocking(move || drop(scratch)));
    Ok(Built {
        image,
        held,
        reused,
    })
}
