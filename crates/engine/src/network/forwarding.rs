//! Whether the node lets our traffic pass, and dockerd's rules beside which it must.
//!
//! A packet must be accepted by every table. dockerd sets the policy of the node's FORWARD chain to
//! DROP, which also cuts off bridges that are not its own, and leaves the chain DOCKER-USER for
//! what others want to pass (<https://docs.docker.com/engine/network/packet-filtering-firewalls/>).
//! Where that chain exists, two rules of ours per family stand in it; [`super::firewall`] still
//! decides what may pass. A DROP that is not dockerd's is the administrator's: it is left and
//! reported. dockerd may start after us, so [`super::Networks`] looks again from time to time.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};

/// The chain that dockerd leaves to others.
const CHAIN: &str = "DOCKER-USER";
/// One per address family.
const PROGRAMS: [&str; 2] = ["iptables", "ip6tables"];

/// How the node treats packets between its interfaces, in one look at its rules.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Forwarding {
    /// Packets pass unless a rule drops them.
    Open,
    /// dockerd drops what is not its own, and has a chain where we let ours pass.
    BesideDocker,
    /// The node's administrator drops what no rule accepts; ours too.
    Closed,
}

impl Forwarding {
    /// Looks at the node's rules for IPv4. Without an `iptables` program they are open.
    #[must_use]
    pub fn of_node() -> Self {
        if !run("iptables", &["-S", "FORWARD"])
            .is_some_and(|rules| rules.starts_with("-P FORWARD DROP"))
        {
            Self::Open
        } else if has_chain("iptables") {
            Self::BesideDocker
        } else {
            Self::Closed
        }
    }
}

/// Lets traffic of interfaces that begin with `prefix`, or bear one of `names`, pass dockerd's
/// rules, where there are any.
pub(super) fn pass(prefix: &str, names: &BTreeSet<String>) {
    for program in PROGRAMS {
        if !has_chain(program) {
            continue;
        }
        for rule in rules(prefix, names) {
            let rule: Vec<&str> = rule.iter().map(String::as_str).collect();
            if run(program, &[&["-C", CHAIN], &rule[..]].concat()).is_none()
                && run(program, &[&["-I", CHAIN], &rule[..]].concat()).is_none()
            {
                tracing::warn!(
                    program,
                    "dockerd's rules keep traffic of instances from passing"
                );
            }
        }
    }
}

/// Removes our rules from dockerd's chain.
pub(super) fn withdraw(prefix: &str, names: &BTreeSet<String>) {
    for program in PROGRAMS {
        if !has_chain(program) {
            continue;
        }
        for rule in rules(prefix, names) {
            let rule: Vec<&str> = rule.iter().map(String::as_str).collect();
            while run(program, &[&["-D", CHAIN], &rule[..]].concat()).is_some() {}
        }
    }
}

/// Our rules: from and to our interfaces.
fn rules(prefix: &str, names: &BTreeSet<String>) -> Vec<[String; 4]> {
    std::iter::once(format!("{prefix}+"))
        .chain(names.iter().cloned())
        .flat_map(|interface| {
            ["-i", "-o"].map(|side| {
                [
                    side.to_owned(),
                    interface.clone(),
                    "-j".to_owned(),
                    "ACCEPT".to_owned(),
                ]
            })
        })
        .collect()
}

fn has_chain(program: &str) -> bool {
    run(program, &["-S", CHAIN]).is_some()
}

/// What a program that succeeds prints.
fn run(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program)
        .arg("--wait=5")
        .args(arguments)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}
