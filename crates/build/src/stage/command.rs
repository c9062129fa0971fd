//! `RUN` in a stage: a command runs on the image, and what it changed is a layer.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;

use model::container::Mount;
use model::instance::{Failure, FailureKind};
use tokio::sync::mpsc;

use super::State;
use super::mount::bind;
use super::step::Step;
use crate::StepError;
use crate::copy::CopyError;
use crate::dockerfile::Instruction;
use crate::progress::{Line, short};
use crate::run::{self, Program};
use crate::runner::{Command, Network};

/// Chunks of output that wait to be told.
const WAITING_CHUNKS: usize = 64;

impl State<'_> {
    pub(super) async fn run_command(&mut self, instruction: &Instruction) -> Result<(), StepError> {
        let program = Program::of(instruction, &self.defaults.shell);
        let network = run::network(instruction)?;
        let variables = self.variables();
        let specs = run::mounts(instruction, &self.scope(&variables))?;
        let (declared, proxies) = self
            .declared
            .for_command(&self.defaults.env, self.build.given);
        let mut mounts = Vec::new();
        let mut mounted = String::new();
        let mut env = Vec::new();
        let mut env_files = BTreeMap::new();
        let mut held = Vec::new();
        for spec in &specs {
            let one = self.mount(spec).await?;
            mounted.push_str(&one.shown);
            mounts.extend(one.mount);
            env.extend(one.variable);
            env_files.extend(one.env_file);
            held.extend(one.held);
        }
        let shown = program.shown();
        let words = if declared.is_empty() {
            shown.clone()
        } else {
            format!("|{} {} {shown}", declared.len(), declared.join(" "))
        };
        let mut step = Step::of_configuration(words);
        let whose = network.map(|network| match network {
            Network::None => "none",
            Network::Host => "host",
        });
        step.depends_on = format!("RUN {program:?} {whose:?} {mounted}");
        let key = self.key(&step);
        if self.reuse(key).await {
            return Ok(());
        }
        let args = match program {
            Program::Args(args) => args,
            Program::Script { name, text } => {
                let (args, mount) = self.script(&name, &text)?;
                mounts.push(mount);
                args
            }
        };
        let image = match &self.image {
            Some(image) => image.id.clone(),
            None => return Err(StepError::Run(no_files())),
        };
        let command = Command {
            image,
            args,
            env: declared.into_iter().chain(proxies).chain(env).collect(),
            env_files,
            network,
            mounts,
        };
        let runner = self.build.runner;
        let id = runner.create(&command).await.map_err(StepError::Run)?;
        let running = format!(" ---> Running in {}", short(&id.simple()));
        self.teller.note(running).await;
        let code = self.run_to_end(id).await?;
        // Caches may be another command's from now on, and secrets nobody's.
        drop(held);
        if code != 0 {
            if !self.build.request.keep_containers {
                runner.remove(id).await.map_err(StepError::Run)?;
            }
            return Err(StepError::Exit {
                command: shown,
                code,
            });
        }
        step.layer = Some(runner.layer(id).await.map_err(StepError::Run)?);
        let made = self.make(step).await;
        if !self.build.request.keep_containers {
            runner.remove(id).await.map_err(StepError::Run)?;
            let removed = format!(
                " ---> Removed intermediate container {}",
                short(&id.simple())
            );
            self.teller.note(removed).await;
        }
        made
    }

    async fn run_to_end(&self, id: model::Id) -> Result<i32, StepError> {
        let (sender, mut receiver) = mpsc::channel(WAITING_CHUNKS);
        let tell = async {
            while let Some((stream, bytes)) = receiver.recv().await {
                self.teller.tell(Line::Output(stream, bytes)).await;
            }
        };
        let (code, ()) = tokio::join!(self.build.runner.run(id, sender), tell);
        code.map_err(StepError::Run)
    }

    /// A file that is executed, and is not there afterwards.
    fn script(&self, name: &str, text: &str) -> Result<(Vec<String>, Mount), StepError> {
        let path = self.desk().new_dir()?.join("script");
        let executable = std::fs::Permissions::from_mode(0o755);
        std::fs::write(&path, text)
            .and_then(|()| std::fs::set_permissions(&path, executable))
            .map_err(|source| StepError::Copy {
                keyword: "RUN".to_owned(),
                source: CopyError::File {
                    attempt: "write",
                    path: name.to_owned(),
                    source,
                },
            })?;
        // Below `/dev` nothing stays in the image.
        let target = format!("/dev/pipes/{name}");
        let mount = bind(&target, path, true);
        Ok((vec![target], mount))
    }
}

fn no_files() -> Failure {
    Failure {
        kind: FailureKind::Invalid,
        message: "there is nothing to run in an empty image: copy something into it first"
            .to_owned(),
    }
}
