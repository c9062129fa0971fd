//! Programs of the simulated engine: small interpretations of a process's arguments.
//!
//! A handful of busybox's programs, and of its shell what tests of containers need: sequences
//! (`;`, `&&`, `||`), `while`, `trap`, `PROGRAM & wait`, redirection and variables. As on Linux,
//! process 1 takes no signal that it does not handle, but `SIGKILL`.

mod shell;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use model::Id;
use model::instance::{Failure, FailureKind};
use model::stream::Stream;
use tokio::sync::{mpsc, watch};

use self::shell::{Command, Target, Word};
use super::World;
use super::console::{Console, Feed};
use super::files::Tree;
use crate::failure::refused;
use crate::signal;

pub(super) const SIGKILL: i32 = 9;
const SIGCHLD: i32 = 17;
const SIGCONT: i32 = 18;
const SIGURG: i32 = 23;
const SIGWINCH: i32 = 28;

const PROGRAMS: [&str; 23] = [
    "cat", "echo", "env", "exit", "false", "hostname", "ln", "ls", "mkdir", "oom", "printf", "pwd",
    "rm", "seq", "sh", "sleep", "stty", "touch", "true", "tty", "wc", "yes", "chmod",
];

/// A process about to run.
pub(super) struct Process {
    pub(super) world: Arc<World>,
    pub(super) id: Id,
    pub(super) console: Arc<Console>,
    pub(super) args: Vec<String>,
    pub(super) env: BTreeMap<String, String>,
    pub(super) hostname: String,
    pub(super) working_dir: String,
    /// It is process 1, which takes no signal that it does not handle.
    pub(super) is_first: bool,
    /// It is the container's own process, whose output is kept in the log.
    pub(super) is_logged: bool,
    pub(super) signals: mpsc::UnboundedReceiver<i32>,
    pub(super) paused: watch::Receiver<bool>,
    pub(super) stdin: Option<mpsc::Receiver<Feed>>,
    pub(super) traps: BTreeMap<i32, String>,
    pub(super) last_status: i32,
}

/// The process ends with this exit status.
struct Ended(i32);

/// What becomes of a command: its status, or the end of the whole process.
type Outcome = Result<i32, Ended>;

/// Where a command's output goes.
type Redirects<'a> = &'a [(Stream, Target)];

/// Refuses programs that do not exist or cannot be run, in runc's words.
pub(super) fn look_up(args: &[String], files: &Tree) -> Result<(), Failure> {
    let Some(program) = args.first() else {
        return Err(refused(FailureKind::Invalid, "no command specified"));
    };
    let name = program.strip_prefix("/bin/").unwrap_or(program);
    if PROGRAMS.contains(&name) {
        return Ok(());
    }
    if !program.contains('/') {
        let message = format!("exec: {program:?}: executable file not found in $PATH");
        return Err(refused(FailureKind::CommandNotFound, message));
    }
    match files.kind_of(program) {
        Some(_) => Err(refused(
            FailureKind::CommandNotExecutable,
            format!("exec: {program:?}: permission denied"),
        )),
        None => {
            let message = format!("exec: {program:?}: stat {program}: no such file or directory");
            Err(refused(FailureKind::CommandNotFound, message))
        }
    }
}

impl Process {
    /// Runs to the end and answers the exit status.
    pub(super) async fn run(mut self) -> i32 {
        let args = std::mem::take(&mut self.args);
        match self.program(&args, &[]).await {
            Ok(code) | Err(Ended(code)) => code,
        }
    }

    async fn program(&mut self, args: &[String], redirects: Redirects<'_>) -> Outcome {
        self.step().await?;
        let Some((program, rest)) = args.split_first() else {
            return Ok(0);
        };
        let name = program.strip_prefix("/bin/").unwrap_or(program);
        match name {
            "true" | ":" | "stty" | "chmod" => Ok(0),
            "false" => Ok(1),
            "exit" => {
                Err(Ended(rest.first().map_or(self.last_status, |code| {
                    number(code).unwrap_or(2) & 0xff
                })))
            }
            "sleep" => self.sleep(rest).await,
            "oom" => {
                self.world.tell(crate::Happening::OutOfMemory(self.id));
                self.world.finish(self.id, None, 128 + SIGKILL, true);
                Err(Ended(128 + SIGKILL))
            }
            "sh" => self.shell(rest).await,
            "trap" => self.set_trap(rest),
            "wait" => Ok(0),
            "exec" => Box::pin(self.program(rest, redirects))
                .await
                .and_then(|code| Err(Ended(code))),
            "cat" => self.cat(rest, redirects).await,
            "wc" => self.count(rest, redirects).await,
            "yes" => loop {
                self.print(redirects, Bytes::from_static(b"y\n")).await;
                self.step().await?;
                tokio::task::yield_now().await;
            },
            "echo" | "printf" | "env" | "hostname" | "pwd" | "seq" | "tty" => {
                let (text, code) = self.printed(name, rest);
                self.print(redirects, text.into()).await;
                Ok(code)
            }
            "touch" | "rm" | "mkdir" | "ln" | "ls" => {
                self.file_program(name, rest, redirects).await
            }
            _ => {
                self.print_error(&format!("sh: {program}: not found\n"))
                    .await;
                Ok(127)
            }
        }
    }

    /// What a program prints that does nothing else, and its exit status.
    fn printed(&self, name: &str, args: &[String]) -> (String, i32) {
        match name {
            "echo" => match args.split_first() {
                Some((first, rest)) if first == "-n" => (rest.join(" "), 0),
                _ => (args.join(" ") + "\n", 0),
            },
            "printf" => (
                args.first()
                    .map_or_else(String::new, |format| unescaped(format)),
                0,
            ),
            "env" => (
                self.env
                    .iter()
                    .map(|(name, value)| format!("{name}={value}\n"))
                    .collect(),
                0,
            ),
            "hostname" => (format!("{}\n", self.hostname), 0),
            "pwd" => (
                format!(
                    "{}\n",
                    if self.working_dir.is_empty() {
                        "/"
                    } else {
                        &self.working_dir
                    }
                ),
                0,
            ),
            "seq" => {
                let numbers: Vec<i32> = args.iter().filter_map(|arg| number(arg)).collect();
                let range = match numbers[..] {
                    [last] => 1..=last,
                    [first, last] => first..=last,
                    _ => return ("seq: missing operand\n".to_owned(), 1),
                };
                (range.map(|number| format!("{number}\n")).collect(), 0)
            }
            _ if self.console.tty => ("/dev/pts/0\n".to_owned(), 0),
            _ => ("not a tty\n".to_owned(), 1),
        }
    }

    async fn sleep(&mut self, args: &[String]) -> Outcome {
        let length = match args.first().map(String::as_str) {
            Some("infinity" | "inf") => Duration::from_secs(u64::from(u32::MAX)),
            Some(text) => match text
                .strip_suffix('s')
                .unwrap_or(text)
                .parse::<f64>()
                .map(Duration::try_from_secs_f64)
            {
                Ok(Ok(length)) => length,
                _ => {
                    self.print_error(&format!("sleep: invalid number '{text}'\n"))
                        .await;
                    return Ok(1);
                }
            },
            None => {
                self.print_error("sleep: missing operand\n").await;
                return Ok(1);
            }
        };
        let end = tokio::time::Instant::now() + length;
        loop {
            tokio::select! {
                biased;
                Some(signal) = self.signals.recv() => self.react(signal).await?,
                () = tokio::time::sleep_until(end) => break,
            }
        }
        self.step().await?;
        Ok(0)
    }

    /// The next input, `None` at its end.
    async fn read(&mut self) -> Result<Option<Bytes>, Ended> {
        loop {
            let Some(stdin) = &mut self.stdin else {
                return Ok(None);
            };
            let fed = tokio::select! {
                biased;
                Some(signal) = self.signals.recv() => {
                    self.react(signal).await?;
                    continue;
                }
                fed = stdin.recv() => fed,
            };
            self.step().await?;
            let Some(Feed::Bytes(bytes)) = fed else {
                self.stdin = None;
                return Ok(None);
            };
            if self.console.tty {
                // What the line discipline does: echo, and an end at ^D.
                if bytes.contains(&4) {
                    self.stdin = None;
                    return Ok(None);
                }
                self.print(&[], bytes.clone()).await;
            }
            return Ok(Some(bytes));
        }
    }

    async fn cat(&mut self, args: &[String], redirects: Redirects<'_>) -> Outcome {
        if args.is_empty() {
            while let Some(bytes) = self.read().await? {
                self.print(redirects, bytes).await;
            }
            return Ok(0);
        }
        let mut code = 0;
        for path in args {
            let read = self.with_files(|files, _| files.read(path));
            match read {
                Some(contents) => self.print(redirects, contents.into()).await,
                None => {
                    self.print_error(&format!(
                        "cat: can't open '{path}': No such file or directory\n"
                    ))
                    .await;
                    code = 1;
                }
            }
        }
        Ok(code)
    }

    async fn count(&mut self, args: &[String], redirects: Redirects<'_>) -> Outcome {
        let wants_bytes = args.first().is_some_and(|flag| flag == "-c");
        let mut count = 0;
        while let Some(bytes) = self.read().await? {
            count += if wants_bytes {
                bytes.len()
            } else {
                memchr::memchr_iter(b'\n', &bytes).count()
            };
        }
        self.print(redirects, format!("{count}\n").into()).await;
        Ok(0)
    }

    async fn file_program(
        &mut self,
        name: &str,
        args: &[String],
        redirects: Redirects<'_>,
    ) -> Outcome {
        let paths: Vec<&String> = args.iter().filter(|arg| !arg.starts_with('-')).collect();
        let listed = self.with_files(|files, now| match (name, &paths[..]) {
            ("touch", paths) => {
                for path in paths {
                    let contents = files.read(path).unwrap_or_default();
                    files.put(path, &contents, now);
                }
                Some(String::new())
            }
            ("mkdir", paths) => {
                paths.iter().for_each(|path| files.make_dir(path, now));
                Some(String::new())
            }
            ("rm", paths) => {
                paths.iter().for_each(|path| files.remove(path));
                Some(String::new())
            }
            ("ln", [target, path]) => {
                files.link(path, target, now);
                Some(String::new())
            }
            ("ls", []) => files.list("/"),
            ("ls", [path]) => files.list(path),
            _ => None,
        });
        let Some(listed) = listed else {
            self.print_error(&format!(
                "{name}: {}: No such file or directory\n",
                args.join(" ")
            ))
            .await;
            return Ok(1);
        };
        self.print(redirects, listed.into()).await;
        Ok(0)
    }

    fn with_files<T: Default>(&self, work: impl FnOnce(&mut Tree, jiff::Timestamp) -> T) -> T {
        let now = self.world.now();
        self.world
            .state()
            .instances
            .get_mut(&self.id)
            .map(|body| work(&mut body.files, now))
            .unwrap_or_default()
    }

    async fn print(&self, redirects: Redirects<'_>, bytes: Bytes) {
        self.write(Stream::Stdout, redirects, bytes).await;
    }

    async fn print_error(&self, text: &str) {
        self.write(Stream::Stderr, &[], Bytes::copy_from_slice(text.as_bytes()))
            .await;
    }

    async fn write(&self, stream: Stream, redirects: Redirects<'_>, bytes: Bytes) {
        if bytes.is_empty() {
            return;
        }
        let target = redirects
            .iter()
            .rev()
            .find(|(from, _)| *from == stream)
            .map(|(_, target)| target);
        let stream = match target {
            Some(Target::File { path, append }) => {
                self.with_files(|files, now| {
                    let mut contents = if *append {
                        files.read(path).unwrap_or_default()
                    } else {
                        Vec::new()
                    };
                    contents.extend_from_slice(&bytes);
                    files.put(path, &contents, now);
                });
                return;
            }
            Some(Target::Stream(other)) => *other,
            None => stream,
        };
        let (stream, bytes) = if self.console.tty {
            (Stream::Stdout, with_returns(&bytes))
        } else {
            (stream, bytes)
        };
        if self.is_logged {
            self.world
                .write_output(self.id, Some(&self.console), stream, bytes)
                .await;
        } else {
            self.console.write(stream, bytes).await;
        }
    }

    /// Waits while frozen, then takes the signals that came.
    async fn step(&mut self) -> Result<(), Ended> {
        self.thawed().await;
        while let Ok(signal) = self.signals.try_recv() {
            self.react(signal).await?;
        }
        Ok(())
    }

    async fn thawed(&mut self) {
        // The engine's side is gone when the instance is, and then nothing is frozen.
        drop(self.paused.wait_for(|paused| !*paused).await);
    }

    async fn react(&mut self, signal: i32) -> Result<(), Ended> {
        self.thawed().await;
        if signal == SIGKILL {
            return Err(Ended(128 + SIGKILL));
        }
        if let Some(action) = self.traps.get(&signal).cloned() {
            return Box::pin(self.script(&action)).await.map(drop);
        }
        if self.is_first || matches!(signal, SIGCHLD | SIGCONT | SIGURG | SIGWINCH) {
            return Ok(());
        }
        Err(Ended(128 + signal))
    }

    fn set_trap(&mut self, args: &[String]) -> Outcome {
        if let Some((action, signals)) = args.split_first() {
            for signal in signals {
                let Ok(signal) = signal::parse(signal) else {
                    return Ok(1);
                };
                self.traps.insert(signal, action.clone());
            }
        }
        Ok(0)
    }

    async fn shell(&mut self, args: &[String]) -> Outcome {
        match args {
            [flag, script, ..] if flag == "-c" => Box::pin(self.script(script)).await,
            _ => {
                let mut status = 0;
                while let Some(bytes) = self.read().await? {
                    status = Box::pin(self.script(&String::from_utf8_lossy(&bytes))).await?;
                }
                Ok(status)
            }
        }
    }

    async fn script(&mut self, text: &str) -> Outcome {
        match shell::parse(text) {
            Ok(commands) => self.commands(&commands).await,
            Err(unexpected) => {
                self.print_error(&format!("sh: syntax error: unexpected {unexpected:?}\n"))
                    .await;
                Ok(2)
            }
        }
    }

    async fn commands(&mut self, commands: &[Command]) -> Outcome {
        let mut background: Option<&Command> = None;
        for command in commands {
            self.last_status = match command {
                Command::Background(inner) => {
                    background = Some(inner);
                    0
                }
                Command::Simple { words, .. }
                    if words.first().is_some_and(|word| word.is("wait")) =>
                {
                    match background.take() {
                        Some(inner) => Box::pin(self.command(inner)).await?,
                        None => 0,
                    }
                }
                command => Box::pin(self.command(command)).await?,
            };
        }
        Ok(self.last_status)
    }

    async fn command(&mut self, command: &Command) -> Outcome {
        match command {
            Command::Simple { words, redirects } => {
                let args: Vec<String> = words.iter().map(|word| self.expanded(word)).collect();
                if let [assignment] = &args[..]
                    && let Some((name, value)) =
                        assignment.split_once('=').filter(|(name, _)| is_name(name))
                {
                    self.env.insert(name.to_owned(), value.to_owned());
                    return Ok(0);
                }
                self.program(&args, redirects).await
            }
            Command::And(first, second) => match Box::pin(self.command(first)).await? {
                0 => Box::pin(self.command(second)).await,
                status => Ok(status),
            },
            Command::Or(first, second) => match Box::pin(self.command(first)).await? {
                0 => Ok(0),
                _ => Box::pin(self.command(second)).await,
            },
            Command::While(condition, body) => {
                while Box::pin(self.commands(condition)).await? == 0 {
                    Box::pin(self.commands(body)).await?;
                    tokio::task::yield_now().await;
                }
                Ok(0)
            }
            Command::Background(inner) => Box::pin(self.command(inner)).await,
        }
    }

    fn expanded(&self, word: &Word) -> String {
        word.expanded(|name| match name {
            "?" => self.last_status.to_string(),
            "$" => "1".to_owned(),
            name => self.env.get(name).cloned().unwrap_or_default(),
        })
    }
}

fn number(text: &str) -> Option<i32> {
    text.parse().ok()
}

fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text
            .chars()
            .all(|char| char.is_ascii_alphanumeric() || char == '_')
}

fn unescaped(text: &str) -> String {
    text.replace("\\n", "\n")
        .replace("\\r", "\r")
        .replace("\\t", "\t")
}

/// What a terminal makes of line ends.
fn with_returns(bytes: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(bytes.len() + 8);
    for &byte in bytes {
        if byte == b'\n' {
            out.push(b'\r');
        }
        out.push(byte);
    }
    out.into()
}
