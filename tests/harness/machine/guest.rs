//! A running virtual machine, and the shell in it.
//!
//! The first serial line is the kernel's console, kept in a file; the second is the shell's, see
//! `init.sh` for what is spoken on it.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::docker::Answer;

/// How long the machine may take to boot, or a script to end. Without the processor's help a
/// machine is slow.
const ANSWERS_WITHIN: Duration = Duration::from_secs(300);

/// A running machine. Dropping it takes its power away.
pub(super) struct Guest {
    machine: Child,
    requests: ChildStdin,
    answers: Receiver<Answer>,
    console: PathBuf,
}

impl Guest {
    /// Boots, and waits for the shell.
    pub(super) fn boot(
        kernel: &Path,
        initramfs: &Path,
        disk: &Path,
        console: &Path,
    ) -> Result<Self> {
        let mut machine = Command::new("qemu-system-x86_64")
            .args(["-accel", accelerator()?, "-cpu", "max"])
            .args(["-smp", "2", "-m", "1024", "-no-reboot", "-nodefaults"])
            .args(["-display", "none"])
            .arg("-kernel")
            .arg(kernel)
            .arg("-initrd")
            .arg(initramfs)
            .args([
                "-append",
                "console=ttyS0 cgroup_no_v1=all panic=-1 mitigations=off",
            ])
            .arg("-drive")
            .arg(format!("file={},if=virtio,format=raw", disk.display()))
            .arg("-serial")
            .arg(format!("file:{}", console.display()))
            .args(["-serial", "stdio"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(console.with_extension("qemu"))?)
            .spawn()
            .context("install qemu-system-x86")?;
        let requests = machine.stdin.take().context("it was piped")?;
        let stdout = machine.stdout.take().context("it was piped")?;
        let (sender, answers) = channel();
        std::thread::spawn(move || {
            let mut stdout = BufReader::new(stdout);
            // The first line says that the shell is there.
            let mut next = stdout.read_line(&mut String::new()).map(|_| Answer {
                code: 0,
                stdout: String::new(),
                stderr: String::new(),
            });
            // It ends with the machine, and the other end is told by that.
            while let Ok(answer) = next {
                if sender.send(answer).is_err() {
                    return;
                }
                next = read_answer(&mut stdout);
            }
        });
        let guest = Self {
            machine,
            requests,
            answers,
            console: console.to_owned(),
        };
        guest.answer().context("boot")?;
        Ok(guest)
    }

    /// Runs a script to its end.
    pub(super) fn run(&mut self, script: &str) -> Result<Answer> {
        let script = format!("{script}\n");
        write!(self.requests, "{}\n{script}", script.len())?;
        self.requests.flush()?;
        self.answer().with_context(|| script)
    }

    /// Takes the power away.
    pub(super) fn kill(&mut self) -> Result<()> {
        self.machine.kill()?;
        self.machine.wait()?;
        Ok(())
    }

    fn answer(&self) -> Result<Answer> {
        let Ok(answer) = self.answers.recv_timeout(ANSWERS_WITHIN) else {
            let mut told = std::fs::read_to_string(self.console.with_extension("qemu"))?;
            told += &String::from_utf8_lossy(&std::fs::read(&self.console)?);
            let lines: Vec<&str> = told.lines().collect();
            let tail = lines[lines.len().saturating_sub(40)..].join("\n");
            bail!("the machine does not answer; its console:\n{tail}");
        };
        Ok(answer)
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        // It may be killed already, and its disk goes with it.
        let _killed = self.kill();
    }
}

/// The processor's help where it has any: a `/dev/kvm` without it exists inside other virtual
/// machines, and does not run every kernel. Without it both processors take turns: in threads of their own,
/// QEMU at times goes on with code that the kernel has just replaced, and the machine stands still.
fn accelerator() -> Result<&'static str> {
    let processors = std::fs::read_to_string("/proc/cpuinfo")?;
    let mut flags = processors.split_whitespace();
    let helps = flags.any(|flag| flag == "vmx" || flag == "svm");
    Ok(if helps && Path::new("/dev/kvm").exists() {
        "kvm"
    } else {
        "tcg,thread=single"
    })
}

fn read_answer(stdout: &mut BufReader<ChildStdout>) -> std::io::Result<Answer> {
    let mut head = String::new();
    stdout.read_line(&mut head)?;
    let numbers: Vec<u64> = head
        .split_whitespace()
        .filter_map(|number| number.parse().ok())
        .collect();
    let [code, out, err] = numbers.as_slice() else {
        return Err(std::io::Error::other(format!("not an answer: {head:?}")));
    };
    let mut text = |length: u64| -> std::io::Result<String> {
        let mut bytes = Vec::new();
        stdout.take(length).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    Ok(Answer {
        code: i32::try_from(*code).unwrap_or(-1),
        stdout: text(*out)?,
        stderr: text(*err)?,
    })
}
