//! Instructions of a Dockerfile that change only an image's configuration, applied to its defaults.
//!
//! Lines of `docker import --change` and `docker commit --change` are such; the builder has them one
//! by one. Pure. Source: Dockerfile reference; the list of instructions is Docker's.

use std::time::Duration;

use model::container::HealthCheck;
use model::image::Defaults;

use words::{Scope, WordError};

mod glob;
pub mod words;

/// Why a change line was refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// An instruction that changes no defaults, or is none.
    #[error("{instruction} is not a valid change command")]
    UnknownInstruction {
        /// The first word of the line.
        instruction: String,
    },
    /// An instruction without what it needs.
    #[error("{instruction} {problem}: {line:?}")]
    InvalidArguments {
        /// The first word of the line.
        instruction: String,
        /// What is wrong.
        problem: Problem,
        /// The whole line.
        line: String,
    },
}

/// What is wrong with an instruction.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// It breaks a rule of its own.
    #[error("{0}")]
    Rule(&'static str),
    /// Its words.
    #[error(transparent)]
    Words(#[from] WordError),
}

impl From<&'static str> for Problem {
    fn from(rule: &'static str) -> Self {
        Self::Rule(rule)
    }
}

/// What else the variables of an instruction are, and how it is written.
#[derive(Clone, Copy, Debug)]
pub struct Setting<'a> {
    /// `NAME=value`, beside what the environment has, which wins.
    pub arguments: &'a [String],
    /// The escape sign.
    pub escape: char,
}

impl Default for Setting<'_> {
    fn default() -> Self {
        Self {
            arguments: &[],
            escape: '\\',
        }
    }
}

/// Applies change lines (`CMD ["sh"]`, `ENV A=b`, ...) in their order.
///
/// # Errors
/// The first line that is no change; `defaults` is untouched then.
pub fn apply(lines: &[String], defaults: &mut Defaults) -> Result<(), ChangeError> {
    let mut changed = defaults.clone();
    for line in lines.iter().flat_map(|text| text.lines()).map(str::trim) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (instruction, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        apply_one(instruction, rest.trim(), Setting::default(), &mut changed)?;
    }
    *defaults = changed;
    Ok(())
}

/// Applies one instruction, of any case, with what follows it.
///
/// # Errors
/// When it changes no configuration, or is wrong.
pub fn apply_one(
    instruction: &str,
    rest: &str,
    setting: Setting<'_>,
    defaults: &mut Defaults,
) -> Result<(), ChangeError> {
    let instruction = instruction.to_ascii_uppercase();
    let variables = [setting.arguments, &defaults.env].concat();
    let scope = Scope {
        variables: &variables,
        escape: setting.escape,
    };
    let needs_argument = instruction != "CMD" && instruction != "ENTRYPOINT";
    let outcome = match instruction.as_str() {
        "CMD" | "ENTRYPOINT" | "ENV" | "EXPOSE" | "HEALTHCHECK" | "LABEL" | "ONBUILD"
        | "STOPSIGNAL" | "USER" | "VOLUME" | "WORKDIR"
            if rest.is_empty() && needs_argument =>
        {
            Err("requires at least one argument".into())
        }
        "CMD" => {
            defaults.command = command(rest, &defaults.shell);
            Ok(())
        }
        "ENTRYPOINT" => {
            defaults.entrypoint = command(rest, &defaults.shell);
            Ok(())
        }
        "ENV" => env(rest, scope, defaults),
        "EXPOSE" => expose(rest, scope, defaults),
        "HEALTHCHECK" => health_check(rest, defaults).map_err(Problem::from),
        "LABEL" => assignments(rest, scope).map(|labels| defaults.labels.extend(labels)),
        "ONBUILD" => on_build(rest, defaults).map_err(Problem::from),
        "STOPSIGNAL" => scope
            .expand(rest)
            .map(|signal| defaults.stop_signal = Some(signal))
            .map_err(Problem::from),
        "USER" => scope
            .expand(rest)
            .map(|user| defaults.user = user)
            .map_err(Problem::from),
        "VOLUME" => volume(rest, scope, defaults),
        "WORKDIR" => scope
            .expand(rest)
            .map(|path| working_dir(&path, defaults))
            .map_err(Problem::from),
        _ => return Err(ChangeError::UnknownInstruction { instruction }),
    };
    outcome.map_err(|problem| ChangeError::InvalidArguments {
        line: format!("{instruction} {rest}"),
        instruction,
        problem,
    })
}

/// `name=value` pairs; or, as it was once written, one name and the rest of the line.
fn assignments(text: &str, scope: Scope<'_>) -> Result<Vec<(String, String)>, Problem> {
    const PROBLEM: &str = "needs name=value";
    let first = text.split(char::is_whitespace).next().unwrap_or_default();
    if !first.contains('=') {
        let (name, value) = text.split_once(char::is_whitespace).ok_or(PROBLEM)?;
        return Ok(vec![(name.to_owned(), scope.expand(value.trim())?)]);
    }
    let is_named = |pair: &(String, String)| !pair.0.is_empty();
    scope
        .split(text)?
        .into_iter()
        .map(|word| {
            let pair = word
                .split_once('=')
                .map(|(name, value)| (name.to_owned(), value.to_owned()));
            pair.filter(is_named).ok_or_else(|| PROBLEM.into())
        })
        .collect()
}

/// The words of a command: a JSON list as it is; anything else is for the shell.
#[must_use]
pub fn command(text: &str, shell: &[String]) -> Vec<String> {
    if let Ok(list) = serde_json::from_str(text) {
        return list;
    }
    if text.is_empty() {
        return Vec::new();
    }
    let default_shell = ["/bin/sh".to_owned(), "-c".to_owned()];
    let shell = if shell.is_empty() {
        &default_shell
    } else {
        shell
    };
    shell.iter().cloned().chain([text.to_owned()]).collect()
}

fn env(text: &str, scope: Scope<'_>, defaults: &mut Defaults) -> Result<(), Problem> {
    for (name, value) in assignments(text, scope)? {
        let prefix = format!("{name}=");
        let variable = format!("{prefix}{value}");
        match defaults
            .env
            .iter_mut()
            .find(|known| known.starts_with(&prefix))
        {
            Some(known) => *known = variable,
            None => defaults.env.push(variable),
        }
    }
    Ok(())
}

fn expose(text: &str, scope: Scope<'_>, defaults: &mut Defaults) -> Result<(), Problem> {
    const PROBLEM: &str = "needs ports such as 80, 53/udp or 8000-8010";
    for word in scope.split_values(text)? {
        let (ports, protocol) = word.split_once('/').unwrap_or((&word, "tcp"));
        let protocol = protocol.to_ascii_lowercase();
        let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
        let range = first.parse::<u16>().ok().zip(last.parse::<u16>().ok());
        let (first, last) = range
            .filter(|(first, last)| *first > 0 && first <= last)
            .ok_or(PROBLEM)?;
        if !matches!(protocol.as_str(), "tcp" | "udp" | "sctp") {
            return Err(PROBLEM.into());
        }
        for port in first..=last {
            let exposed = &mut defaults.exposed_ports;
            exposed.insert(format!("{port}/{protocol}"));
        }
    }
    Ok(())
}

fn volume(text: &str, scope: Scope<'_>, defaults: &mut Defaults) -> Result<(), Problem> {
    let paths = match serde_json::from_str::<Vec<String>>(text) {
        Ok(list) => list
            .iter()
            .map(|path| scope.expand(path))
            .collect::<Result<_, _>>()?,
        Err(_) => scope.split(text)?,
    };
    for path in paths {
        if path.trim().is_empty() {
            return Err("specified can not be an empty string".into());
        }
        defaults.volumes.insert(path);
    }
    Ok(())
}

fn working_dir(path: &str, defaults: &mut Defaults) {
    let before = if defaults.working_dir.is_empty() {
        "/"
    } else {
        &defaults.working_dir
    };
    let joined = std::path::Path::new("/").join(before).join(path);
    defaults.working_dir = format!("/{}", rooted::normalized(&joined).display());
}

fn on_build(text: &str, defaults: &mut Defaults) -> Result<(), &'static str> {
    let trigger = text
        .split_whitespace()
        .next()
        .unwrap_or_default()
        .to_ascii_uppercase();
    match trigger.as_str() {
        "ONBUILD" => Err("cannot be chained"),
        "FROM" | "MAINTAINER" => Err("does not allow FROM and MAINTAINER as triggers"),
        _ => {
            defaults.on_build.push(text.to_owned());
            Ok(())
        }
    }
}

/// `NONE`, or flags and `CMD` with a command.
fn health_check(text: &str, defaults: &mut Defaults) -> Result<(), &'static str> {
    let mut check = HealthCheck {
        args: Vec::new(),
        interval_ns: 0,
        timeout_ns: 0,
        start_period_ns: 0,
        start_interval_ns: 0,
        retries: 0,
    };
    let mut rest = text;
    while let Some(flag) = rest.strip_prefix("--") {
        let (flag, after) = flag
            .split_once(char::is_whitespace)
            .ok_or("needs CMD or NONE")?;
        let (name, value) = flag.split_once('=').ok_or("has a flag without a value")?;
        let nanoseconds = || go_duration(value).ok_or("has an invalid duration");
        match name {
            "interval" => check.interval_ns = nanoseconds()?,
            "timeout" => check.timeout_ns = nanoseconds()?,
            "start-period" => check.start_period_ns = nanoseconds()?,
            "start-interval" => check.start_interval_ns = nanoseconds()?,
            "retries" => check.retries = value.parse().map_err(|_| "has invalid retries")?,
            _ => return Err("has an unknown flag"),
        }
        rest = after.trim_start();
    }
    let (kind, args) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    match kind.to_ascii_uppercase().as_str() {
        "NONE" if args.trim().is_empty() => {}
        "NONE" => return Err("NONE takes no arguments"),
        "CMD" if !args.trim().is_empty() => check.args = command(args.trim(), &defaults.shell),
        "CMD" => return Err("has a missing command after CMD"),
        _ => return Err("needs CMD or NONE"),
    }
    defaults.health_check = Some(check);
    Ok(())
}

/// Nanoseconds of Go's notation: `1m30s`, `1.5h`, `250ms`.
fn go_duration(text: &str) -> Option<u64> {
    let mut rest = text;
    let mut sum = Duration::ZERO;
    while !rest.is_empty() {
        let unit_at = rest.find(|sign: char| !sign.is_ascii_digit() && sign != '.')?;
        let (number, after) = rest.split_at(unit_at);
        let unit_end = after
            .find(|sign: char| sign.is_ascii_digit() || sign == '.')
            .unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_end);
        let seconds = match unit {
            "ns" => 1e-9,
            "us" | "µs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        let part = Duration::try_from_secs_f64(number.parse::<f64>().ok()? * seconds).ok()?;
        sum = sum.checked_add(part)?;
        rest = after;
    }
    u64::try_from(sum.as_nanos())
        .ok()
        .filter(|_| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(lines: &[&str]) -> Result<Defaults, ChangeError> {
        let mut defaults = Defaults::default();
        let lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
        apply(&lines, &mut defaults).map(|()| defaults)
    }

    #[test]
    fn every_instruction_changes_its_part() {
        let defaults = applied(&[
            r#"CMD ["sh", "-l"]"#,
            "entrypoint echo hi",
            r#"ENV A=b C="d e" F=g\ h"#,
            "ENV OLD the rest of the line",
            "ENV A=${A}2 N=${NONE:-z}",
            "EXPOSE 80 53/udp 8000-8001",
            "LABEL k=v 'q'='$A'",
            "ONBUILD RUN make",
            "STOPSIGNAL SIGQUIT",
            "USER 1:2",
            r#"VOLUME ["/data dir"]"#,
            "VOLUME /a /b",
            "WORKDIR /srv",
            "WORKDIR app/../web",
            "HEALTHCHECK --interval=1m30s --retries=2 CMD curl -f x",
        ])
        .unwrap();
        assert_eq!(defaults.command, ["sh", "-l"]);
        assert_eq!(defaults.entrypoint, ["/bin/sh", "-c", "echo hi"]);
        assert_eq!(
            defaults.env,
            ["A=b2", "C=d e", "F=g h", "OLD=the rest of the line", "N=z"]
        );
        assert_eq!(
            defaults.exposed_ports,
            ["53/udp", "80/tcp", "8000/tcp", "8001/tcp"]
                .map(str::to_owned)
                .into()
        );
        assert_eq!(
            defaults.labels,
            [
                ("k".to_owned(), "v".to_owned()),
                ("q".to_owned(), "$A".to_owned())
            ]
            .into()
        );
        assert_eq!(defaults.on_build, ["RUN make"]);
        assert_eq!(defaults.stop_signal.as_deref(), Some("SIGQUIT"));
        assert_eq!(defaults.user, "1:2");
        assert_eq!(
            defaults.volumes,
            ["/a", "/b", "/data dir"].map(str::to_owned).into()
        );
        assert_eq!(defaults.working_dir, "/srv/web");
        let check = defaults.health_check.unwrap();
        assert_eq!(check.args, ["/bin/sh", "-c", "curl -f x"]);
        assert_eq!((check.interval_ns, check.retries), (90_000_000_000, 2));
    }

    /// Each is looked up among those before it: in a list that took minutes.
    #[test]
    fn every_port_there_is_can_be_exposed() {
        let all = "EXPOSE 1-65535 1-65535/udp 1-65535/sctp";
        let defaults = applied(&[all, all]).unwrap();
        assert_eq!(defaults.exposed_ports.len(), 3 * 65_535);
    }

    #[test]
    fn what_is_no_change_is_refused_and_changes_nothing() {
        for line in [
            "ENV",
            "ENV A",
            "EXPOSE x",
            "EXPOSE 0",
            "EXPOSE 9-8",
            "EXPOSE 80/foo",
            "HEALTHCHECK",
            "HEALTHCHECK CMD",
            "HEALTHCHECK --interval=5 CMD x",
            "HEALTHCHECK NONE x",
            "ONBUILD ONBUILD RUN x",
            "ONBUILD FROM x",
            "USER",
            "LABEL 'open=x",
            "VOLUME [\"\"]",
        ] {
            assert!(
                matches!(applied(&[line]), Err(ChangeError::InvalidArguments { .. })),
                "{line}"
            );
        }
        let error = applied(&["USER x", "RUN make"]).unwrap_err();
        assert_eq!(error.to_string(), "RUN is not a valid change command");
        let mut untouched = Defaults::default();
        assert!(apply(&["USER x".to_owned(), "FROM y".to_owned()], &mut untouched).is_err());
        assert_eq!(untouched, Defaults::default());
    }
}
