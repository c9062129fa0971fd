//! Writes down a server, or several, that a user asks for. What can be known to be wrong is refused
//! here; what turns out to be so while it is made breaks the server.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use model::firewall::Firewall;
use model::flavor::Flavor;
use model::instance::Site;
use model::network::{Driver, Network};
use model::quota::Resource;
use model::server::{
    AccessAddresses, Creator, Server, ServerFlavor, ServerImage, ServerKey, ServerSpec, Standing,
    Task, WantedNetwork, WantedVolume,
};
use model::{Id, Meta, ProjectId};
use serde_json::Value;

use super::task::note;
use super::{build, conflict, invalid, lower, volumes};
use crate::policy::{Action, Target};
use crate::registered_image::runnable;
use crate::{
    ActionError, Caller, Cloud, ErrorKind, Scope, durable, firewall, flavor, key_pair, network,
    port, quota, server_group, zone,
};

/// A server to make, or several alike.
#[derive(Clone, Debug)]
pub struct NewServer {
    /// What it is called; several have numbers after it.
    pub name: String,
    /// How many.
    pub count: u32,
    /// Its flavor, by what users call it.
    pub flavor: String,
    /// Its image.
    pub image: Option<Id>,
    /// The caller's key of this name.
    pub key_name: Option<String>,
    /// The user's own words, by name.
    pub metadata: BTreeMap<String, String>,
    /// For selection.
    pub tags: BTreeSet<String>,
    /// For people.
    pub description: Option<String>,
    /// Host name inside; `None` is made of the name.
    pub hostname: Option<String>,
    /// What it is told at its first start, in Base64.
    pub user_data: Option<String>,
    /// It finds what it is told in a file system, too.
    pub config_drive: bool,
    /// Where it is to be placed: `ZONE`, or for the operator `ZONE:NODE`.
    pub zone: Option<String>,
    /// What the scheduler is told.
    pub hints: BTreeMap<String, Value>,
    /// The group that it is to be in.
    pub group: Option<Id>,
    /// Which networks it is to be on.
    pub networks: NewNetworks,
    /// Firewalls of the ports that are made for it, by name or identity; none is the default one.
    pub firewalls: Vec<String>,
    /// Volumes that it is to have.
    pub volumes: Vec<WantedVolume>,
    /// Its disk grows by itself.
    pub auto_disk: bool,
    /// Addresses that its user says it is reached by.
    pub access: AccessAddresses,
}

/// Which networks a server is to be on.
#[derive(Clone, Debug)]
pub enum NewNetworks {
    /// The only one that its project has.
    Auto,
    /// As [`NewNetworks::Auto`], and none where its project has none: what older clients mean who
    /// say nothing.
    Any,
    /// None.
    None,
    /// These.
    These(Vec<NewPlace>),
}

/// A place on a network: a port, or a new one on a network.
#[derive(Clone, Debug, Default)]
pub struct NewPlace {
    /// The network.
    pub network: Option<Id>,
    /// The port.
    pub port: Option<Id>,
    /// A fixed address for a new port.
    pub address: Option<IpAddr>,
    /// A word for programs inside.
    pub tag: Option<String>,
}

/// The refusal of volumes of which the server is to start from none.
const NO_ROOT: &str = "Block Device Mapping is Invalid: Boot sequence for the instance and image/block device mapping combination is not valid.";

/// Writes down servers, which are then made behind the answer.
///
/// # Errors
/// [`ErrorKind::Invalid`] for a flavor, image, key, network, port or firewall that is not there or
/// does not fit, [`ErrorKind::Conflict`] for a port that is in use and where it is not clear which
/// network is meant, [`ErrorKind::QuotaExceeded`].
pub async fn create(
    cloud: &Cloud,
    caller: &Caller,
    new: NewServer,
) -> Result<Vec<Arc<Server>>, ActionError> {
    caller.may(Action::CreateInstance, &Target::project(caller.project()))?;
    let Scope::Project { domain, .. } = caller.scope else {
        return Err(invalid("Servers are made in a project."));
    };
    let flavor = flavor::get(cloud, caller, &new.flavor).map_err(as_invalid)?;
    let image = match new.image {
        // As Nova: where both are named it starts from the volume.
        _ if new.volumes.iter().any(|wanted| wanted.root) => None,
        Some(id) => Some(chosen_image(cloud, caller, id, Some(&flavor))?),
        None if new.volumes.is_empty() => return Err(invalid("Missing imageRef attribute")),
        None => return Err(invalid(NO_ROOT)),
    };
    let key = match &new.key_name {
        Some(name) => Some(chosen_key(cloud, caller, name)?),
        None => None,
    };
    check_metadata(cloud, caller.project(), &new.metadata)?;
    let networks = chosen_networks(cloud, caller, &new)?;
    let firewalls = chosen_firewalls(cloud, caller, &new.firewalls).await?;
    let site = match &new.zone {
        Some(text) => zone::chosen(cloud, caller, text)?,
        None => Site::default(),
    };
    let group = match new.group {
        Some(id) => Some(server_group::rule(cloud, caller, id)?),
        None => None,
    };
    volumes::check(cloud, caller, &new)?;
    let creator = Creator {
        user: caller.user,
        user_domain: caller.user_domain,
        domain,
    };
    let spec = ServerSpec {
        creator,
        flavor: chosen_flavor(&flavor),
        image,
        key,
        metadata: new.metadata,
        tags: new.tags,
        description: new.description,
        hostname: String::new(),
        user_data: new.user_data,
        config_drive: new.config_drive,
        zone: site.zone.clone(),
        site,
        hints: new.hints,
        group: group.clone(),
        reservation: format!("r-{}", &Id::random().simple()[..8]),
        launch_index: 0,
        networks,
        firewalls,
        volumes: new.volumes,
        auto_disk: new.auto_disk,
        access: new.access,
        lock: None,
    };
    let now = cloud.now();
    let mut servers = Vec::new();
    for index in 0..new.count {
        let numbered = |text: &str| match new.count {
            1 => text.to_owned(),
            _ => format!("{text}-{}", index + 1),
        };
        let meta = Meta::new(numbered(&new.name), caller.project(), now);
        let id = meta.id;
        let mut spec = spec.clone();
        spec.launch_index = index;
        for volume in &mut spec.volumes {
            if volume.made.is_some() {
                volume.volume = Id::random();
            }
        }
        spec.hostname = match &new.hostname {
            Some(hostname) => numbered(hostname),
            None => lower::hostname(&meta.name, id),
        };
        let mut server = Server {
            meta,
            spec,
            standing: Standing::Building,
            task: Some(Task::Building),
            fault: None,
            launched_at: None,
            resized_from: None,
            shelved_as: None,
            greeting_is_due: false,
            deeds: Vec::new(),
        };
        note(&mut server, caller, "create", now);
        servers.push(Arc::new(server));
    }
    let count = u64::from(new.count);
    let wanted = [
        (Resource::Instances, count),
        (Resource::Cores, count * u64::from(flavor.spec.vcpus)),
        (Resource::RamMib, count * u64::from(flavor.spec.ram_mib)),
    ];
    let committed = loop {
        let mut transaction = cloud.store.transaction();
        quota::claim(cloud, &mut transaction, caller.project(), &wanted)?;
        // Counted behind the project's gate, too.
        if let Some(rule) = &group {
            server_group::check_room(cloud, caller.project(), rule.group, count)?;
        }
        for server in &servers {
            transaction.insert(server.meta.id, Server::clone(server));
        }
        match cloud.store.commit(transaction).await {
            Err(error) if quota::is_contended(&error) => {}
            done => break done?,
        }
    };
    durable(committed.durable).await?;
    for server in &servers {
        build::begin(cloud, server.meta.id);
    }
    Ok(servers)
}

/// What is not there is the request's fault, not its path's.
fn as_invalid(mut error: ActionError) -> ActionError {
    if error.kind == ErrorKind::NotFound {
        error.kind = ErrorKind::Invalid;
    }
    error
}

/// A flavor, to keep.
pub(super) fn chosen_flavor(flavor: &Flavor) -> ServerFlavor {
    let spec = &flavor.spec;
    ServerFlavor {
        id: flavor.id.clone(),
        name: flavor.meta.name.clone(),
        vcpus: spec.vcpus,
        ram_mib: spec.ram_mib,
        disk_gib: spec.disk_gib,
        ephemeral_gib: spec.ephemeral_gib,
        swap_mib: spec.swap_mib,
        extra_specs: spec.extra_specs.clone(),
    }
}

/// An image, to keep, for which the flavor is large enough, where there still is one.
pub(super) fn chosen_image(
    cloud: &Cloud,
    caller: &Caller,
    id: Id,
    flavor: Option<&Flavor>,
) -> Result<ServerImage, ActionError> {
    let found = runnable(cloud, caller, id).map_err(|error| match error.kind {
        ErrorKind::NotFound => invalid("Can not find requested image").caused_by(error),
        ErrorKind::Conflict => invalid(error.message.clone()).caused_by(error),
        _ => error,
    })?;
    let (ram, disk) = flavor.map_or((u32::MAX, 0), |flavor| {
        (flavor.spec.ram_mib, flavor.spec.disk_gib)
    });
    if ram < found.min_ram_mib {
        return Err(invalid("Flavor's memory is too small for requested image."));
    }
    if disk != 0 && disk < found.min_disk_gib {
        return Err(invalid(format!(
            "Flavor's disk is smaller than the minimum size specified in image metadata. Flavor disk is {} bytes, minimum size is {} bytes.",
            u64::from(disk) << 30,
            u64::from(found.min_disk_gib) << 30,
        )));
    }
    Ok(ServerImage {
        id: id.to_string(),
        content: found.content,
        properties: found.properties,
    })
}

/// A key of the caller's, to keep.
pub(super) fn chosen_key(
    cloud: &Cloud,
    caller: &Caller,
    name: &str,
) -> Result<ServerKey, ActionError> {
    let pair = key_pair::get(cloud, caller, caller.user, name).map_err(|error| {
        if error.kind == ErrorKind::NotFound {
            return invalid("Invalid key_name provided.").caused_by(error);
        }
        error
    })?;
    Ok(ServerKey {
        name: pair.meta.name.clone(),
        public_key: pair.public_key.clone(),
    })
}

/// Characters of the longest name and value of metadata.
const LONGEST_METADATA: usize = 255;

/// Refuses metadata that cannot be.
pub(super) fn check_metadata(
    cloud: &Cloud,
    project: ProjectId,
    metadata: &BTreeMap<String, String>,
) -> Result<(), ActionError> {
    let most = quota::limit(cloud, project, Resource::MetadataItems);
    if usize::try_from(most).is_ok_and(|most| metadata.len() > most) {
        return Err(ActionError::new(
            ErrorKind::QuotaExceeded,
            format!("Maximum number of metadata items exceeds {most}"),
        ));
    }
    for (key, value) in metadata {
        if key.is_empty() || key.chars().count() > LONGEST_METADATA {
            return Err(invalid("Metadata keys have 1 to 255 characters."));
        }
        if value.chars().count() > LONGEST_METADATA {
            return Err(invalid(format!(
                "The metadata value of {key} has more than 255 characters."
            )));
        }
    }
    Ok(())
}

fn chosen_networks(
    cloud: &Cloud,
    caller: &Caller,
    new: &NewServer,
) -> Result<Vec<WantedNetwork>, ActionError> {
    let places = match &new.networks {
        NewNetworks::None => return Ok(Vec::new()),
        NewNetworks::Auto => return automatic(cloud, caller, true),
        NewNetworks::Any => return automatic(cloud, caller, false),
        NewNetworks::These(places) => places,
    };
    if new.count > 1 {
        if places.iter().any(|place| place.port.is_some()) {
            return Err(invalid(
                "Unable to launch multiple instances with a single configured port ID. Please launch your instance one by one with different ports.",
            ));
        }
        if let Some(address) = places.iter().find_map(|place| place.address) {
            return Err(invalid(format!(
                "Invalid fixed IP Address {address} in server booting request with multiple instances"
            )));
        }
    }
    places
        .iter()
        .map(|place| chosen_place(cloud, caller, place))
        .collect()
}

/// The network for whoever names none: the only one of the project, or the node's own where there is
/// no other. Without any the request is refused where one `is_needed`.
fn automatic(
    cloud: &Cloud,
    caller: &Caller,
    is_needed: bool,
) -> Result<Vec<WantedNetwork>, ActionError> {
    let all = network::list_all(cloud, caller);
    let is_usable = |network: &&Arc<Network>| {
        !network.spec.external
            && !network.spec.subnets.is_empty()
            && (network.meta.project == caller.project() || network.spec.shared)
    };
    let (predefined, made): (Vec<_>, Vec<_>) = all
        .iter()
        .filter(is_usable)
        .partition(|network| network.spec.predefined);
    let candidates = if made.is_empty() { predefined } else { made };
    match candidates.as_slice() {
        [] if !is_needed => Ok(Vec::new()),
        [] => Err(invalid(format!(
            "Unable to automatically allocate a network for project {}",
            caller.project()
        ))),
        [only] => Ok(vec![WantedNetwork {
            network: only.meta.id,
            port: None,
            address: None,
            tag: None,
        }]),
        _ => Err(conflict(
            "Multiple possible networks found, use a Network ID to be more specific.",
        )),
    }
}

/// A place on a network that the caller may have.
pub(super) fn chosen_place(
    cloud: &Cloud,
    caller: &Caller,
    place: &NewPlace,
) -> Result<WantedNetwork, ActionError> {
    let wanted = |network: Id| WantedNetwork {
        network,
        port: place.port,
        address: place.address,
        tag: place.tag.clone(),
    };
    if let Some(id) = place.port {
        let found = port::get(cloud, caller, id).map_err(|error| {
            invalid(format!("Port id {id} could not be found.")).caused_by(error)
        })?;
        let spec = &found.port.spec;
        if !spec.device_id.is_empty() || found.implied {
            return Err(conflict(format!("Port {id} is still in use.")));
        }
        if found.addresses.is_empty() {
            return Err(invalid(format!(
                "Port {id} requires a FixedIP in order to be used."
            )));
        }
        return Ok(wanted(spec.network));
    }
    let id = place
        .network
        .ok_or_else(|| invalid("Bad networks format: network uuid is not in proper format"))?;
    let found = network::get(cloud, caller, id)
        .ok()
        .filter(|network| network.spec.driver == Driver::Bridge)
        .ok_or_else(|| invalid(format!("Network {id} could not be found.")))?;
    if found.spec.external && !found.spec.shared && !caller.is_admin() {
        return Err(ActionError::new(
            ErrorKind::Forbidden,
            format!("It is not allowed to create an interface on external network {id}"),
        ));
    }
    if found.spec.subnets.is_empty() {
        return Err(invalid(format!(
            "Network {id} requires a subnet in order to boot instances on."
        )));
    }
    if let Some(address) = place.address {
        check_address(cloud, &found, address)?;
    }
    Ok(wanted(id))
}

fn check_address(cloud: &Cloud, network: &Network, address: IpAddr) -> Result<(), ActionError> {
    if network.spec.subnet_of(address).is_none() {
        return Err(invalid(format!(
            "Fixed IP {address} is not a valid ip address for network {}.",
            network.meta.id
        )));
    }
    let ports = port::on_network(cloud, network.meta.id);
    let has = |port: &Arc<model::port::Port>| {
        let addresses = port::addresses(cloud, port.meta.id);
        addresses.iter().any(|fixed| fixed.address == address)
    };
    match ports.iter().find(|port| has(port)) {
        Some(port) => Err(invalid(format!(
            "Fixed IP address {address} is already in use on instance {}.",
            port.spec.device_id
        ))),
        None => Ok(()),
    }
}

async fn chosen_firewalls(
    cloud: &Cloud,
    caller: &Caller,
    wanted: &[String],
) -> Result<Vec<Id>, ActionError> {
    let mut chosen = Vec::new();
    for text in wanted {
        let found = firewall_called(cloud, caller, text).await?;
        let id = found.ok_or_else(|| {
            invalid(format!(
                "Security group {text} not found for project {}.",
                caller.project()
            ))
        })?;
        if !chosen.contains(&id.meta.id) {
            chosen.push(id.meta.id);
        }
    }
    Ok(chosen)
}

/// The firewall of the caller's project that is called so, or has this identity.
pub(super) async fn firewall_called(
    cloud: &Cloud,
    caller: &Caller,
    text: &str,
) -> Result<Option<Arc<Firewall>>, ActionError> {
    let all = firewall::list(cloud, caller).await?;
    let id: Option<Id> = text.parse().ok();
    if let Some(found) = all.iter().find(|one| Some(one.meta.id) == id) {
        return Ok(Some(Arc::clone(found)));
    }
    let mut named = all
        .into_iter()
        .filter(|one| one.meta.name == text && one.meta.project == caller.project());
    let first = named.next();
    if named.next().is_some() {
        return Err(conflict(format!(
            "Multiple security groups found matching '{text}'. Use an ID to be more specific."
        )));
    }
    Ok(first)
}
