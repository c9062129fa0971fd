//! Exec requests into the model, and what is known of an exec out of it. Pure.

use model::Id;
use model::container::TerminalSize;
use model::stream::{ExecSpec, ExecStatus};

use super::wire::{Create, Inspect, ProcessConfig};
use crate::error::ApiError;
use crate::id::docker_id;
use crate::stream::DetachKeys;
use crate::version::Version;

/// Checks a request and turns it into the model.
pub(crate) fn to_model(create: Create, version: Version) -> Result<ExecSpec, ApiError> {
    if create.cmd.is_empty() {
        return Err(ApiError::invalid("No exec command specified"));
    }
    if !create.working_dir.is_empty() && !create.working_dir.starts_with('/') {
        return Err(ApiError::invalid(format!(
            "the working directory '{}' is invalid, it needs to be an absolute path",
            create.working_dir
        )));
    }
    if let Some(entry) = create
        .env
        .iter()
        .find(|entry| entry.is_empty() || entry.starts_with('='))
    {
        return Err(ApiError::invalid(format!(
            "invalid environment variable: {entry}"
        )));
    }
    DetachKeys::parse(&create.detach_keys)?;
    Ok(ExecSpec {
        args: create.cmd,
        env: create.env,
        working_dir: create.working_dir,
        user: create.user,
        tty: create.tty,
        terminal_size: terminal_size(create.console_size, create.tty, version),
        stdin: create.attach_stdin,
        stdout: create.attach_stdout,
        stderr: create.attach_stderr,
        privileged: create.privileged,
        detach_keys: create.detach_keys,
    })
}

/// A size of the terminal, which versions before 1.42 did not set.
pub(crate) fn terminal_size(
    size: Option<[u32; 2]>,
    tty: bool,
    version: Version,
) -> Option<TerminalSize> {
    let [rows, columns] = size?.map(|cells| u16::try_from(cells).unwrap_or(u16::MAX));
    (tty && version.has(42) && rows > 0 && columns > 0).then_some(TerminalSize { rows, columns })
}

/// What is known of an exec.
pub(crate) fn from_model(id: String, container: Id, status: ExecStatus) -> Inspect {
    let ExecStatus {
        spec,
        running,
        pid,
        exit_code,
    } = status;
    let mut args = spec.args.into_iter();
    Inspect {
        id,
        running,
        exit_code: exit_code.filter(|_| !running),
        process_config: ProcessConfig {
            tty: spec.tty,
            entrypoint: args.next().unwrap_or_default(),
            arguments: args.collect(),
            privileged: spec.privileged,
            user: spec.user,
        },
        open_stdin: spec.stdin,
        open_stderr: spec.stderr,
        open_stdout: spec.stdout,
        can_remove: exit_code.is_some(),
        container_id: docker_id(container),
        detach_keys: spec.detach_keys,
        pid,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_checked() {
        let refusal = |create| to_model(create, Version::MAX).unwrap_err().message;
        assert_eq!(refusal(Create::default()), "No exec command specified");
        let create = Create {
            cmd: vec!["sh".to_owned()],
            ..Create::default()
        };
        assert!(
            refusal(Create {
                working_dir: "x".to_owned(),
                ..create.clone()
            })
            .contains("absolute")
        );
        assert_eq!(
            refusal(Create {
                env: vec!["=x".to_owned()],
                ..create
            }),
            "invalid environment variable: =x"
        );
    }

    #[test]
    fn a_terminal_has_a_size_from_1_42_on() {
        let size = Some([24, 80]);
        assert_eq!(
            terminal_size(size, true, Version::MAX),
            Some(TerminalSize {
                rows: 24,
                columns: 80
            })
        );
        assert_eq!(terminal_size(size, true, Version::new(1, 41)), None);
        assert_eq!(terminal_size(size, false, Version::MAX), None);
    }
}
