//! Which stages are built: the target, and those that it needs. Pure.

use std::collections::{BTreeMap, BTreeSet};

use image::changes::words::Scope;

use crate::argument::{Declared, Given};
use crate::dockerfile::{Dockerfile, Instruction, Stage};
use crate::named::{self, Named};
use crate::run;
use crate::{BuildError, Request, StepError};

/// What is built.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Numbers of stages, in their order.
    pub(crate) stages: Vec<usize>,
    /// Where each begins: another stage or an image, variables filled in.
    pub(crate) bases: Vec<Base>,
    /// Instructions of all of them.
    pub(crate) steps: usize,
    /// The number of the first instruction of each, from 1.
    first_steps: Vec<usize>,
    /// The last one.
    pub(crate) target: usize,
}

/// What a stage begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Base {
    Scratch,
    Stage(usize),
    Image(String),
    /// What another build led to, by its id.
    Built(String),
    /// The files of a context that has this name.
    Directory(String),
}

/// This node's, as Go names it.
fn own_platform() -> String {
    format!("linux/{}", oci_architecture())
}

const fn oci_architecture() -> &'static str {
    if cfg!(target_arch = "x86_64") {
        "amd64"
    } else if cfg!(target_arch = "aarch64") {
        "arm64"
    } else {
        std::env::consts::ARCH
    }
}

/// The platform that is built for; only this node's is.
pub(crate) fn platform(wanted: Option<&str>) -> Result<String, BuildError> {
    let own = own_platform();
    match wanted {
        Some(wanted) if !is_own(wanted) => Err(BuildError::Platform {
            wanted: wanted.to_owned(),
            own,
        }),
        _ => Ok(own),
    }
}

fn is_own(wanted: &str) -> bool {
    let own = oci_architecture();
    let wanted = wanted.to_ascii_lowercase();
    let wanted = wanted
        .replace("x86_64", "amd64")
        .replace("aarch64", "arm64");
    wanted.is_empty()
        || wanted == "linux"
        || wanted == own
        || wanted == format!("linux/{own}")
        || (own == "arm64" && wanted == "linux/arm64/v8")
}

/// The stage of this name or number; the last one for none.
pub(crate) fn target(file: &Dockerfile, name: &str) -> Result<usize, BuildError> {
    if name.is_empty() {
        return Ok(file.stages.len() - 1);
    }
    file.named_or_numbered(name, file.stages.len())
        .ok_or_else(|| BuildError::Target(name.to_owned()))
}

impl Plan {
    pub(crate) fn new(
        file: &Dockerfile,
        global: &Declared,
        given: &Given,
        target: usize,
        request: &Request,
    ) -> Result<Self, BuildError> {
        let variables = global.with_automatic(given);
        let scope = Scope {
            variables: &variables,
            escape: file.escape,
        };
        let bases = file.stages[..=target]
            .iter()
            .enumerate()
            .map(|(number, stage)| {
                base(file, number, stage, &scope, &request.contexts)
                    .map_err(|error| error.at(&request.dockerfile, &stage.from))
            })
            .collect::<Result<Vec<_>, _>>()?;
        let stages: Vec<usize> = needed(file, &bases, target).into_iter().collect();
        let has_labels = usize::from(!request.labels.is_empty());
        let mut steps = 0;
        let mut first_steps = Vec::new();
        for (number, stage) in file.stages[..=target].iter().enumerate() {
            first_steps.push(steps + 1);
            if stages.contains(&number) {
                steps += 1 + stage.instructions.len();
            }
        }
        Ok(Self {
            stages,
            bases,
            steps: steps + has_labels,
            first_steps,
            target,
        })
    }

    /// The number of an instruction among those of all stages, from 1.
    pub(crate) fn number(&self, stage: usize, at: usize) -> usize {
        self.first_steps[stage] + at
    }

    /// `[2/5] RUN make`, with the stage's name where there are several; of instructions that run
    /// something or change files only, for nobody waits for others.
    pub(crate) fn heading(
        &self,
        file: &Dockerfile,
        stage: usize,
        at: usize,
        instruction: &Instruction,
    ) -> Option<String> {
        let takes_time =
            |one: &&Instruction| matches!(one.keyword.as_str(), "RUN" | "COPY" | "ADD" | "WORKDIR");
        let instructions = &file.stages[stage].instructions;
        let before = instructions.iter().take(at).filter(takes_time).count();
        if at > 0 && !takes_time(&instruction) {
            return None;
        }
        let of = 1 + instructions.iter().filter(takes_time).count();
        let name = match &file.stages[stage].name {
            _ if self.stages.len() == 1 => String::new(),
            Some(name) => format!("{name} "),
            None => format!("stage-{stage} "),
        };
        let number = if at == 0 { 1 } else { 1 + before };
        let written = &instruction.written;
        Some(format!("[{name}{number}/{of}] {written}"))
    }

    /// `Step 2/5`
    pub(crate) fn step(&self, stage: usize, at: usize) -> String {
        format!("Step {}/{}", self.first_steps[stage] + at, self.steps)
    }
}

fn base(
    file: &Dockerfile,
    number: usize,
    stage: &Stage,
    scope: &Scope<'_>,
    contexts: &BTreeMap<String, Named>,
) -> Result<Base, StepError> {
    if let Some(platform) = stage.from.flags.get("platform") {
        let wanted = scope.expand(platform)?;
        if !is_own(&wanted) {
            return Err(StepError::Platform {
                wanted,
                own: own_platform(),
            });
        }
    }
    let name = scope.expand(&stage.base)?;
    if name.trim().is_empty() {
        return Err(StepError::BlankBase(stage.base.clone()));
    }
    Ok(match file.named(&name, number) {
        Some(stage) => Base::Stage(stage),
        None if name == "scratch" => Base::Scratch,
        None => match named::find(contexts, &name) {
            Some((_, Named::Image(image))) => Base::Image(image.clone()),
            Some((_, Named::Built(id))) => Base::Built(id.clone()),
            Some((name, Named::Directory)) => Base::Directory(name.clone()),
            None => Base::Image(name),
        },
    })
}

/// The target, and every stage that it begins with or copies from.
fn needed(file: &Dockerfile, bases: &[Base], target: usize) -> BTreeSet<usize> {
    let mut needed = BTreeSet::new();
    let mut open = vec![target];
    while let Some(number) = open.pop() {
        if !needed.insert(number) {
            continue;
        }
        if let Base::Stage(base) = bases[number] {
            open.push(base);
        }
        for instruction in &file.stages[number].instructions {
            let mounts = run::origins(instruction);
            let names = instruction.flags.get("from").into_iter().chain(mounts);
            open.extend(names.filter_map(|name| file.named_or_numbered(name, number)));
        }
    }
    needed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dockerfile::parse;

    fn planned(text: &str, target: &str) -> Result<Plan, BuildError> {
        let file = parse(text.as_bytes()).unwrap();
        let given = Given::new(BTreeMap::new(), "linux/amd64", "default");
        let mut global = Declared::default();
        for argument in &file.arguments {
            global
                .declare_global(&argument.rest, file.escape, &given)
                .unwrap();
        }
        let number = super::target(&file, target)?;
        let context = |name: &str, context| (name.to_owned(), context);
        let request = Request {
            dockerfile: "Dockerfile".to_owned(),
            contexts: BTreeMap::from([
                context("known", Named::Image("local/known:2".to_owned())),
                context("files", Named::Directory),
            ]),
            ..Request::default()
        };
        Plan::new(&file, &global, &given, number, &request)
    }

    const STAGES: &str = "ARG TAG=1\nFROM a:$TAG AS one\nRUN x\nFROM one AS two\nFROM scratch AS three\n\
        COPY --from=0 /a /b\nFROM b AS four\nRUN --mount=type=bind,from=two,target=/x y\n";

    #[test]
    fn only_what_the_target_needs_is_built() {
        let stages = |target| planned(STAGES, target).unwrap().stages;
        assert_eq!(stages("one"), [0]);
        assert_eq!(stages("TWO"), [0, 1]);
        assert_eq!(stages("three"), [0, 2]);
        assert_eq!(stages(""), [0, 1, 3]);
        let plan = planned(STAGES, "").unwrap();
        assert_eq!(plan.bases[0], Base::Image("a:1".to_owned()));
        assert_eq!(plan.bases[1], Base::Stage(0));
        assert_eq!(
            (plan.step(1, 0), plan.step(3, 1)),
            ("Step 3/5".to_owned(), "Step 5/5".to_owned())
        );
    }

    #[test]
    fn a_stage_may_begin_with_what_has_a_name() {
        let plan = planned("FROM known:latest\nFROM files\nFROM known:1\n", "").unwrap();
        let image = |name: &str| Base::Image(name.to_owned());
        assert_eq!(plan.bases[0], image("local/known:2"));
        assert_eq!(plan.bases[1], Base::Directory("files".to_owned()));
        assert_eq!(plan.bases[2], image("known:1"));
    }

    #[test]
    fn steps_that_take_time_have_a_heading() {
        let text =
            "FROM a AS one\nENV A=b\nRUN x\nFROM scratch\nWORKDIR /w\nCOPY --from=one /a /b\n";
        let file = parse(text.as_bytes()).unwrap();
        let plan = planned(text, "").unwrap();
        let heading = |stage: usize, at: usize| {
            let stage_of = &file.stages[stage];
            let instruction = match at {
                0 => &stage_of.from,
                at => &stage_of.instructions[at - 1],
            };
            plan.heading(&file, stage, at, instruction)
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(heading(0, 0), some("[one 1/2] FROM a AS one"));
        assert_eq!(heading(0, 1), None);
        assert_eq!(heading(0, 2), some("[one 2/2] RUN x"));
        assert_eq!(heading(1, 0), some("[stage-1 1/3] FROM scratch"));
        assert_eq!(heading(1, 2), some("[stage-1 3/3] COPY --from=one /a /b"));
        let alone = planned(text, "one").unwrap();
        let run = &file.stages[0].instructions[1];
        assert_eq!(alone.heading(&file, 0, 2, run), some("[2/2] RUN x"));
        assert_eq!((plan.number(0, 0), plan.number(1, 1)), (1, 5));
    }

    #[test]
    fn what_cannot_be_built_is_said_first() {
        for (text, target, words) in [
            ("FROM a\n", "b", "target stage \"b\" could not be found"),
            (
                "FROM $NONE\n",
                "",
                "base name ($NONE) should not be blank (Dockerfile:1: FROM $NONE)",
            ),
        ] {
            assert_eq!(planned(text, target).unwrap_err().to_string(), words);
        }
        let error = planned("FROM --platform=linux/s390x a\n", "").unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("platform linux/s390x is not supported"),
            "{error}"
        );
    }
}
