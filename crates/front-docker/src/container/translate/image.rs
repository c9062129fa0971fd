//! What an image brings to a container's configuration, as inspect shows it. Pure.
//!
//! Source: moby, `daemon/commit.go`, `merge`, and `daemon/container.go`.

use model::container::HealthCheck;
use model::image::Defaults;

use crate::container::wire::{Config, Healthcheck};

/// The shell of a health check in shell form, where the image names none.
const SHELL: [&str; 2] = ["/bin/sh", "-c"];

/// Fills in what the request leaves open; what it says wins, by name.
pub(crate) fn merge(config: &mut Config, defaults: &Defaults) {
    if config.user.is_empty() {
        config.user.clone_from(&defaults.user);
    }
    for port in &defaults.exposed_ports {
        config.exposed_ports.entry(port.clone()).or_default();
    }
    merge_env(config, &defaults.env);
    for (key, value) in &defaults.labels {
        config
            .labels
            .entry(key.clone())
            .or_insert_with(|| value.clone());
    }
    let is_empty = |list: &Option<Vec<String>>| list.as_ref().is_none_or(Vec::is_empty);
    if is_empty(&config.entrypoint) {
        if is_empty(&config.cmd) {
            config.cmd = Some(defaults.command.clone()).filter(|command| !command.is_empty());
        }
        // An empty list takes the image's entrypoint away; nothing takes it over.
        if config.entrypoint.is_none() {
            config.entrypoint =
                Some(defaults.entrypoint.clone()).filter(|entrypoint| !entrypoint.is_empty());
        }
    }
    if config.shell.is_none() && !defaults.shell.is_empty() {
        config.shell = Some(defaults.shell.clone());
    }
    if let Some(check) = &defaults.health_check {
        merge_health_check(config.healthcheck.get_or_insert_default(), check);
    }
    if config.working_dir.is_empty() {
        config.working_dir.clone_from(&defaults.working_dir);
    }
    if !defaults.volumes.is_empty() {
        let volumes = config.volumes.get_or_insert_default();
        for path in &defaults.volumes {
            volumes.entry(path.clone()).or_default();
        }
    }
    if config.stop_signal.is_empty() {
        config.stop_signal = defaults.stop_signal.clone().unwrap_or_default();
    }
}

fn merge_env(config: &mut Config, defaults: &[String]) {
    let name = |entry: &str| {
        entry
            .split_once('=')
            .map_or(entry, |(name, _)| name)
            .to_owned()
    };
    let mut env = config.env.take().unwrap_or_default();
    let given: Vec<_> = env.iter().map(|entry| name(entry)).collect();
    env.extend(
        defaults
            .iter()
            .filter(|entry| !given.contains(&name(entry)))
            .cloned(),
    );
    config.env = Some(env).filter(|env| !env.is_empty());
}

fn merge_health_check(own: &mut Healthcheck, image: &HealthCheck) {
    if own.test.is_empty() {
        own.test = match image.args.as_slice() {
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
        (&mut own.interval, image.interval_ns),
        (&mut own.timeout, image.timeout_ns),
        (&mut own.start_period, image.start_period_ns),
        (&mut own.start_interval, image.start_interval_ns),
        (&mut own.retries, u64::from(image.retries)),
    ] {
        if *own == 0 {
            *own = i64::try_from(inherited).unwrap_or(i64::MAX);
        }
    }
}

/// The health check of a merged configuration. `Some` without arguments is none, whatever the image
/// says.
pub(crate) fn health_check(config: &Config) -> Option<HealthCheck> {
    let check = config.healthcheck.as_ref()?;
    let shell = || match config.shell.as_deref() {
        Some(shell) if !shell.is_empty() => shell.to_vec(),
        Some(_) | None => SHELL.map(ToOwned::to_owned).to_vec(),
    };
    let args = match check.test.split_first() {
        Some((kind, args)) if kind == "CMD" => args.to_vec(),
        Some((kind, args)) if kind == "CMD-SHELL" => {
            let mut line = shell();
            line.extend(args.iter().cloned());
            line
        }
        // NONE, and what dockerd does not know either.
        Some(_) | None => return Some(HealthCheck::default()),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn defaults() -> Defaults {
        Defaults {
            entrypoint: vec!["/entry".to_owned()],
            command: vec!["serve".to_owned()],
            env: vec!["PATH=/bin".to_owned(), "MODE=image".to_owned()],
            health_check: Some(HealthCheck {
                args: ["/bin/sh", "-c", "test -f /ok"]
                    .map(ToOwned::to_owned)
                    .to_vec(),
                retries: 2,
                ..HealthCheck::default()
            }),
            ..Defaults::default()
        }
    }

    fn merged(
        entrypoint: Option<&[&str]>,
        cmd: Option<&[&str]>,
    ) -> (Option<Vec<String>>, Option<Vec<String>>) {
        let owned = |args: &[&str]| args.iter().map(|arg| (*arg).to_owned()).collect::<Vec<_>>();
        let mut config = Config {
            entrypoint: entrypoint.map(owned),
            cmd: cmd.map(owned),
            ..Config::default()
        };
        merge(&mut config, &defaults());
        (config.entrypoint, config.cmd)
    }

    fn list(args: &[&str]) -> Option<Vec<String>> {
        Some(args.iter().map(|arg| (*arg).to_owned()).collect())
    }

    #[test]
    fn an_entrypoint_of_the_request_drops_the_images_command() {
        assert_eq!(merged(None, None), (list(&["/entry"]), list(&["serve"])));
        assert_eq!(
            merged(None, Some(&["x"])),
            (list(&["/entry"]), list(&["x"]))
        );
        assert_eq!(merged(Some(&["/sh"]), None), (list(&["/sh"]), None));
        assert_eq!(merged(Some(&[]), None), (list(&[]), list(&["serve"])));
    }

    #[test]
    fn variables_of_the_request_come_first_and_win() {
        let mut config = Config {
            env: list(&["MODE=mine"]),
            ..Config::default()
        };
        merge(&mut config, &defaults());
        assert_eq!(config.env, list(&["MODE=mine", "PATH=/bin"]));
    }

    #[test]
    fn health_checks_are_inherited_changed_and_switched_off() {
        let mut config = Config::default();
        merge(&mut config, &defaults());
        assert_eq!(
            config.healthcheck.as_ref().unwrap().test,
            ["CMD-SHELL", "test -f /ok"]
        );
        assert_eq!(
            health_check(&config).unwrap().args,
            ["/bin/sh", "-c", "test -f /ok"]
        );
        let none = Healthcheck {
            test: vec!["NONE".to_owned()],
            ..Healthcheck::default()
        };
        let mut config = Config {
            healthcheck: Some(none),
            ..Config::default()
        };
        merge(&mut config, &defaults());
        assert_eq!(health_check(&config), Some(HealthCheck::default()));
    }
}
