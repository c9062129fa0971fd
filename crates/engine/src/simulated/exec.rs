//! Further processes in simulated instances.

use std::sync::Arc;

use model::Id;
use model::instance::{Failure, FailureKind};
use model::stream::{ExecSpec, ExecStatus};

use super::process::{container, env};
use super::{ExecBody, World, program};
use crate::failure::refused;
use crate::{Happening, Input, Output};

impl World {
    pub(super) fn exec_create(&self, id: Id, spec: &ExecSpec) -> Result<String, Failure> {
        let mut state = self.state();
        if *state.running(id)?.0.control.paused.borrow() {
            return Err(paused(id));
        }
        let exec = state.new_exec_id();
        state.execs.insert(exec.clone(), ExecBody::new(id, spec));
        Ok(exec)
    }

    pub(super) fn exec_start(
        self: &Arc<Self>,
        exec: &str,
        detach: bool,
    ) -> Result<(Output, Option<Input>), Failure> {
        let mut state = self.state();
        let body = state.exec(exec)?;
        let (id, console, spec) = (
            body.instance,
            Arc::clone(&body.console),
            body.status.spec.clone(),
        );
        if body.status.running || body.status.exit_code.is_some() {
            return Err(refused(
                FailureKind::Conflict,
                format!("exec {exec} has already run"),
            ));
        }
        if *state.running(id)?.0.control.paused.borrow() {
            return Err(paused(id));
        }
        let instance = &state.body(id)?.instance;
        let hostname = instance.spec.hostname.clone();
        let container = container(instance)?.clone();
        if let Err(failure) = program::look_up(&spec.args, &state.body(id)?.files) {
            let not_found = failure.kind == FailureKind::CommandNotFound;
            state.exec(exec)?.status.exit_code = Some(if not_found { 127 } else { 126 });
            return Err(failure);
        }
        let streams = console.attach(
            spec.stdin && !detach,
            !detach && (spec.stdout || spec.stderr),
        );
        let (control, mut process) = self.process(id, &console, &spec.args);
        process.env = env(container.env.iter().chain(&spec.env));
        process.hostname = hostname;
        process.working_dir = if spec.working_dir.is_empty() {
            container.working_dir
        } else {
            spec.working_dir
        };
        let pid = state.new_pid();
        let body = state.exec(exec)?;
        body.status.running = true;
        body.status.pid = pid;
        body.control = Some(control);
        let (world, exec) = (Arc::clone(self), exec.to_owned());
        self.tell(Happening::Exec(id, exec.clone(), None));
        let _task = tokio::spawn(async move {
            let code = process.run().await;
            if let Ok(body) = world.state().exec(&exec) {
                body.status.running = false;
                body.status.exit_code = Some(code);
            }
            world.tell(Happening::Exec(id, exec, Some(code)));
            console.close();
        });
        Ok(streams)
    }

    pub(super) fn exec_resize(&self, exec: &str) -> Result<(), Failure> {
        let mut state = self.state();
        let running = state.exec(exec)?.status.running;
        if running {
            Ok(())
        } else {
            Err(refused(
                FailureKind::Conflict,
                format!("exec {exec} is not running"),
            ))
        }
    }

    pub(super) fn exec_status(&self, exec: &str) -> Result<(Id, ExecStatus), Failure> {
        let mut state = self.state();
        let body = state.exec(exec)?;
        Ok((body.instance, body.status.clone()))
    }

    pub(super) fn execs(&self, id: Id) -> Vec<String> {
        let state = self.state();
        state
            .execs
            .iter()
            .filter(|(_, exec)| exec.instance == id && exec.status.exit_code.is_none())
            .map(|(name, _)| name.clone())
            .collect()
    }
}

fn paused(id: Id) -> Failure {
    let message = format!(
        "container {} is paused, unpause the container before exec",
        id.simple()
    );
    refused(FailureKind::Conflict, message)
}
