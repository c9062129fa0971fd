//! One stage on its way: from the image that it begins with, instruction by instruction.
//!
//! Each instruction makes an image, or takes the one that an earlier build made of the same
//! instruction on the same image. What runs and what copies is in the modules below.

mod command;
mod files;
mod mount;
mod repository;
mod step;
mod view;

use std::path::Path;
use std::sync::Arc;

use image::Held;
use image::changes::words::Scope;
use image::changes::{Setting, apply_one};
use model::image::{Defaults, Image};
use model::instance::{Failure, FailureKind};
use rustix::fs::FileType;
use rustix::io::Errno;

use crate::argument::Declared;
use crate::copy::CopyError;
use crate::copy::destination::Destination;
use crate::dockerfile::{Instruction, json_list};
use crate::plan::Base;
use crate::progress::{Line, Teller};
use crate::{Build, BuildError, StepError};
use step::Step;
pub(crate) use view::packed;

/// Where programs are looked for in an image that does not say it.
const DEFAULT_PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What became of a stage.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    /// `None` where it is empty.
    pub(crate) image: Option<Arc<Image>>,
    /// Keeps it, also when another build makes the same step.
    pub(crate) held: Option<Arc<Held>>,
}

/// A stage under way.
pub(crate) struct State<'a> {
    build: &'a Build<'a>,
    number: usize,
    teller: Teller,
    image: Option<Arc<Image>>,
    /// Keeps the images of this stage, for those that need them.
    held: Vec<Held>,
    defaults: Defaults,
    author: String,
    declared: Declared,
    /// This stage set the command: an entrypoint leaves it then.
    has_command: bool,
    /// Keys of steps that were taken from earlier builds.
    reused: Vec<String>,
}

/// Builds a stage; answers the keys of steps that were taken from earlier builds.
pub(crate) async fn run(
    build: &Build<'_>,
    number: usize,
    teller: Teller,
) -> Result<Vec<String>, BuildError> {
    let stage = &build.file.stages[number];
    let file = &build.request.dockerfile;
    let mut state = State {
        build,
        number,
        teller,
        image: None,
        held: Vec::new(),
        defaults: Defaults::default(),
        author: String::new(),
        declared: Declared::default(),
        has_command: false,
        reused: Vec::new(),
    };
    state.announce(0, &stage.from).await;
    let begun = state.begin(&build.plan.bases[number]).await;
    let begun = begun.map_err(|error| error.at(file, &stage.from));
    let begun = match begun {
        Ok(()) => state.triggers(&stage.from).await,
        failed => failed,
    };
    state.conclude(begun).await?;
    for (at, instruction) in stage.instructions.iter().enumerate() {
        state.announce(at + 1, instruction).await;
        let done = state.carry_out(instruction).await;
        let done = done.map_err(|error| error.at(file, instruction));
        state.conclude(done).await?;
    }
    if number == build.plan.target && !build.request.labels.is_empty() {
        let labels = state.label(stage.instructions.len() + 1).await;
        let labels = labels.map_err(|error| error.at(file, &stage.from));
        state.conclude(labels).await?;
    }
    let image = state.image.clone();
    if let Some(image) = &image {
        state.teller.tell(Line::Stage(image.id.clone())).await;
    }
    let held = image
        .as_ref()
        .and_then(|image| build.store.hold_image(&image.id))
        .map(Arc::new);
    build.outcomes[number].send_replace(Some(Outcome { image, held }));
    let State {
        held,
        reused,
        teller,
        ..
    } = state;
    // Those who wait to be told the next stage's lines hear that there are no more.
    drop(teller);
    // What others begin with stays until they are done.
    let target = &build.outcomes[build.plan.target];
    let mut done = target.subscribe();
    // The sender lives as long as the build.
    drop(done.wait_for(Option::is_some).await);
    drop(held);
    Ok(reused)
}

impl State<'_> {
    async fn announce(&mut self, at: usize, instruction: &Instruction) {
        let plan = self.build.plan;
        self.teller.turn_to(plan.number(self.number, at));
        if let Some(heading) = plan.heading(self.build.file, self.number, at, instruction) {
            self.teller.tell(Line::Begun(heading)).await;
        }
        self.announce_written(at, &instruction.written).await;
    }

    async fn announce_written(&self, at: usize, written: &str) {
        let step = self.build.plan.step(self.number, at);
        self.teller.note(format!("{step} : {written}")).await;
    }

    /// Tells how the step ended that was announced last.
    async fn conclude(&self, done: Result<(), BuildError>) -> Result<(), BuildError> {
        let line = match &done {
            Ok(()) => Line::Ended,
            Err(error) => Line::Failed(error.to_string()),
        };
        self.teller.tell(line).await;
        done
    }

    /// Takes the image or the files that the stage begins with.
    async fn begin(&mut self, base: &Base) -> Result<(), StepError> {
        self.image = match base {
            Base::Scratch | Base::Directory(_) => {
                self.teller.note(" --->").await;
                None
            }
            Base::Stage(stage) => self.outcome_of(*stage).await,
            Base::Image(name) => Some(self.base_image(name).await?),
            Base::Built(id) => Some(self.built_image(id)?),
        };
        if let Some(image) = self.image.clone() {
            self.hold(&image);
            self.defaults = image.defaults.clone();
            self.author.clone_from(&image.author);
            self.teller.image(&image.id).await;
        }
        // As dockerd: `$PATH` is there to be added to, whatever the image says.
        if !self
            .defaults
            .env
            .iter()
            .any(|known| known.starts_with("PATH="))
        {
            self.defaults.env.push(DEFAULT_PATH.to_owned());
        }
        if let Base::Directory(name) = base {
            let line = self.build.file.stages[self.number].from.line;
            let all = format!("COPY --from={name} / /");
            self.copy(&Instruction::trigger(&all, line)?).await?;
        }
        Ok(())
    }

    /// The image of a stage, as soon as it is there.
    async fn outcome_of(&self, stage: usize) -> Option<Arc<Image>> {
        let mut outcome = self.build.outcomes[stage].subscribe();
        // The sender lives as long as the build, and a stage that fails ends all of them.
        let found = outcome.wait_for(Option::is_some).await.ok()?;
        found.as_ref().and_then(|outcome| outcome.image.clone())
    }

    async fn base_image(&mut self, name: &str) -> Result<Arc<Image>, StepError> {
        let pull = self.build.request.pull;
        let image = self.build.runner.base(name, pull).await;
        let image = image.map_err(StepError::Base)?;
        self.hold(&image);
        Ok(image)
    }

    fn built_image(&mut self, id: &str) -> Result<Arc<Image>, StepError> {
        let image = self.build.store.by_id(id).map_err(|error| {
            StepError::Base(Failure {
                kind: FailureKind::NotFound,
                message: error.to_string(),
            })
        })?;
        self.hold(&image);
        Ok(image)
    }

    fn hold(&mut self, image: &Image) {
        self.held.extend(self.build.store.hold_image(&image.id));
    }

    /// Carries out what the image left for those on top of it.
    async fn triggers(&mut self, from: &Instruction) -> Result<(), BuildError> {
        let triggers = std::mem::take(&mut self.defaults.on_build);
        if triggers.is_empty() {
            return Ok(());
        }
        let plural = if triggers.len() == 1 { "" } else { "s" };
        let words = format!("# Executing {} build trigger{plural}", triggers.len());
        self.teller.note(words).await;
        let file = &self.build.request.dockerfile;
        for text in triggers {
            let instruction = Instruction::trigger(&text, from.line)
                .map_err(|error| StepError::from(error).at(file, from))?;
            let done = self.carry_out(&instruction).await;
            done.map_err(|error| error.at(file, &instruction))?;
        }
        Ok(())
    }

    async fn carry_out(&mut self, instruction: &Instruction) -> Result<(), StepError> {
        match instruction.keyword.as_str() {
            "RUN" => self.run_command(instruction).await,
            "COPY" | "ADD" => self.copy(instruction).await,
            "WORKDIR" => self.working_dir(instruction).await,
            "ARG" => {
                let env = self.defaults.env.clone();
                let (global, given) = (self.build.global, self.build.given);
                let escape = self.build.file.escape;
                let text = &instruction.rest;
                self.declared
                    .declare_in_stage(text, escape, &env, global, given)?;
                self.configured(instruction).await
            }
            "MAINTAINER" => {
                self.author.clone_from(&instruction.rest);
                self.configured(instruction).await
            }
            "SHELL" => {
                self.defaults.shell = json_list(&instruction.rest).unwrap_or_default();
                self.configured(instruction).await
            }
            keyword => {
                self.change(keyword, &instruction.rest)?;
                match keyword {
                    "CMD" => self.has_command = true,
                    "ENTRYPOINT" if !self.has_command => self.defaults.command.clear(),
                    _ => {}
                }
                self.configured(instruction).await
            }
        }
    }

    /// Applies an instruction that only changes the configuration.
    fn change(&mut self, keyword: &str, rest: &str) -> Result<(), StepError> {
        let arguments: Vec<String> = self.declared.variables().collect();
        let setting = Setting {
            arguments: &arguments,
            escape: self.build.file.escape,
        };
        Ok(apply_one(keyword, rest, setting, &mut self.defaults)?)
    }

    /// Makes the image of an instruction that only changed the configuration.
    async fn configured(&mut self, instruction: &Instruction) -> Result<(), StepError> {
        let words = format!("/bin/sh -c #(nop)  {}", instruction.written);
        self.make(Step::of_configuration(words)).await
    }

    /// Variables that an instruction's words may use: the environment wins over arguments.
    fn variables(&self) -> Vec<String> {
        let declared = self.declared.variables();
        declared.chain(self.defaults.env.iter().cloned()).collect()
    }

    fn scope<'v>(&self, variables: &'v [String]) -> Scope<'v> {
        Scope {
            variables,
            escape: self.build.file.escape,
        }
    }

    /// Changes the working directory, and makes it where the image has none.
    async fn working_dir(&mut self, instruction: &Instruction) -> Result<(), StepError> {
        self.change("WORKDIR", &instruction.rest)?;
        let words = format!("/bin/sh -c #(nop) {}", instruction.written);
        let mut step = Step::of_configuration(words);
        let key = self.key(&step);
        if self.reuse(key).await {
            return Ok(());
        }
        let image = self.view(self.image.as_deref())?;
        let path = Path::new(&self.defaults.working_dir).to_owned();
        let failed = |source| StepError::Copy {
            keyword: instruction.keyword.clone(),
            source,
        };
        let place = rooted::followed(&image.root, &path).map_err(|error| failed(error.into()))?;
        let there = image.root.stat(&place.path, false);
        match there {
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => {}
            Ok(_) => {
                let shown = path.display().to_string();
                return Err(failed(CopyError::NonDirectory(shown)));
            }
            Err(error) if error.source == Errno::NOENT => {
                let mtime = self.build.clock.now().as_second();
                step.layer = Some(view::packed(move |out| {
                    Destination::of_directory(&image.root, mtime).pack_directory(&place.path, out)
                }));
            }
            Err(error) => return Err(failed(error.into())),
        }
        self.make(step).await
    }

    /// Adds the labels of the request.
    async fn label(&mut self, at: usize) -> Result<(), StepError> {
        let labels = &self.build.request.labels;
        let shown = labels
            .iter()
            .map(|(name, value)| format!(" {name}={value:?}"));
        let written = format!("LABEL{}", shown.collect::<String>());
        self.teller.turn_to(self.build.plan.number(self.number, at));
        self.announce_written(at, &written).await;
        self.defaults.labels.extend(labels.clone());
        let words = format!("/bin/sh -c #(nop)  {written}");
        self.make(Step::of_configuration(words)).await
    }
}
