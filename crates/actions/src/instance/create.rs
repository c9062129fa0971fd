//! Makes an instance: has the image's defaults filled in, names it, and writes it down whole, with
//! the volumes that it needs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::container::{ContainerSpec, MountSource};
use model::image::{Defaults, Image};
use model::instance::{Attachment, Instance, InstanceSpec, NetworkMode};
use model::meta::Owner;
use model::network::{Network, Routing};
use model::node::Node;
use model::server::Server;
use model::volume::{Volume, VolumeSpec};
use model::{Id, Kind, Meta};
use rand::seq::IndexedRandom;

use super::defaults;
use crate::error::invalid;
use crate::observer::{instance_event, volume_event};
use crate::policy::{self, Target};
use crate::{
    ActionError, Caller, Cloud, ErrorKind, image, isolation, network, registered_image, volume,
};
use model::event::Action;
use model::meta::NODE_FINALIZER;

/// Bytes of one protocol's origin document.
const MAX_ORIGIN_BYTES: usize = 1 << 20;
/// Annotation of an instance that runs a step of a build and goes with it.
pub(crate) const BUILD_STEP: &str = "build-step";
/// Tries to find a free name before giving up.
const NAME_TRIES: usize = 16;

/// What to make.
#[derive(Clone, Debug, Default)]
pub struct NewInstance {
    /// Its name; `None` takes a made-up one.
    pub name: Option<String>,
    /// Its labels, beside the image's.
    pub labels: BTreeMap<String, String>,
    /// The sandbox and its container. Arguments are taken from the fields below; what else the
    /// container leaves empty is the image's.
    ///
    /// Where its `image_id` is given, as [`crate::registered_image::runnable`] tells it, that image
    /// is taken, listed or not, and `image` is only what it is called.
    ///
    /// A health check without arguments takes the image's; one that is all empty switches it off.
    pub spec: InstanceSpec,
    /// The program and its first arguments; `None` is the image's, an empty list is none.
    pub entrypoint: Option<Vec<String>>,
    /// The further arguments; `None` is the image's, unless the entrypoint is the request's own.
    pub command: Option<Vec<String>>,
    /// The server that it is lowered from, whose identity it has.
    pub server: Option<ServerRecord>,
    /// It runs a step of a build: its image need not be listed.
    pub step: Option<BuildStep>,
    /// It has no image: its root is a volume that is attached before its first start, and this is
    /// what an image would bring.
    pub without_image: Option<Defaults>,
}

/// What becomes of an instance that runs a step of a build.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BuildStep {
    /// It goes with the build, or when a daemon finds one that is left.
    Passes,
    /// It stays, as its user wants.
    Stays,
}

/// A server's record: the instance is made only while it is as it was read.
#[derive(Clone, Copy, Debug)]
pub struct ServerRecord {
    /// Identity of the server.
    pub id: Id,
    /// When it was written.
    pub revision: store::Revision,
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
/// [`ErrorKind::Forbidden`] for a reader and for what is the node's, [`ErrorKind::NotFound`] without the image or a network, [`ErrorKind::AlreadyExists`] when the
/// name is taken, [`ErrorKind::Invalid`] when there is nothing to run.
pub async fn create(
    cloud: &Cloud,
    caller: &Caller,
    new: NewInstance,
) -> Result<Created, ActionError> {
    let NewInstance {
        name,
        mut labels,
        mut spec,
        entrypoint,
        command,
        server,
        step,
        without_image,
    } = new;
    caller.may(
        policy::Action::CreateInstance,
        &Target::project(caller.project()),
    )?;
    validate(&spec)?;
    isolation::confine(cloud, caller.project(), &mut spec).await?;
    let [container] = spec.containers.as_mut_slice() else {
        return Err(invalid(
            "an instance has exactly one container; several are not supported yet",
        ));
    };
    let image;
    let defaults = match &without_image {
        Some(defaults) => defaults,
        None => {
            image = image_of(cloud, caller, container, step)?;
            container.image_id.clone_from(&image.id);
            &image.defaults
        }
    };
    for mount in &mut container.mounts {
        if let MountSource::Image { name, id, .. } = &mut mount.source {
            id.clone_from(&image::get(cloud, caller, name)?.id);
        }
    }
    defaults::arguments(container, entrypoint, command, defaults)?;
    defaults::fill_in(container, &mut labels, defaults);
    attach_default_network(cloud, caller, &mut spec)?;

    let now = cloud.now();
    let mut last_error = None;
    let tries = if name.is_some() { 1 } else { NAME_TRIES };
    for _ in 0..tries {
        let mut meta = Meta::new(
            name.clone().unwrap_or_else(made_up_name),
            caller.project(),
            now,
        );
        meta.labels.clone_from(&labels);
        meta.id = server.map_or(meta.id, |server| server.id);
        meta.finalizers.push(NODE_FINALIZER.to_owned());
        if step == Some(BuildStep::Passes) {
            meta.annotations
                .insert(BUILD_STEP.to_owned(), String::new());
        }
        let id = meta.id;
        if spec.hostname.is_empty() {
            name_host(cloud, id, &mut spec);
        }
        let mut instance = Instance {
            meta,
            spec: spec.clone(),
        };
        let claimed = claim_ports(cloud, caller, id, &spec).await?;
        let mut transaction = cloud.store.transaction();
        let volumes = needed_volumes(cloud, caller, &mut instance)?;
        for volume in &volumes {
            transaction.insert(volume.meta.id, volume.clone());
        }
        transaction.insert(id, instance.clone());
        if let Some(server) = server {
            transaction.require::<Server>(server.id, server.revision);
        }
        match cloud.commit_durably(transaction).await {
            Ok(()) => {
                for volume in &volumes {
                    cloud.observer.tell(volume_event(volume, Action::Created));
                }
                cloud
                    .observer
                    .tell(instance_event(&instance, Action::Created));
                let warnings = warnings(cloud, &instance.spec);
                return Ok(Created { id, warnings });
            }
            Err(error) => {
                for port in claimed {
                    crate::port::disclaim(cloud, port, id).await?;
                }
                if error.kind != ErrorKind::AlreadyExists {
                    return Err(error);
                }
                last_error = Some(error);
            }
        }
    }
    Err(last_error.unwrap_or_else(|| invalid("no free name was found; choose one")))
}

/// The image that a container is asked for with.
fn image_of(
    cloud: &Cloud,
    caller: &Caller,
    container: &ContainerSpec,
    step: Option<BuildStep>,
) -> Result<Arc<Image>, ActionError> {
    if container.image_id.is_empty() {
        return image::get(cloud, caller, &container.image);
    }
    if step.is_none() {
        registered_image::check_content(cloud, caller, &container.image_id)?;
    }
    Ok(cloud.images.by_id(&container.image_id)?)
}

/// What will not be as asked for, whichever node it runs on.
fn warnings(cloud: &Cloud, spec: &InstanceSpec) -> Vec<String> {
    let nodes = cloud.store.list::<Node>();
    let mut lacking = nodes
        .iter()
        .map(|(_, node)| BTreeSet::from_iter(&node.value.spec.missing_capabilities));
    let first = lacking.next().unwrap_or_default();
    let everywhere = lacking.fold(first, |all, node| &all & &node);
    let wanted = everywhere.into_iter().filter(|name| {
        spec.containers.iter().any(|container| {
            let security = &container.security;
            let adds_all = security.capabilities_add.iter().any(|added| added == "ALL");
            security.privileged || (adds_all && !security.capabilities_drop.contains(name))
        })
    });
    let names: Vec<&str> = wanted.map(String::as_str).collect();
    if names.is_empty() {
        return Vec::new();
    }
    vec![format!(
        "No node has {}; the container runs without.",
        names.join(", ")
    )]
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
        spec.attachments
            .push(Attachment::new(network::default(cloud)?.meta.id));
    }
    let mut networks = Vec::with_capacity(spec.attachments.len());
    for attachment in &spec.attachments {
        let found = network::get(cloud, caller, attachment.network)?;
        network::validate_attachment(&found, attachment)?;
        networks.push(found);
    }
    check_published(spec, &networks)
}

/// The node lets the outside in to networks that it routes itself only: what would be published on no
/// other is refused, instead of never being reached.
fn check_published(spec: &InstanceSpec, networks: &[Arc<Network>]) -> Result<(), ActionError> {
    let is_reached = networks
        .iter()
        .any(|network| network.spec.routing == Routing::Node);
    if spec.published_ports.is_empty() || is_reached {
        return Ok(());
    }
    let names: Vec<&str> = networks.iter().map(|on| on.meta.name.as_str()).collect();
    Err(ActionError::new(
        ErrorKind::Invalid,
        format!(
            "ports cannot be published on network {}: routers lead to it, not the node; connect a \
             network of the node too, or reach it by a floating address",
            names.join(", ")
        ),
    ))
}

/// Takes the ports that an instance is to plug into: all of them, or none.
async fn claim_ports(
    cloud: &Cloud,
    caller: &Caller,
    id: Id,
    spec: &InstanceSpec,
) -> Result<Vec<Id>, ActionError> {
    let mut claimed = Vec::new();
    for port in spec.attachments.iter().filter_map(|known| known.port) {
        let claim = crate::port::claim(cloud, caller, port, id, crate::port::COMPUTE_OWNER);
        if let Err(error) = claim.await {
            for port in claimed {
                crate::port::disclaim(cloud, port, id).await?;
            }
            return Err(error);
        }
        claimed.push(port);
    }
    Ok(claimed)
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
fn needed_volumes(
    cloud: &Cloud,
    caller: &Caller,
    instance: &mut Instance,
) -> Result<Vec<Volume>, ActionError> {
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
            .by_name::<Volume>(caller.project(), name)
            .is_some()
            || volumes.iter().any(|volume| volume.meta.name == *name);
        if is_known {
            continue;
        }
        volume::check_name(name)?;
        let mut meta = Meta::new(name.clone(), caller.project(), now);
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
    Ok(volumes)
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
