//! What an image brings to a new container where the request leaves it open. Pure.
//!
//! The rules are those that Docker and Kubernetes share, so that front ends pass on what was asked
//! for and merge nothing themselves.
//!
//! Source: moby, `daemon/commit.go`, `merge`; Kubernetes, "Define a Command and Arguments for a
//! Container".

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use model::container::{ContainerSpec, HealthCheck, Mount, MountSource};
use model::image::Defaults;

use crate::ActionError;
use crate::error::invalid;

/// Settles what runs. An entrypoint of the request drops the image's command with the image's
/// entrypoint; an empty one drops the entrypoint alone.
pub(super) fn arguments(
    container: &mut ContainerSpec,
    entrypoint: Option<Vec<String>>,
    command: Option<Vec<String>>,
    defaults: &Defaults,
) -> Result<(), ActionError> {
    let command = match (&entrypoint, command) {
        (_, Some(command)) => command,
        (Some(entrypoint), None) if !entrypoint.is_empty() => Vec::new(),
        (_, None) => defaults.command.clone(),
    };
    let mut args = entrypoint.unwrap_or_else(|| defaults.entrypoint.clone());
    container.entrypoint_args = args.len();
    args.extend(command);
    if args.is_empty() {
        return Err(invalid("no command specified"));
    }
    container.args = args;
    Ok(())
}

/// The container that an image makes of what is asked for.
pub(crate) fn completed(
    mut container: ContainerSpec,
    entrypoint: Option<Vec<String>>,
    command: Option<Vec<String>>,
    defaults: &Defaults,
) -> Result<ContainerSpec, ActionError> {
    arguments(&mut container, entrypoint, command, defaults)?;
    fill_in(&mut container, &mut BTreeMap::new(), defaults);
    Ok(container)
}

/// Fills in everything but the arguments: what the request says wins, by name.
pub(super) fn fill_in(
    container: &mut ContainerSpec,
    labels: &mut BTreeMap<String, String>,
    defaults: &Defaults,
) {
    for (key, value) in &defaults.labels {
        labels.entry(key.clone()).or_insert_with(|| value.clone());
    }
    fill_in_env(&mut container.env, &defaults.env);
    if container.user.is_empty() {
        container.user.clone_from(&defaults.user);
    }
    if container.working_dir.is_empty() {
        container.working_dir.clone_from(&defaults.working_dir);
    }
    if container.stop_signal.is_none() {
        container.stop_signal.clone_from(&defaults.stop_signal);
    }
    fill_in_health_check(&mut container.health_check, defaults.health_check.as_ref());
    for target in &defaults.volumes {
        fill_in_volume(&mut container.mounts, target);
    }
}

fn fill_in_env(env: &mut Vec<String>, defaults: &[String]) {
    let name = |entry: &str| {
        entry
            .split_once('=')
            .map_or(entry, |(name, _)| name)
            .to_owned()
    };
    let given: HashSet<String> = env.iter().map(|entry| name(entry)).collect();
    let missing = defaults
        .iter()
        .filter(|entry| !given.contains(&name(entry)))
        .cloned();
    env.extend(missing);
}

/// Takes the image's check where the request has none, its arguments where the request has others
/// to say alone, and its times where the request's are zero.
fn fill_in_health_check(check: &mut Option<HealthCheck>, default: Option<&HealthCheck>) {
    let Some(default) = default else {
        check.take_if(|check| check.args.is_empty());
        return;
    };
    let Some(check) = check else {
        *check = Some(default.clone());
        return;
    };
    let is_switched_off = *check == HealthCheck::default();
    if check.args.is_empty() && !is_switched_off {
        check.args.clone_from(&default.args);
    }
    for (own, inherited) in [
        (&mut check.interval_ns, default.interval_ns),
        (&mut check.timeout_ns, default.timeout_ns),
        (&mut check.start_period_ns, default.start_period_ns),
        (&mut check.start_interval_ns, default.start_interval_ns),
    ] {
        if *own == 0 {
            *own = inherited;
        }
    }
    if check.retries == 0 {
        check.retries = default.retries;
    }
}

/// Puts an anonymous volume where the image wants one and the request has nothing.
fn fill_in_volume(mounts: &mut Vec<Mount>, target: &str) {
    // As paths, for `/data/` is `/data`.
    let is_taken = mounts
        .iter()
        .any(|mount| Path::new(&mount.target) == Path::new(target));
    if is_taken {
        return;
    }
    mounts.push(Mount {
        target: target.to_owned(),
        source: MountSource::Volume {
            name: String::new(),
            anonymous: true,
            no_copy: false,
            subpath: String::new(),
        },
        read_only: false,
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    fn list(args: &[&str]) -> Vec<String> {
        args.iter().map(|arg| (*arg).to_owned()).collect()
    }

    fn defaults() -> Defaults {
        Defaults {
            entrypoint: list(&["/entry"]),
            command: list(&["serve"]),
            env: list(&["PATH=/bin", "MODE=image"]),
            volumes: ["/data", "/data/", "/cache"].map(str::to_owned).into(),
            labels: BTreeMap::from([("who".to_owned(), "image".to_owned())]),
            user: "app".to_owned(),
            working_dir: "/srv".to_owned(),
            stop_signal: Some("SIGQUIT".to_owned()),
            health_check: Some(HealthCheck {
                args: list(&["test", "-f", "/ok"]),
                interval_ns: 7,
                retries: 2,
                ..HealthCheck::default()
            }),
            ..Defaults::default()
        }
    }

    /// The entrypoint and the command that come out.
    fn merged(entrypoint: Option<&[&str]>, command: Option<&[&str]>) -> (Vec<String>, Vec<String>) {
        let mut container = ContainerSpec::default();
        arguments(
            &mut container,
            entrypoint.map(list),
            command.map(list),
            &defaults(),
        )
        .unwrap();
        let command = container.args.split_off(container.entrypoint_args);
        (container.args, command)
    }

    fn filled(mut container: ContainerSpec) -> ContainerSpec {
        fill_in(&mut container, &mut BTreeMap::new(), &defaults());
        container
    }

    fn checked(check: Option<HealthCheck>) -> Option<HealthCheck> {
        let container = ContainerSpec {
            health_check: check,
            ..ContainerSpec::default()
        };
        filled(container).health_check
    }

    #[test]
    fn an_entrypoint_of_the_request_drops_the_images_command() {
        for (entrypoint, command, wanted) in [
            (None, None, (list(&["/entry"]), list(&["serve"]))),
            (
                None,
                Some(["x"].as_slice()),
                (list(&["/entry"]), list(&["x"])),
            ),
            (None, Some(&[]), (list(&["/entry"]), list(&[]))),
            (Some(["/sh"].as_slice()), None, (list(&["/sh"]), list(&[]))),
            (
                Some(&["/sh"]),
                Some(&["-c"]),
                (list(&["/sh"]), list(&["-c"])),
            ),
            (Some(&[]), None, (list(&[]), list(&["serve"]))),
            (Some(&[]), Some(&["x"]), (list(&[]), list(&["x"]))),
        ] {
            assert_eq!(merged(entrypoint, command), wanted);
        }
    }

    #[test]
    fn nothing_to_run_is_refused() {
        let mut container = ContainerSpec::default();
        for (entrypoint, command, defaults) in [
            (None, None, Defaults::default()),
            (Some(Vec::new()), Some(Vec::new()), defaults()),
        ] {
            let error = arguments(&mut container, entrypoint, command, &defaults).unwrap_err();
            assert_eq!(error.kind, ErrorKind::Invalid);
            assert_eq!(error.message, "no command specified");
        }
    }

    #[test]
    fn what_the_request_leaves_open_is_the_images() {
        let container = filled(ContainerSpec::default());
        assert_eq!(container.env, defaults().env);
        assert_eq!(container.user, "app");
        assert_eq!(container.working_dir, "/srv");
        assert_eq!(container.stop_signal.as_deref(), Some("SIGQUIT"));
        let targets: Vec<_> = container.mounts.iter().map(|mount| &mount.target).collect();
        assert_eq!(targets, ["/cache", "/data"]);
    }

    #[test]
    fn what_the_request_says_wins_by_name() {
        let mut container = ContainerSpec {
            env: list(&["MODE=mine"]),
            user: "me".to_owned(),
            working_dir: "/".to_owned(),
            stop_signal: Some("SIGINT".to_owned()),
            mounts: vec![Mount {
                target: "/cache/".to_owned(),
                source: MountSource::Tmpfs {
                    size_bytes: None,
                    mode: None,
                    options: Vec::new(),
                },
                read_only: false,
            }],
            ..ContainerSpec::default()
        };
        let mut labels = BTreeMap::from([("who".to_owned(), "me".to_owned())]);
        fill_in(&mut container, &mut labels, &defaults());
        assert_eq!(labels["who"], "me");
        assert_eq!(container.env, ["MODE=mine", "PATH=/bin"]);
        assert_eq!(container.user, "me");
        assert_eq!(container.working_dir, "/");
        assert_eq!(container.stop_signal.as_deref(), Some("SIGINT"));
        let targets: Vec<_> = container.mounts.iter().map(|mount| &mount.target).collect();
        assert_eq!(targets, ["/cache/", "/data"]);
    }

    #[test]
    fn health_checks_are_inherited_changed_and_switched_off() {
        let image = defaults().health_check.unwrap();
        assert_eq!(checked(None).unwrap(), image);
        let other_times = HealthCheck {
            interval_ns: 9,
            ..HealthCheck::default()
        };
        let found = checked(Some(other_times.clone())).unwrap();
        assert_eq!(
            (found.args, found.interval_ns, found.retries),
            (image.args, 9, 2)
        );
        let own = HealthCheck {
            args: list(&["true"]),
            ..HealthCheck::default()
        };
        let found = checked(Some(own.clone())).unwrap();
        assert_eq!((found.args, found.interval_ns), (own.args, 7));
        let switched_off = checked(Some(HealthCheck::default())).unwrap();
        assert_eq!(switched_off.args, list(&[]));

        let mut without_arguments = Some(other_times);
        fill_in_health_check(&mut without_arguments, None);
        assert_eq!(without_arguments, None);
    }
}
