//! Privileges: capabilities, security options, masked paths. Pure.

use model::security::{CAPABILITIES, Seccomp, Security, UserNamespace};

use crate::container::wire::HostConfig;
use crate::error::ApiError;

/// Privileges as the model has them.
pub(crate) fn to_model(host: &HostConfig) -> Result<Security, ApiError> {
    let options = security_options(host.security_opt.as_deref().unwrap_or_default())?;
    if !matches!(host.userns_mode.as_str(), "" | "host") {
        return Err(ApiError::invalid(format!(
            "invalid USER mode: {}",
            host.userns_mode
        )));
    }
    if !(-1000..=1000).contains(&host.oom_score_adj) {
        return Err(ApiError::invalid(format!(
            "Invalid value {}, range for oom score adj is [-1000, 1000]",
            host.oom_score_adj
        )));
    }
    Ok(Security {
        privileged: host.privileged,
        capabilities_add: capabilities(host.cap_add.as_deref().unwrap_or_default(), "CapAdd")?,
        capabilities_drop: capabilities(host.cap_drop.as_deref().unwrap_or_default(), "CapDrop")?,
        no_new_privileges: options.no_new_privileges,
        seccomp: options.seccomp,
        groups: host.group_add.clone().unwrap_or_default(),
        masked_paths: host.masked_paths.clone(),
        read_only_paths: host.readonly_paths.clone(),
        user_namespace: UserNamespace::Host,
        writable_cgroups: options.writable_cgroups,
        device_rules: host
            .resources
            .device_cgroup_rules
            .clone()
            .unwrap_or_default(),
        oom_score_adj: Some(host.oom_score_adj).filter(|adjustment| *adjustment != 0),
    })
}

/// Capabilities by their kernel names, whatever the case and with or without `CAP_`.
fn capabilities(names: &[String], field: &str) -> Result<Vec<String>, ApiError> {
    names
        .iter()
        .map(|name| {
            let upper = name.to_uppercase();
            if upper == "ALL" {
                return Ok(upper);
            }
            let full = if upper.starts_with("CAP_") {
                upper
            } else {
                format!("CAP_{upper}")
            };
            if CAPABILITIES.contains(&full.as_str()) {
                Ok(full)
            } else {
                Err(ApiError::invalid(format!(
                    "invalid {field}: unknown capability: {full:?}"
                )))
            }
        })
        .collect()
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Options {
    no_new_privileges: bool,
    writable_cgroups: Option<bool>,
    seccomp: Seccomp,
}

fn security_options(texts: &[String]) -> Result<Options, ApiError> {
    let mut options = Options::default();
    for text in texts {
        match text.as_str() {
            "no-new-privileges" => {
                options.no_new_privileges = true;
                continue;
            }
            // There is no SELinux here that could be switched off.
            "disable" => continue,
            "writable-cgroups" => {
                options.writable_cgroups = Some(true);
                continue;
            }
            _ => {}
        }
        let pair = text.split_once('=').or_else(|| text.split_once(':'));
        let Some((key, value)) = pair else {
            return Err(ApiError::invalid(format!(
                "invalid --security-opt 1: {text:?}"
            )));
        };
        match key {
            "no-new-privileges" => options.no_new_privileges = boolean(text, value)?,
            "writable-cgroups" => options.writable_cgroups = Some(boolean(text, value)?),
            "seccomp" => options.seccomp = seccomp(value)?,
            "apparmor" if matches!(value, "" | "unconfined") => {}
            "label" if value == "disable" => {}
            "apparmor" | "label" => return Err(unsupported(text)),
            _ => {
                return Err(ApiError::invalid(format!(
                    "invalid --security-opt 2: {text:?}"
                )));
            }
        }
    }
    Ok(options)
}

fn boolean(text: &str, value: &str) -> Result<bool, ApiError> {
    match value {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(ApiError::invalid(format!(
            "invalid --security-opt 2: {text:?}"
        ))),
    }
}

fn seccomp(value: &str) -> Result<Seccomp, ApiError> {
    match value {
        "" | "builtin" => Ok(Seccomp::Default),
        "unconfined" => Ok(Seccomp::Unconfined),
        profile => match serde_json::from_str::<serde_json::Map<_, _>>(profile) {
            Ok(_) => Ok(Seccomp::Profile(profile.to_owned())),
            Err(error) => Err(ApiError::invalid(format!(
                "Decoding seccomp profile failed: {error}"
            ))),
        },
    }
}

fn unsupported(text: &str) -> ApiError {
    ApiError::invalid(format!(
        "HostConfig.SecurityOpt: {text:?} is not supported by this daemon"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(texts: &[&str]) -> Result<Options, String> {
        let texts: Vec<_> = texts.iter().map(|text| (*text).to_owned()).collect();
        security_options(&texts).map_err(|error| error.message)
    }

    #[test]
    fn options_are_read_in_both_spellings() {
        let read = options(&[
            "no-new-privileges:true",
            "writable-cgroups=false",
            "seccomp=unconfined",
            "label=disable",
            "apparmor=unconfined",
        ]);
        assert_eq!(
            read,
            Ok(Options {
                no_new_privileges: true,
                writable_cgroups: Some(false),
                seccomp: Seccomp::Unconfined
            })
        );
        assert_eq!(
            options(&["writable-cgroups"]).map(|read| read.writable_cgroups),
            Ok(Some(true))
        );
        assert_eq!(
            options(&["no-new-privileges=false"]),
            Ok(Options::default())
        );
    }

    #[test]
    fn options_that_cannot_be_honoured_are_refused() {
        assert_eq!(
            options(&["x"]).unwrap_err(),
            "invalid --security-opt 1: \"x\""
        );
        assert_eq!(
            options(&["x=y"]).unwrap_err(),
            "invalid --security-opt 2: \"x=y\""
        );
        assert!(
            options(&["label=type:svirt_t"])
                .unwrap_err()
                .contains("HostConfig.SecurityOpt")
        );
        assert!(
            options(&["seccomp={"])
                .unwrap_err()
                .starts_with("Decoding seccomp profile failed")
        );
    }

    #[test]
    fn capabilities_get_their_kernel_names() {
        let names = [
            "net_admin".to_owned(),
            "CAP_SYS_TIME".to_owned(),
            "all".to_owned(),
        ];
        assert_eq!(
            capabilities(&names, "CapAdd").unwrap(),
            ["CAP_NET_ADMIN", "CAP_SYS_TIME", "ALL"]
        );
        assert_eq!(
            capabilities(&["fly".to_owned()], "CapDrop")
                .unwrap_err()
                .message,
            "invalid CapDrop: unknown capability: \"CAP_FLY\""
        );
    }
}
