//! Profiles in Docker's JSON form and in a specification's, resolved to plain rules.
//!
//! Docker's form has conditions on capabilities, architecture and kernel; a specification's has
//! none left.

use oci_spec::runtime::{
    Arch, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompFilterFlag,
    LinuxSeccompOperator,
};
use serde::Deserialize;

use super::SeccompError;
use super::table::Architecture;

/// Why a profile could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// Not JSON of that form.
    #[error("not a seccomp profile in JSON")]
    Json(#[source] serde_json::Error),
    /// A rule names calls in two ways at once.
    #[error("a rule has both 'name' and 'names'")]
    TwoNames,
    /// Architectures are told in two ways at once.
    #[error("both 'architectures' and 'archMap' are given")]
    TwoArchitectures,
    /// Not `major.minor`.
    #[error("minKernel {0:?} is no kernel version")]
    Kernel(String),
    /// It asks for what this runtime does not do.
    #[error("{0} is not supported")]
    Unsupported(String),
}

/// A profile without conditions.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    /// What happens to a call without a rule, as `SECCOMP_RET_*`.
    pub(super) default: u32,
    pub(super) architectures: Vec<Architecture>,
    pub(super) rules: Vec<Rule>,
}

/// What happens to some calls.
#[derive(Clone, Debug)]
pub(super) struct Rule {
    pub(super) names: Vec<String>,
    /// `SECCOMP_RET_*`.
    pub(super) action: u32,
    /// All must hold.
    pub(super) conditions: Vec<Condition>,
}

/// A comparison of one argument of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Condition {
    /// Which argument, 0 to 5.
    pub(super) argument: u8,
    pub(super) operator: Operator,
    pub(super) value: u64,
}

/// How an argument is compared, as a 64-bit number without sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    /// Equal in the bits of this mask.
    MaskedEqual(u64),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DockerProfile {
    default_action: LinuxSeccompAction,
    default_errno_ret: Option<u32>,
    #[serde(default)]
    architectures: Vec<Arch>,
    #[serde(default)]
    arch_map: Vec<DockerArchitecture>,
    #[serde(default)]
    listener_path: String,
    #[serde(default)]
    syscalls: Vec<DockerRule>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DockerArchitecture {
    architecture: String,
    #[serde(default)]
    sub_architectures: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DockerRule {
    #[serde(default)]
    name: String,
    #[serde(default)]
    names: Vec<String>,
    action: LinuxSeccompAction,
    errno_ret: Option<u32>,
    args: Option<Vec<DockerArgument>>,
    #[serde(default)]
    includes: DockerConditions,
    #[serde(default)]
    excludes: DockerConditions,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DockerArgument {
    index: usize,
    value: u64,
    #[serde(default)]
    value_two: u64,
    op: LinuxSeccompOperator,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct DockerConditions {
    caps: Vec<String>,
    arches: Vec<String>,
    min_kernel: String,
}

impl Rules {
    /// Resolves a profile in Docker's form for this host.
    pub(super) fn from_docker(json: &str, capabilities: &[String]) -> Result<Self, ProfileError> {
        let profile: DockerProfile = serde_json::from_str(json).map_err(ProfileError::Json)?;
        if !profile.listener_path.is_empty() {
            return Err(ProfileError::Unsupported("listenerPath".to_owned()));
        }
        if !profile.architectures.is_empty() && !profile.arch_map.is_empty() {
            return Err(ProfileError::TwoArchitectures);
        }
        let mut rules = Vec::new();
        for rule in profile.syscalls {
            if !rule.name.is_empty() && !rule.names.is_empty() {
                return Err(ProfileError::TwoNames);
            }
            if !rule.includes.all_hold(capabilities)? || rule.excludes.any_holds(capabilities)? {
                continue;
            }
            let names = if rule.name.is_empty() {
                rule.names
            } else {
                vec![rule.name]
            };
            let arguments = rule.args.unwrap_or_default();
            let conditions = arguments
                .iter()
                .map(|arg| condition(arg.index, arg.op, arg.value, arg.value_two));
            add(
                &mut rules,
                names,
                action(rule.action, rule.errno_ret)?,
                conditions.collect::<Result<_, _>>()?,
            );
        }
        Ok(Self {
            default: action(profile.default_action, profile.default_errno_ret)?,
            architectures: architectures(&profile.architectures, &profile.arch_map),
            rules,
        })
    }

    /// Takes a specification's rules.
    pub(super) fn from_spec(wanted: &LinuxSeccomp) -> Result<Self, SeccompError> {
        let unsupported = |error: ProfileError| match error {
            ProfileError::Unsupported(what) => SeccompError::Unsupported(what),
            error => SeccompError::Profile(error),
        };
        for flag in wanted.flags().iter().flatten() {
            // It concerns the threads of a process; one that starts has one.
            if *flag != LinuxSeccompFilterFlag::SeccompFilterFlagTsync {
                return Err(SeccompError::Unsupported(format!("flags {flag:?}")));
            }
        }
        if wanted.listener_path().is_some() {
            return Err(SeccompError::Unsupported("listenerPath".to_owned()));
        }
        let mut rules = Vec::new();
        for rule in wanted.syscalls().iter().flatten() {
            let argument = |arg: &LinuxSeccompArg| {
                condition(
                    arg.index(),
                    arg.op(),
                    arg.value(),
                    arg.value_two().unwrap_or(0),
                )
            };
            let conditions = rule
                .args()
                .iter()
                .flatten()
                .map(argument)
                .collect::<Result<_, _>>();
            let action = action(rule.action(), rule.errno_ret()).map_err(unsupported)?;
            add(
                &mut rules,
                rule.names().clone(),
                action,
                conditions.map_err(unsupported)?,
            );
        }
        let listed = wanted.architectures().as_deref().unwrap_or_default();
        Ok(Self {
            default: action(wanted.default_action(), wanted.default_errno_ret())
                .map_err(unsupported)?,
            architectures: architectures(listed, &[]),
            rules,
        })
    }
}

impl DockerConditions {
    fn all_hold(&self, capabilities: &[String]) -> Result<bool, ProfileError> {
        let arches = self.arches.is_empty()
            || self
                .arches
                .iter()
                .any(|arch| arch == Architecture::NATIVE.docker_name());
        Ok(arches
            && self.caps.iter().all(|cap| capabilities.contains(cap))
            && kernel_is_at_least(&self.min_kernel)?)
    }

    fn any_holds(&self, capabilities: &[String]) -> Result<bool, ProfileError> {
        let arch = self
            .arches
            .iter()
            .any(|arch| arch == Architecture::NATIVE.docker_name());
        let kernel = !self.min_kernel.is_empty() && kernel_is_at_least(&self.min_kernel)?;
        Ok(arch || kernel || self.caps.iter().any(|cap| capabilities.contains(cap)))
    }
}

/// Several conditions on one argument are alternatives, on several they all must hold; as
/// libseccomp's users know it.
fn add(rules: &mut Vec<Rule>, names: Vec<String>, action: u32, conditions: Vec<Condition>) {
    let twice = conditions.iter().enumerate().any(|(at, condition)| {
        conditions
            .iter()
            .take(at)
            .any(|earlier| earlier.argument == condition.argument)
    });
    if twice {
        for condition in conditions {
            rules.push(Rule {
                names: names.clone(),
                action,
                conditions: vec![condition],
            });
        }
    } else {
        rules.push(Rule {
            names,
            action,
            conditions,
        });
    }
}

fn action(action: LinuxSeccompAction, errno: Option<u32>) -> Result<u32, ProfileError> {
    match action {
        LinuxSeccompAction::ScmpActNotify => Err(ProfileError::Unsupported(
            "action SCMP_ACT_NOTIFY".to_owned(),
        )),
        action => Ok(action.as_u32(errno)),
    }
}

fn condition(
    index: usize,
    operator: LinuxSeccompOperator,
    value: u64,
    value_two: u64,
) -> Result<Condition, ProfileError> {
    let argument = u8::try_from(index).ok().filter(|index| *index < 6);
    let argument = argument
        .ok_or_else(|| ProfileError::Unsupported(format!("argument {index} of a system call")))?;
    let (operator, value) = match operator {
        LinuxSeccompOperator::ScmpCmpNe => (Operator::NotEqual, value),
        LinuxSeccompOperator::ScmpCmpLt => (Operator::Less, value),
        LinuxSeccompOperator::ScmpCmpLe => (Operator::LessOrEqual, value),
        LinuxSeccompOperator::ScmpCmpEq => (Operator::Equal, value),
        LinuxSeccompOperator::ScmpCmpGe => (Operator::GreaterOrEqual, value),
        LinuxSeccompOperator::ScmpCmpGt => (Operator::Greater, value),
        LinuxSeccompOperator::ScmpCmpMaskedEq => (Operator::MaskedEqual(value), value_two),
    };
    Ok(Condition {
        argument,
        operator,
        value,
    })
}

fn architectures(listed: &[Arch], map: &[DockerArchitecture]) -> Vec<Architecture> {
    let mut found = vec![Architecture::NATIVE];
    let known = |arch: Architecture, found: &mut Vec<Architecture>| {
        if !found.contains(&arch) {
            found.push(arch);
        }
    };
    for arch in listed
        .iter()
        .filter_map(|arch| Architecture::from_spec(*arch))
    {
        known(arch, &mut found);
    }
    let parse =
        |name: &String| serde_json::from_value(serde_json::Value::String(name.clone())).ok();
    for entry in map {
        let native = parse(&entry.architecture).and_then(Architecture::from_spec)
            == Some(Architecture::NATIVE);
        if native {
            for arch in entry
                .sub_architectures
                .iter()
                .filter_map(parse)
                .filter_map(Architecture::from_spec)
            {
                known(arch, &mut found);
            }
        }
    }
    found
}

fn kernel_is_at_least(wanted: &str) -> Result<bool, ProfileError> {
    let version = |text: &str| {
        let mut parts = text.split(|letter: char| !letter.is_ascii_digit());
        Some((
            parts.next()?.parse::<u32>().ok()?,
            parts.next()?.parse::<u32>().ok()?,
        ))
    };
    if wanted.is_empty() {
        return Ok(true);
    }
    let wanted = version(wanted).ok_or_else(|| ProfileError::Kernel(wanted.to_owned()))?;
    let running = rustix::system::uname();
    Ok(version(&running.release().to_string_lossy()).is_none_or(|running| running >= wanted))
}
