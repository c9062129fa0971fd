//! Firewalls: the rules that hold for ports. Every project has a default one, made at first use.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::firewall::{Direction, Family, Firewall, FirewallSpec, Remote, Rule, protocol_number};
use model::port::Port;
use model::quota::Resource;
use model::{Id, Meta};
use store::Transaction;

use crate::policy::{self, Target};
use crate::refusal::Refusal;
use crate::{ActionError, Caller, Cloud, ErrorKind, durable, is_seen, quota};

/// Name of the firewall that holds for ports that name none.
pub const DEFAULT_NAME: &str = "default";

/// What to make.
#[derive(Clone, Debug, Default)]
pub struct NewFirewall {
    /// Its name; need not be unique, but is not the default one's.
    pub name: String,
    /// For people.
    pub description: String,
    /// For selection.
    pub tags: BTreeSet<String>,
}

/// What to change; `None` leaves it.
#[derive(Clone, Debug, Default)]
#[expect(missing_docs, reason = "the fields are those of a new firewall")]
pub struct FirewallChange {
    pub name: Option<String>,
    pub description: Option<String>,
    pub tags: Option<BTreeSet<String>>,
}

/// A rule to make.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the fields are those of a rule")]
pub struct NewRule {
    pub direction: Direction,
    pub family: Family,
    pub protocol: Option<String>,
    pub port_min: Option<u16>,
    pub port_max: Option<u16>,
    pub remote: Remote,
    pub description: String,
}

/// Makes a firewall that lets everything out and nothing in.
///
/// # Errors
/// [`ErrorKind::Conflict`] for the default one's name.
pub async fn create(
    cloud: &Cloud,
    caller: &Caller,
    new: NewFirewall,
) -> Result<Arc<Firewall>, ActionError> {
    caller.may(
        policy::Action::CreateFirewall,
        &Target::project(caller.project()),
    )?;
    // There is always one, so nobody else's is called so.
    default(cloud, caller).await?;
    if new.name == DEFAULT_NAME {
        return Err(Refusal::DefaultFirewallExists.into());
    }
    let now = cloud.now();
    let firewall = Firewall {
        meta: Meta::new(new.name, caller.project(), now),
        spec: FirewallSpec {
            description: new.description,
            default: false,
            shared: false,
            rules: everything_out(now),
            tags: new.tags,
        },
    };
    let wanted = [(Resource::Firewalls, 1)];
    let committed = quota::commit(cloud, firewall.meta.project, &wanted, |transaction| {
        transaction.insert(firewall.meta.id, firewall.clone());
    });
    durable(committed.await?.durable).await?;
    Ok(Arc::new(firewall))
}

fn everything_out(now: jiff::Timestamp) -> Vec<Rule> {
    [Family::Ipv4, Family::Ipv6]
        .map(|family| Rule::new(Direction::Out, family, Remote::Any, now))
        .to_vec()
}

async fn insert(cloud: &Cloud, firewall: Firewall) -> Result<Arc<Firewall>, ActionError> {
    let mut transaction = cloud.store.transaction();
    transaction.insert(firewall.meta.id, firewall.clone());
    cloud.commit_durably(transaction).await?;
    Ok(Arc::new(firewall))
}

/// The firewall of the caller's project for ports that name none; made where it is missing. It
/// lets everything out, and in what comes from its own ports.
///
/// # Errors
/// When the store fails.
pub async fn default(cloud: &Cloud, caller: &Caller) -> Result<Arc<Firewall>, ActionError> {
    loop {
        let found = cloud
            .store
            .by_name::<Firewall>(caller.project(), DEFAULT_NAME);
        if let Some(found) = found {
            return Ok(found.value);
        }
        let now = cloud.now();
        let meta = Meta::new(DEFAULT_NAME, caller.project(), now);
        let mut rules = everything_out(now);
        for family in [Family::Ipv4, Family::Ipv6] {
            let own = Remote::Firewall(meta.id);
            rules.push(Rule::new(Direction::In, family, own, now));
        }
        let firewall = Firewall {
            meta,
            spec: FirewallSpec {
                description: "Default security group".to_owned(),
                default: true,
                shared: false,
                rules,
                tags: BTreeSet::new(),
            },
        };
        match insert(cloud, firewall).await {
            // Somebody else made it at the same time.
            Err(error) if error.kind == ErrorKind::AlreadyExists => {}
            made => return made,
        }
    }
}

/// The firewalls that a caller may see.
///
/// # Errors
/// When the store fails: the default one is made first.
pub async fn list(cloud: &Cloud, caller: &Caller) -> Result<Vec<Arc<Firewall>>, ActionError> {
    default(cloud, caller).await?;
    Ok(cloud
        .store
        .list::<Firewall>()
        .into_iter()
        .map(|(_, found)| found.value)
        .filter(|firewall| sees(caller, firewall))
        .collect())
}

fn sees(caller: &Caller, firewall: &Firewall) -> bool {
    is_seen(caller, firewall.meta.project) || firewall.spec.shared
}

/// One firewall.
///
/// # Errors
/// [`ErrorKind::NotFound`].
pub fn get(cloud: &Cloud, caller: &Caller, id: Id) -> Result<Arc<Firewall>, ActionError> {
    cloud
        .store
        .get::<Firewall>(id)
        .map(|found| found.value)
        .filter(|firewall| sees(caller, firewall))
        .ok_or_else(|| Refusal::FirewallNotFound(id).into())
}

/// One rule, and the firewall it is of.
///
/// # Errors
/// [`ErrorKind::NotFound`].
pub fn rule(cloud: &Cloud, caller: &Caller, id: Id) -> Result<(Arc<Firewall>, Rule), ActionError> {
    let all = cloud.store.list::<Firewall>();
    let mut firewalls = all
        .into_iter()
        .map(|(_, found)| found.value)
        .filter(|firewall| sees(caller, firewall));
    firewalls
        .find_map(|firewall| {
            let rule = firewall.spec.rules.iter().find(|rule| rule.id == id)?;
            let rule = rule.clone();
            Some((firewall, rule))
        })
        .ok_or_else(|| Refusal::RuleNotFound(id).into())
}

/// Changes a firewall's words.
///
/// # Errors
/// [`ErrorKind::Conflict`] for the name of the default one.
pub async fn update(
    cloud: &Cloud,
    caller: &Caller,
    id: Id,
    change: FirewallChange,
) -> Result<Arc<Firewall>, ActionError> {
    caller.may(
        policy::Action::UpdateFirewall,
        &Target::project(caller.project()),
    )?;
    change_record(cloud, caller, id, |firewall, _| {
        if let Some(name) = &change.name {
            if firewall.spec.default && *name != firewall.meta.name {
                return Err(Refusal::DefaultFirewallRenamed.into());
            }
            if !firewall.spec.default && name == DEFAULT_NAME {
                return Err(Refusal::DefaultFirewallExists.into());
            }
            firewall.meta.name.clone_from(name);
        }
        if let Some(description) = &change.description {
            firewall.spec.description.clone_from(description);
        }
        if let Some(tags) = &change.tags {
            firewall.spec.tags.clone_from(tags);
        }
        Ok(())
    })
    .await
}

/// Changes the words of a rule; what it lets pass stands.
///
/// # Errors
/// [`ErrorKind::NotFound`].
pub async fn update_rule(
    cloud: &Cloud,
    caller: &Caller,
    id: Id,
    tags: BTreeSet<String>,
) -> Result<(), ActionError> {
    caller.may(
        policy::Action::UpdateRule,
        &Target::project(caller.project()),
    )?;
    let (firewall, _) = rule(cloud, caller, id)?;
    change_record(cloud, caller, firewall.meta.id, |firewall, _| {
        let rule = firewall.spec.rules.iter_mut().find(|rule| rule.id == id);
        rule.ok_or(Refusal::RuleNotFound(id))?
            .tags
            .clone_from(&tags);
        Ok(())
    })
    .await
    .map(drop)
}

/// Adds rules to a firewall: all of them, or none. Holds for every port at once.
///
/// # Errors
/// [`ErrorKind::Conflict`] for a rule that is there, [`ErrorKind::Invalid`] for one that means
/// nothing, [`ErrorKind::NotFound`] without the firewall that it names as its other end.
pub async fn add_rules(
    cloud: &Cloud,
    caller: &Caller,
    id: Id,
    new: &[NewRule],
) -> Result<Vec<Rule>, ActionError> {
    caller.may(
        policy::Action::CreateRule,
        &Target::project(caller.project()),
    )?;
    for rule in new {
        if let Remote::Firewall(remote) = rule.remote {
            get(cloud, caller, remote)?;
        }
    }
    let now = cloud.now();
    let made = new
        .iter()
        .map(|new| checked(new, now))
        .collect::<Result<Vec<Rule>, _>>()?;
    change_record(cloud, caller, id, |firewall, transaction| {
        let wanted = [(Resource::FirewallRules, made.len() as u64)];
        quota::claim(cloud, transaction, firewall.meta.project, &wanted)?;
        for rule in &made {
            let same = |known: &&Rule| known.means_the_same(rule);
            if let Some(known) = firewall.spec.rules.iter().find(same) {
                return Err(Refusal::RuleExists { rule: known.id }.into());
            }
            firewall.spec.rules.push(rule.clone());
        }
        Ok(())
    })
    .await?;
    Ok(made)
}

/// Takes a rule from its firewall.
///
/// # Errors
/// [`ErrorKind::NotFound`].
pub async fn remove_rule(cloud: &Cloud, caller: &Caller, id: Id) -> Result<(), ActionError> {
    caller.may(
        policy::Action::DeleteRule,
        &Target::project(caller.project()),
    )?;
    let (firewall, _) = rule(cloud, caller, id)?;
    change_record(cloud, caller, firewall.meta.id, |firewall, _| {
        let before = firewall.spec.rules.len();
        firewall.spec.rules.retain(|rule| rule.id != id);
        if firewall.spec.rules.len() == before {
            return Err(Refusal::RuleNotFound(id).into());
        }
        Ok(())
    })
    .await
    .map(drop)
}

/// Removes a firewall that no port uses. Rules of others that name it go with it.
///
/// # Errors
/// [`ErrorKind::Conflict`] for the default one, and for one in use.
pub async fn remove(cloud: &Cloud, caller: &Caller, id: Id) -> Result<(), ActionError> {
    caller.may(
        policy::Action::DeleteFirewall,
        &Target::project(caller.project()),
    )?;
    let found = cloud.store.get::<Firewall>(id).filter(|found| {
        // A shared one is its own project's to remove.
        is_seen(caller, found.value.meta.project)
    });
    let found = found.ok_or(Refusal::FirewallNotFound(id))?;
    // An admin clears away what a project that is gone leaves; a project that is not gets another.
    if found.value.spec.default && !caller.is_admin() {
        return Err(Refusal::DefaultFirewallRemoved.into());
    }
    let is_used = || {
        let ports = cloud.store.list::<Port>();
        ports
            .iter()
            .any(|(_, port)| port.value.spec.firewalls.contains(&id))
    };
    if is_used() {
        return Err(Refusal::FirewallInUse { firewall: id }.into());
    }
    let mut transaction = cloud.store.transaction();
    transaction.delete::<Firewall>(id, Some(found.revision));
    for (other, firewall) in cloud.store.list::<Firewall>() {
        let names_it = |rule: &Rule| rule.remote == Remote::Firewall(id);
        if other == id || !firewall.value.spec.rules.iter().any(names_it) {
            continue;
        }
        let mut rest = Firewall::clone(&firewall.value);
        rest.spec.rules.retain(|rule| !names_it(rule));
        rest.meta.generation += 1;
        transaction.update(other, firewall.revision, rest);
    }
    cloud.commit_durably(transaction).await
}

async fn change_record(
    cloud: &Cloud,
    caller: &Caller,
    id: Id,
    change: impl Fn(&mut Firewall, &mut Transaction) -> Result<(), ActionError>,
) -> Result<Arc<Firewall>, ActionError> {
    loop {
        let found = cloud
            .store
            .get::<Firewall>(id)
            .filter(|found| is_seen(caller, found.value.meta.project))
            .ok_or(Refusal::FirewallNotFound(id))?;
        let mut firewall = Firewall::clone(&found.value);
        let mut transaction = cloud.store.transaction();
        change(&mut firewall, &mut transaction)?;
        firewall.meta.generation += 1;
        firewall.meta.updated_at = Some(cloud.now());
        transaction.update(id, found.revision, firewall.clone());
        match cloud.store.commit(transaction).await {
            Ok(committed) => {
                durable(committed.durable).await?;
                return Ok(Arc::new(firewall));
            }
            Err(store::CommitError::Conflict { .. }) => {}
            Err(error) if quota::is_contended(&error) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Checks what a rule says.
fn checked(new: &NewRule, now: jiff::Timestamp) -> Result<Rule, ActionError> {
    if let Some(protocol) = &new.protocol
        && protocol_number(protocol).is_none()
    {
        return Err(Refusal::RuleProtocol {
            protocol: protocol.clone(),
        }
        .into());
    }
    let rule = Rule {
        protocol: new.protocol.clone(),
        port_min: new.port_min,
        port_max: new.port_max,
        description: new.description.clone(),
        ..Rule::new(new.direction, new.family, new.remote, now)
    };
    if let Remote::Prefix(cidr) = rule.remote
        && cidr.address().is_ipv4() != (rule.family == Family::Ipv4)
    {
        let family = rule.family;
        return Err(Refusal::RuleFamily { family, cidr }.into());
    }
    match wrong_ports(&rule) {
        Some(refusal) => Err(refusal.into()),
        None => Ok(rule),
    }
}

/// What is wrong with the ports of a rule, or the type and the code that they are for ICMP.
fn wrong_ports(rule: &Rule) -> Option<Refusal> {
    let (min, max) = (rule.port_min, rule.port_max);
    if min.is_none() && max.is_none() {
        return None;
    }
    let Some(protocol) = &rule.protocol else {
        return Some(Refusal::RulePortsWithoutProtocol);
    };
    if rule.is_icmp() {
        let fields = [
            ("type (port_range_min)", min),
            ("code (port_range_max)", max),
        ];
        let wrong = fields.into_iter().find_map(|(field, value)| {
            let value = value.filter(|value| *value > 255)?;
            Some(Refusal::RuleIcmpValue { field, value })
        });
        let code_alone = max.filter(|_| min.is_none());
        return wrong.or(code_alone.map(|code| Refusal::RuleIcmpCodeWithoutType { code }));
    }
    if !rule.has_ports() {
        let protocol = protocol.clone();
        return Some(Refusal::RulePortsOfProtocol { protocol });
    }
    match (min, max) {
        (Some(0), _) | (_, Some(0)) => Some(Refusal::RulePort { port: 0 }),
        (Some(min), Some(max)) if min <= max => None,
        _ => Some(Refusal::RulePortRange),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new(protocol: Option<&str>, port_min: Option<u16>, port_max: Option<u16>) -> NewRule {
        NewRule {
            direction: Direction::In,
            family: Family::Ipv4,
            protocol: protocol.map(str::to_owned),
            port_min,
            port_max,
            remote: Remote::Any,
            description: String::new(),
        }
    }

    fn refusal(new: &NewRule) -> Option<Refusal> {
        let error = checked(new, jiff::Timestamp::UNIX_EPOCH).err()?;
        error.refusal.map(|refusal| *refusal)
    }

    #[test]
    fn rules_that_mean_something_are_taken() {
        for (protocol, min, max) in [
            (None, None, None),
            (Some("tcp"), None, None),
            (Some("tcp"), Some(22), Some(22)),
            (Some("17"), Some(1), Some(65_535)),
            (Some("icmp"), Some(8), Some(0)),
            (Some("icmp"), Some(8), None),
            (Some("vrrp"), None, None),
        ] {
            assert_eq!(refusal(&new(protocol, min, max)), None, "{protocol:?}");
        }
    }

    #[test]
    fn rules_that_mean_nothing_are_refused() {
        let cases = [
            (Some("tcpp"), None, None),
            (Some("tcp"), Some(23), Some(22)),
            (Some("tcp"), Some(0), Some(22)),
            (Some("udp"), Some(53), None),
            (None, Some(1), Some(2)),
            (Some("vrrp"), Some(1), Some(2)),
            (Some("icmp"), Some(256), None),
            (Some("icmp"), None, Some(1)),
        ];
        for (protocol, min, max) in cases {
            assert!(
                refusal(&new(protocol, min, max)).is_some(),
                "{protocol:?} {min:?}"
            );
        }
        let mut wrong_family = new(None, None, None);
        wrong_family.remote = Remote::Prefix("fd00::/64".parse().unwrap());
        assert!(matches!(
            refusal(&wrong_family),
            Some(Refusal::RuleFamily { .. })
        ));
    }
}
