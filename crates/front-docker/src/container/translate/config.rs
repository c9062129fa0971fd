//! What an image may fill in of `Config`: how it is asked for, and how inspect shows what became of
//! it. The rules of filling in are not here but in `actions`. Pure.
//!
//! Source: moby, `daemon/create.go`, `mergeAndVerifyConfig`, and `daemon/health.go`.

use model::container::{ContainerSpec, HealthCheck};
use model::image::Defaults;

use crate::container::wire::{Config, Healthcheck};

/// The shell of a health check in shell form, where the request names none.
const SHELL: [&str; 2] = ["/bin/sh", "-c"];

/// The entrypoint and the command to ask for; `None` leaves it to the image.
pub(crate) fn arguments(config: &Config) -> (Option<Vec<String>>, Option<Vec<String>>) {
    let command = config.cmd.clone().filter(|command| !command.is_empty());
    match config.entrypoint.as_deref() {
        // One empty string drops the image's command too, as any entrypoint does, but is none.
        Some([word]) if word.is_empty() => (Some(Vec::new()), Some(command.unwrap_or_default())),
        _ => (config.entrypoint.clone(), command),
    }
}

/// The health check to ask for; `None` leaves it to the image, an empty one switches it off.
pub(crate) fn health_check(config: &Config) -> Option<HealthCheck> {
    let check = config
        .healthcheck
        .as_ref()
        .filter(|check| **check != Healthcheck::default())?;
    let args = match check.test.split_first() {
        // Other times for the image's check.
        None => Vec::new(),
        Some((kind, args)) if kind == "CMD" && !args.is_empty() => args.to_vec(),
        Some((kind, args)) if kind == "CMD-SHELL" => {
            let mut line = match config.shell.as_deref() {
                Some(shell) if !shell.is_empty() => shell.to_vec(),
                Some(_) | None => SHELL.map(ToOwned::to_owned).to_vec(),
            };
            line.extend(args.iter().cloned());
            line
        }
        // NONE, and what dockerd does not know either.
        Some(_) => return Some(HealthCheck::default()),
    };
    let nanoseconds = |value: i64| u64::try_from(value).unwrap_or(0);
    Some(HealthCheck {
        args,
        interval_ns: nanoseconds(check.interval),
        timeout_ns: nanoseconds(check.timeout),
        start_period_ns: nanoseconds(check.start_period),
        start_interval_ns: nanoseconds(check.start_interval),
        retries: u32::try_from(check.retries).unwrap_or(u32::MAX),
    })
}

/// Adds the ports and volumes that the image declares: Docker alone keeps declarations.
pub(crate) fn declare(config: &mut Config, defaults: &Defaults) {
    for port in &defaults.exposed_ports {
        config.exposed_ports.entry(port.clone()).or_default();
    }
    if !defaults.volumes.is_empty() {
        let volumes = config.volumes.get_or_insert_default();
        for path in &defaults.volumes {
            volumes.entry(path.clone()).or_default();
        }
    }
}

/// What an image of a container with this configuration starts with.
pub(crate) fn defaults(config: &Config) -> Defaults {
    let list = |list: &Option<Vec<String>>| list.clone().unwrap_or_default();
    Defaults {
        user: config.user.clone(),
        exposed_ports: config.exposed_ports.keys().cloned().collect(),
        env: list(&config.env),
        entrypoint: list(&config.entrypoint),
        command: list(&config.cmd),
        volumes: config
            .volumes
            .iter()
            .flatten()
            .map(|(path, _)| path.clone())
            .collect(),
        working_dir: config.working_dir.clone(),
        labels: config.labels.clone(),
        stop_signal: Some(config.stop_signal.clone()).filter(|signal| !signal.is_empty()),
        health_check: health_check(config),
        on_build: list(&config.on_build),
        shell: list(&config.shell),
    }
}

/// The configuration as inspect shows it: as asked for, with what the image filled in.
pub(crate) fn shown(mut config: Config, container: &ContainerSpec) -> Config {
    let (entrypoint, command) = container
        .args
        .split_at(container.entrypoint_args.min(container.args.len()));
    // Nothing is `null`, unless an empty list was asked for.
    let list = |list: &[String], asked: Option<Vec<String>>| {
        Some(list.to_vec())
            .filter(|list| !list.is_empty())
            .or_else(|| asked.filter(Vec::is_empty))
    };
    Config {
        image: container.image.clone(),
        user: container.user.clone(),
        env: Some(container.env.clone()).filter(|env| !env.is_empty()),
        entrypoint: list(entrypoint, config.entrypoint.take()),
        cmd: list(command, config.cmd.take()),
        working_dir: container.working_dir.clone(),
        stop_signal: container.stop_signal.clone().unwrap_or_default(),
        healthcheck: shown_health_check(config.healthcheck.take(), container.health_check.as_ref()),
        ..config
    }
}

/// The health check as inspect shows it: as asked for, with what the image filled in.
pub(crate) fn shown_health_check(
    asked: Option<Healthcheck>,
    check: Option<&HealthCheck>,
) -> Option<Healthcheck> {
    let Some(check) = check else {
        return asked;
    };
    let mut shown = asked.unwrap_or_default();
    if shown.test.is_empty() {
        shown.test = match check.args.as_slice() {
            [] => vec!["NONE".to_owned()],
            [shell, flag, line] if [shell, flag] == SHELL => {
                vec!["CMD-SHELL".to_owned(), line.clone()]
            }
            args => std::iter::once("CMD".to_owned())
                .chain(args.iter().cloned())
                .collect(),
        };
    }
    for (own, inherited) in [
        (&mut shown.interval, check.interval_ns),
        (&mut shown.timeout, check.timeout_ns),
        (&mut shown.start_period, check.start_period_ns),
        (&mut shown.start_interval, check.start_interval_ns),
        (&mut shown.retries, u64::from(check.retries)),
    ] {
        if *own == 0 {
            *own = i64::try_from(inherited).unwrap_or(i64::MAX);
        }
    }
    Some(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(args: &[&str]) -> Option<Vec<String>> {
        Some(args.iter().map(|arg| (*arg).to_owned()).collect())
    }

    fn check(test: &[&str], interval: i64) -> Config {
        Config {
            healthcheck: Some(Healthcheck {
                test: list(test).unwrap_or_default(),
                interval,
                ..Healthcheck::default()
            }),
            ..Config::default()
        }
    }

    #[test]
    fn arguments_left_out_are_the_images() {
        let asked = |entrypoint, cmd| {
            arguments(&Config {
                entrypoint,
                cmd,
                ..Config::default()
            })
        };
        assert_eq!(asked(None, None), (None, None));
        assert_eq!(asked(None, list(&[])), (None, None));
        assert_eq!(asked(list(&["/sh"]), None), (list(&["/sh"]), None));
        assert_eq!(asked(list(&[]), None), (list(&[]), None));
        assert_eq!(asked(list(&[""]), None), (list(&[]), list(&[])));
        assert_eq!(asked(list(&[""]), list(&["x"])), (list(&[]), list(&["x"])));
    }

    #[test]
    fn health_checks_are_left_to_the_image_changed_and_switched_off() {
        let args = |config: &Config| health_check(config).map(|check| check.args);
        assert_eq!(health_check(&Config::default()), None);
        assert_eq!(health_check(&check(&[], 0)), None);
        assert_eq!(health_check(&check(&[], 7)).unwrap().interval_ns, 7);
        assert_eq!(args(&check(&["CMD", "x"], 0)), list(&["x"]));
        assert_eq!(
            args(&check(&["CMD-SHELL", "x"], 0)),
            list(&["/bin/sh", "-c", "x"])
        );
        for off in [["NONE"], ["CMD"]] {
            assert_eq!(health_check(&check(&off, 7)), Some(HealthCheck::default()));
        }
    }

    #[test]
    fn what_the_image_filled_in_is_shown() {
        let container = ContainerSpec {
            args: list(&["/entry", "serve"]).unwrap(),
            entrypoint_args: 1,
            env: list(&["PATH=/bin"]).unwrap(),
            health_check: Some(HealthCheck {
                args: list(&["/bin/sh", "-c", "test -f /ok"]).unwrap(),
                interval_ns: 9,
                retries: 2,
                ..HealthCheck::default()
            }),
            ..ContainerSpec::default()
        };
        let config = shown(check(&[], 7), &container);
        assert_eq!(config.entrypoint, list(&["/entry"]));
        assert_eq!(config.cmd, list(&["serve"]));
        assert_eq!(config.env, list(&["PATH=/bin"]));
        let shown = config.healthcheck.unwrap();
        assert_eq!(shown.test, ["CMD-SHELL", "test -f /ok"]);
        assert_eq!((shown.interval, shown.retries), (7, 2));
    }

    #[test]
    fn lists_that_are_empty_are_shown_as_they_were_asked_for() {
        let container = ContainerSpec {
            args: list(&["x"]).unwrap(),
            ..ContainerSpec::default()
        };
        for (asked, wanted) in [(None, None), (list(&[]), list(&[])), (list(&[""]), None)] {
            let config = Config {
                entrypoint: asked,
                ..Config::default()
            };
            assert_eq!(shown(config, &container).entrypoint, wanted);
        }
    }

    #[test]
    fn a_check_that_is_off_is_shown_as_none() {
        let container = ContainerSpec {
            health_check: Some(HealthCheck::default()),
            ..ContainerSpec::default()
        };
        let test = |config| shown(config, &container).healthcheck.unwrap().test;
        assert_eq!(test(Config::default()), ["NONE"]);
        assert_eq!(test(check(&["NONE"], 0)), ["NONE"]);
        assert_eq!(
            shown(Config::default(), &ContainerSpec::default()).healthcheck,
            None
        );
    }
}
