//! Shapes of exec requests and answers, named as in Go.
//!
//! Spec: Docker Engine API 1.51, `ExecConfig`, `ExecStartConfig`, `ExecInspectResponse`.

use serde::{Deserialize, Serialize};

use crate::json::Shape;

/// A process to prepare.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(crate) struct Create {
    pub(crate) user: String,
    pub(crate) privileged: bool,
    pub(crate) tty: bool,
    pub(crate) console_size: Option<[u32; 2]>,
    pub(crate) attach_stdin: bool,
    pub(crate) attach_stderr: bool,
    pub(crate) attach_stdout: bool,
    pub(crate) detach_keys: String,
    pub(crate) env: Vec<String>,
    pub(crate) working_dir: String,
    pub(crate) cmd: Vec<String>,
}

impl Shape for Create {
    const NAME: &'static str = "ExecOptions";
}

/// How to run it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(crate) struct Start {
    pub(crate) detach: bool,
    pub(crate) tty: bool,
    pub(crate) console_size: Option<[u32; 2]>,
}

impl Shape for Start {
    const NAME: &'static str = "ExecStartOptions";
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Created {
    pub(crate) id: String,
}

/// What is known of one.
#[derive(Debug, Serialize)]
pub(crate) struct Inspect {
    #[serde(rename = "ID")]
    pub(crate) id: String,
    #[serde(rename = "Running")]
    pub(crate) running: bool,
    #[serde(rename = "ExitCode")]
    pub(crate) exit_code: Option<i32>,
    #[serde(rename = "ProcessConfig")]
    pub(crate) process_config: ProcessConfig,
    #[serde(rename = "OpenStdin")]
    pub(crate) open_stdin: bool,
    #[serde(rename = "OpenStderr")]
    pub(crate) open_stderr: bool,
    #[serde(rename = "OpenStdout")]
    pub(crate) open_stdout: bool,
    #[serde(rename = "CanRemove")]
    pub(crate) can_remove: bool,
    #[serde(rename = "ContainerID")]
    pub(crate) container_id: String,
    #[serde(rename = "DetachKeys")]
    pub(crate) detach_keys: String,
    #[serde(rename = "Pid")]
    pub(crate) pid: u32,
}

#[derive(Debug, Serialize)]
pub(crate) struct ProcessConfig {
    pub(crate) tty: bool,
    pub(crate) entrypoint: String,
    pub(crate) arguments: Vec<String>,
    pub(crate) privileged: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) user: String,
}
