//! Makes an instance: merges what the image brings, names it, and writes it down whole, with the
//! volumes that it needs.

use std::collections::{BTreeMap, HashSet};

use model::container::{ContainerSpec, HealthCheck, Mount, MountSource};
use model::image::Image;
use model::instance::{Attachment, Instance, InstanceSpec, NetworkMode};
use model::meta::Owner;
use model::volume::{Volume, VolumeSpec};
use model::{Id, Kind, Meta};
use rand::seq::IndexedRandom;

use model::meta::NODE_FINALIZER;
use crate::observer::{instance_event, volume_event};
use crate::{ActionError, Caller, Cloud, ErrorKind, network};
use model::event::Action;

/// Bytes of one protocol's origin document.
const MAX_ORIGIN_BYTES: usize = 1 << 20;
/// Tries to find a free name before giving up.
const NAME_TRIES: usize = 16;

/// What to make.
#[derive(Clone, Debug, Default)]
pub struct NewInstance {
    /// Its name; `None` takes a made-up one.
    pub name: Option<String>,
    /// Its labels, beside the image's.
    pub labels: BTreeMap<String, String>,
    /// The sandbox and its container. Arguments are taken from the fields below.
    pub spec: InstanceSpec,
    /// The program and its first arguments; `None` is the image's.
    pub entrypoint: Option<Vec<String>>,
    /// The further arguments; `None` is the image's, unless an entrypoint is given.
    pub command: Option<Vec<String>>,
}

/// What was made.
#[derive(Clone, Debug)]
pub struct Created {
    /// Its identity.
    pub id: Id,
    /// What was asked for and will not be so.
    pub warnings: Vec<String>,
}

/// Makes an instance; nothing runs yet.
///
/// # Errors
/// [`ErrorKind::NotFound`] without the image or a network, [`ErrorKind::AlreadyExists`] when the
/// name is taken, [`ErrorKind::Invalid`] when there is nothing to run.
pub async fn create(
    cloud: &Cloud,
    caller: &Caller,
    new: NewInstance,
) -> Result<Created, ActionError> {
    let NewInstance {
        name,
        labels,
        mut spec,
        entrypoint,
        command,
    } = new;
    validate(&spec)?;
    let [container] = spec.containers.as_mut_slice() else {
        return Err(invalid(
            "an instance has exactly one container; several are not supported yet",
        ));
    };
    let image = crate::image::get(cloud, caller, &container.image)?;
    let labels = merge_image(container, &image, labels, entrypoint, command)?;
    attach_default_network(cloud, caller, &mut spec)?;

    let now = cloud.now();
    let mut last_error = None;
    let tries = if name.is_some() { 1 } else { NAME_TRIES };
    for _ in 0..tries {
        let mut meta = Meta::new(
            name.clone().unwrap_or_else(made_up_name),
            caller.project.clone(),
            now,
        );
        meta.labels.clone_from(&labels);
        meta.finalizers.push(NODE_FINALIZER.to_owned());
        let id = meta.id;
        if spec.hostname.is_empty() {
            name_host(cloud, id, &mut spec);
        }
        let mut instance = Instance {
            meta,
            spec: spec.clone(),
        };
        let mut transaction = cloud.store.transaction();
        let volumes = needed_volumes(cloud, caller, &mut instance);
        for volume in &volumes {
            transaction.insert(volume.meta.id, volume.clone());
        }
        transaction.insert(id, instance.clone());
        match cloud.commit_durably(transaction).await {
            Ok(()) => {
                for volume in &volumes {
                    cloud.observer.tell(volume_event(volume, Action::Created));
                }
                cloud
                    .observer
                    .tell(instance_event(&instance, Action::Created));
                return Ok(Created {
                    id,
                    warnings: Vec::new(),
                });
            }
            Err(error) if error.kind == ErrorKind::AlreadyExists => last_error = Some(error),
            Err(error) => return Err(error),
        }
    }
    Err(last_error.unwrap_or_else(|| invalid("no free name was found; choose one")))
}

fn validate(spec: &InstanceSpec) -> Result<(), ActionError> {
    for (protocol, origin) in &spec.origin {
        if origin.to_string().len() > MAX_ORIGIN_BYTES {
            return Err(invalid(format!(
                "the {protocol} request is larger than {MAX_ORIGIN_BYTES} bytes"
            )));
        }
    }
    Ok(())
}

/// Fills in what the image brings and the request leaves open. Answers the merged labels.
///
/// The rules are those that Docker and Kubernetes share: an entrypoint of the request drops the
/// image's command; variables, labels and volumes of the request win by name.
fn merge_image(
    container: &mut ContainerSpec,
    image: &Image,
    mut labels: BTreeMap<String, String>,
    entrypoint: Option<Vec<String>>,
    command: Option<Vec<String>>,
) -> Result<BTreeMap<String, String>, ActionError> {
    let defaults = &image.defaults;
    container.image_id.clone_from(&image.id);

    let command = match (&entrypoint, command) {
        (_, Some(command)) if !command.is_empty() => command,
        (Some(_), _) => Vec::new(),
        (None, _) => defaults.command.clone(),
    };
    let mut args = entrypoint.unwrap_or_else(|| defaults.entrypoint.clone());
    // An entrypoint of one empty string takes the image's away and leaves the command.
    if args.as_slice() == [""] {
        args.clear();
    }
    args.extend(command);
    if args.is_empty() {
        return Err(invalid("no command specified"));
    }
    container.args = args;

    let given: HashSet<String> = container
        .env
        .iter()
        .map(|entry| variable(entry).to_owned())
        .collect();
    let missing = defaults
        .env
        .iter()
        .filter(|entry| !given.contains(variable(entry)))
        .cloned();
    container.env.extend(missing.collect::<Vec<_>>());

    for (key, value) in &defaults.labels {
        labels.entry(key.clone()).or_insert_with(|| value.clone());
    }
    if container.user.is_empty() {
        container.user.clone_from(&defaults.user);
    }
    if container.working_dir.is_empty() {
        container.working_dir.clone_from(&defaults.working_dir);
    }
    if container.stop_signal.is_none() {
        container.stop_signal.clone_from(&defaults.stop_signal);
    }
    merge_health_check(container, image);
    for target in &defaults.volumes {
        let is_taken = container
            .mounts
            .iter()
            .any(|mount| mount.target.trim_end_matches('/') == target.trim_end_matches('/'));
        if !is_taken {
            container.mounts.push(Mount {
                target: target.clone(),
                source: MountSource::Volume {
                    name: String::new(),
                    anonymous: true,
                    no_copy: false,
                    subpath: String::new(),
                },
                read_only: false,
            });
        }
    }
    Ok(labels)
}

/// Takes the image's check where the request has none, and its times where the request's are zero.
fn merge_health_check(container: &mut ContainerSpec, image: &Image) {
    let Some(from_image) = &image.defaults.health_check else {
        return;
    };
    let Some(check) = &mut container.health_check else {
        container.health_check = Some(from_image.clone());
        return;
    };
    // A check without anything switches the image's off.
    if *check == HealthCheck::default() {
        return;
    }
    if check.args.is_empty() {
        check.args.clone_from(&from_image.args);
    }
    for (own, inherited) in [
        (&mut check.interval_ns, from_image.interval_ns),
        (&mut check.timeout_ns, from_image.timeout_ns),
        (&mut check.start_period_ns, from_image.start_period_ns),
        (&mut check.start_interval_ns, from_image.start_interval_ns),
    ] {
        if *own == 0 {
            *own = inherited;
        }
    }
    if check.retries == 0 {
        check.retries = from_image.retries;
    }
}

fn variable(entry: &str) -> &str {
    entry.split_once('=').map_or(entry, |(name, _)| name)
}

/// Puts an instance that names no network on the default one, and checks those that it names.
fn attach_default_network(
    cloud: &Cloud,
    caller: &Caller,
    spec: &mut InstanceSpec,
) -> Result<(), ActionError> {
    if spec.network != NetworkMode::Attached {
        return Ok(());
    }
    if spec.attachments.is_empty() {
        spec.attachments.push(Attachment {
            network: network::default(cloud)?.meta.id,
            aliases: Vec::new(),
            links: Vec::new(),
            ipv4: None,
            ipv6: None,
            mac: None,
            gateway_priority: 0,
        });
    }
    for attachment in &spec.attachments {
        let found = network::get(cloud, caller, attachment.network)?;
        network::validate_attachment(&found, attachment)?;
    }
    Ok(())
}

/// Gives a sandbox without a host name the one that its network has: its own, another
/// instance's, or none where it is the node's.
fn name_host(cloud: &Cloud, id: Id, spec: &mut InstanceSpec) {
    match spec.network {
        NetworkMode::Attached | NetworkMode::None => {
            spec.hostname = id.simple().chars().take(12).collect();
        }
        NetworkMode::Instance(other) => {
            if let Some(other) = cloud.store.get::<Instance>(other) {
                spec.hostname.clone_from(&other.value.spec.hostname);
                spec.domainname.clone_from(&other.value.spec.domainname);
            }
        }
        NetworkMode::Host => {}
    }
}

/// The volumes to make with an instance: anonymous ones get a name, missing ones are made.
fn needed_volumes(cloud: &Cloud, caller: &Caller, instance: &mut Instance) -> Vec<Volume> {
    let mut volumes: Vec<Volume> = Vec::new();
    let owner = Owner {
        kind: Kind::Instance,
        id: instance.meta.id,
    };
    let now = instance.meta.created_at;
    for mount in instance
        .spec
        .containers
        .iter_mut()
        .flat_map(|container| &mut container.mounts)
    {
        let MountSource::Volume {
            name, anonymous, ..
        } = &mut mount.source
        else {
            continue;
        };
        if name.is_empty() {
            *name = format!("{}{}", Id::random().simple(), Id::random().simple());
            *anonymous = true;
        }
        let is_known = cloud
            .store
            .by_name::<Volume>(&caller.project, name)
            .is_some()
            || volumes.iter().any(|volume| volume.meta.name == *name);
        if is_known {
            continue;
        }
        let mut meta = Meta::new(name.clone(), caller.project.clone(), now);
        meta.finalizers.push(NODE_FINALIZER.to_owned());
        if *anonymous {
            meta.owners.push(owner.clone());
        }
        volumes.push(Volume {
            meta,
            spec: VolumeSpec {
                anonymous: *anonymous,
                ..VolumeSpec::default()
            },
        });
    }
    volumes
}

/// A name such as `brisk_harbour`, for those who do not care.
fn made_up_name() -> String {
    const QUALITIES: [&str; 48] = [
        "able", "amber", "bold", "brave", "brisk", "bright", "calm", "clear", "coral", "crisp",
        "deep", "drifting", "eager", "early", "fair", "fresh", "gentle", "glad", "golden", "hardy",
        "hazy", "high", "keen", "kind", "lively", "lucky", "mellow", "merry", "mild", "noble",
        "patient", "placid", "proud", "quick", "quiet", "ready", "rolling", "salty", "sandy",
        "silver", "steady", "stormy", "sunny", "swift", "tidal", "trusty", "warm", "windy",
    ];
    const THINGS: [&str; 48] = [
        "anchor",
        "bay",
        "beacon",
        "bow",
        "breeze",
        "buoy",
        "cape",
        "capstan",
        "channel",
        "compass",
        "cove",
        "crane",
        "current",
        "cutter",
        "deck",
        "delta",
        "dock",
        "dune",
        "ebb",
        "ferry",
        "fjord",
        "galley",
        "gull",
        "harbour",
        "haven",
        "helm",
        "hull",
        "island",
        "jetty",
        "keel",
        "lagoon",
        "lantern",
        "lighthouse",
        "mast",
        "pier",
        "pilot",
        "quay",
        "reef",
        "rudder",
        "sail",
        "shoal",
        "shore",
        "sloop",
        "strait",
        "tern",
        "tide",
        "wave",
        "wharf",
    ];
    let mut random = rand::rng();
    let quality = QUALITIES.choose(&mut random).copied().unwrap_or("calm");
    let thing = THINGS.choose(&mut random).copied().unwrap_or("harbour");
    format!("{quality}_{thing}_{:03x}", rand::random_range(0..0x1000))
}

fn invalid(message: impl Into<String>) -> ActionError {
    ActionError::new(ErrorKind::Invalid, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::image::Defaults;

    fn image() -> Image {
        Image {
            id: "sha256:1".to_owned(),
            defaults: Defaults {
                entrypoint: vec!["/entry".to_owned()],
                command: vec!["serve".to_owned()],
                env: vec!["PATH=/bin".to_owned(), "MODE=image".to_owned()],
                volumes: vec!["/data".to_owned()],
                labels: BTreeMap::from([("who".to_owned(), "image".to_owned())]),
                user: "app".to_owned(),
                ..Defaults::default()
            },
            tags: Vec::new(),
            digests: Vec::new(),
            parent: None,
            created_at: None,
            tagged_at: None,
            size_bytes: 0,
            layers: Vec::new(),
            history: Vec::new(),
            architecture: String::new(),
            variant: String::new(),
            os: String::new(),
            author: String::new(),
            comment: String::new(),
        }
    }

    fn merged(entrypoint: Option<&[&str]>, command: Option<&[&str]>) -> Vec<String> {
        let owned = |args: &[&str]| args.iter().map(|arg| (*arg).to_owned()).collect::<Vec<_>>();
        let mut container = ContainerSpec::default();
        merge_image(
            &mut container,
            &image(),
            BTreeMap::new(),
            entrypoint.map(owned),
            command.map(owned),
        )
        .unwrap();
        container.args
    }

    #[test]
    fn arguments_follow_the_rules_that_docker_and_kubernetes_share() {
        assert_eq!(merged(None, None), ["/entry", "serve"]);
        assert_eq!(merged(None, Some(&["x"])), ["/entry", "x"]);
        assert_eq!(merged(Some(&["/sh"]), None), ["/sh"]);
        assert_eq!(
            merged(Some(&["/sh"]), Some(&["-c", "y"])),
            ["/sh", "-c", "y"]
        );
        assert_eq!(merged(Some(&[""]), Some(&["z"])), ["z"]);
    }

    #[test]
    fn nothing_to_run_is_refused() {
        let mut bare = image();
        bare.defaults = Defaults::default();
        let error = merge_image(
            &mut ContainerSpec::default(),
            &bare,
            BTreeMap::new(),
            None,
            None,
        )
        .unwrap_err();
        assert_eq!(error.kind, ErrorKind::Invalid);
        assert_eq!(error.message, "no command specified");
    }

    #[test]
    fn what_the_request_says_wins_by_name() {
        let mut container = ContainerSpec {
            env: vec!["MODE=mine".to_owned()],
            ..ContainerSpec::default()
        };
        let labels = BTreeMap::from([("who".to_owned(), "me".to_owned())]);
        let labels = merge_image(&mut container, &image(), labels, None, None).unwrap();
        assert_eq!(container.env, ["MODE=mine", "PATH=/bin"]);
        assert_eq!(labels["who"], "me");
        assert_eq!(container.user, "app");
        assert_eq!(container.mounts.len(), 1);
    }
}
