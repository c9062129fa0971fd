//! The attributes of a Dockerfile's build in BuildKit's words, turned into the model.
//!
//! Source: BuildKit v0.24, `frontend/dockerui/attr.go`, `namedcontext.go`.

use std::collections::{BTreeMap, HashMap};

use actions::build::{Named, Remote, Request};
use bollard_buildkit_proto::pb::Definition;
use serde_json::{Map, Value, json};

use super::error::status_error;
use super::request::{CONTEXT, Packed, inputs};
use crate::build::remote;
use crate::error::ApiError;

/// Where the Dockerfile is, where it is not in the client's directory of that name.
const DOCKERFILE_KEY: &str = "dockerfilekey";

/// How clients spell an archive that they send from their standard input.
const UPLOAD: &str = "http://buildkit-session/";

pub(super) const NO_CACHE_IMPORT: &str =
    "the cache to import is not looked at: this daemon uses its own";

/// The attributes of a frontend, as far as they are read.
#[derive(Default)]
pub(super) struct Attributes {
    pub(super) request: Request,
    pub(super) host: Map<String, Value>,
    pub(super) directory_of_dockerfile: Option<String>,
    pub(super) sessions: HashMap<String, String>,
    /// What the client calls directories beside the context, by the Dockerfile's name for them.
    pub(super) named: BTreeMap<String, String>,
    /// What names of the Dockerfile stand for that is elsewhere.
    pub(super) remote: BTreeMap<String, Remote>,
    /// Images that other builds led to.
    inputs: HashMap<String, String>,
    /// Where the context is, where it is not in the client's directory of that name.
    context: Option<String>,
    /// The same, understood.
    pub(super) archive: Option<Packed>,
    pub(super) warnings: Vec<String>,
}

fn unsupported(name: &str, value: &str, remedy: &str) -> ApiError {
    ApiError::unsupported(format!("{name}={value}: not supported, {remedy}"))
}

impl Attributes {
    pub(super) fn read(
        attributes: HashMap<String, String>,
        results: &HashMap<String, Definition>,
    ) -> Result<Self, ApiError> {
        let mut read = Self {
            inputs: inputs(results).map_err(|status| status_error(&status))?,
            ..Self::default()
        };
        read.request.dockerfile = "Dockerfile".to_owned();
        read.request.as_it_happens = true;
        for (name, value) in attributes {
            read.take(&name, value)?;
        }
        // A build argument may say how it is fetched.
        let archive = read.context.take().map(|text| {
            Ok::<_, ApiError>(match text.strip_prefix(UPLOAD) {
                Some(path) => Packed::InSession(format!("/{path}")),
                None => Packed::Remote(remote(&text, &read.request)?),
            })
        });
        read.archive = archive.transpose()?;
        Ok(read)
    }

    fn take(&mut self, name: &str, value: String) -> Result<(), ApiError> {
        if let Some((family, rest)) = name.split_once(':') {
            return self.take_of_family(family, rest, value);
        }
        let request = &mut self.request;
        match name {
            "filename" => request.dockerfile = value,
            "target" => request.target = value,
            "platform" if value.contains(',') => {
                return Err(unsupported(
                    name,
                    &value,
                    "build for one platform at a time",
                ));
            }
            "platform" => request.platform = Some(value),
            // Of some stages only: building the others again gives the same.
            "no-cache" => request.no_cache = true,
            "image-resolve-mode" => match value.as_str() {
                "pull" => request.pull = true,
                "local" | "default" | "" => {}
                _ => return Err(ApiError::invalid(format!("invalid {name}: {value}"))),
            },
            DOCKERFILE_KEY => self.directory_of_dockerfile = Some(value),
            CONTEXT => self.context = Some(value),
            "requestid" => {
                return Err(unsupported(name, &value, "only building is"));
            }
            "multi-platform" if value == "true" => {
                return Err(unsupported(
                    name,
                    &value,
                    "build for one platform at a time",
                ));
            }
            "cache-imports" | "cache-from" => {
                if !matches!(value.as_str(), "" | "[]" | "null") {
                    self.warnings.push(NO_CACHE_IMPORT.to_owned());
                }
            }
            // What these announce is refused where it is asked for.
            "multi-platform" | "frontend.caps" => {}
            name => return self.take_limit(name, value),
        }
        Ok(())
    }

    fn take_of_family(&mut self, family: &str, rest: &str, value: String) -> Result<(), ApiError> {
        let rest = rest.to_owned();
        match family {
            "build-arg" => drop(self.request.arguments.insert(rest, value)),
            "label" => drop(self.request.labels.insert(rest, value)),
            "local-sessionid" => drop(self.sessions.insert(rest, value)),
            // For what a build writes down of its origin, and keys of caches.
            "vcs" | "sharedkey" => {}
            "context" => return self.take_context(rest, value),
            "attest" => {
                return Err(unsupported(
                    &format!("attest {rest}"),
                    &value,
                    "build with --provenance=false --sbom=false",
                ));
            }
            family => {
                return Err(ApiError::unsupported(format!(
                    "{family}:{rest}: no such attribute of a Dockerfile's build is known"
                )));
            }
        }
        Ok(())
    }

    /// What a name in the Dockerfile stands for.
    fn take_context(&mut self, name: String, value: String) -> Result<(), ApiError> {
        let means = match value.split_once(':') {
            Some(("docker-image", image)) => {
                Named::Image(image.strip_prefix("//").unwrap_or(image).to_owned())
            }
            Some(("local", directory)) => {
                self.named.insert(name.clone(), directory.to_owned());
                Named::Directory
            }
            Some(("input", input)) => {
                let image = self.inputs.get(input).cloned();
                Named::Built(image.ok_or_else(|| {
                    ApiError::invalid(format!("build-context {name}: no such input: {input}"))
                })?)
            }
            _ => {
                let remote = Remote::parse(&value);
                let remote = remote.map_err(|error| ApiError::invalid(error.to_string()))?;
                let remote = remote.ok_or_else(|| {
                    unsupported(
                        &format!("build-context {name}"),
                        &value,
                        "a directory, an address, docker-image:// or target: is",
                    )
                })?;
                self.remote.insert(name.clone(), remote);
                Named::Directory
            }
        };
        self.request.contexts.insert(name, means);
        Ok(())
    }

    /// What commands run in, as fields of a container's host configuration.
    fn take_limit(&mut self, name: &str, value: String) -> Result<(), ApiError> {
        let invalid = || ApiError::invalid(format!("invalid {name}: {value:?}"));
        let number = || value.parse::<i64>().map_err(|_| invalid());
        let (field, value) = match name {
            "force-network-mode" => match value.as_str() {
                "none" | "host" => ("NetworkMode", json!(value)),
                "" | "sandbox" | "default" => return Ok(()),
                _ => return Err(invalid()),
            },
            "cgroup-parent" => ("CgroupParent", json!(value)),
            "shm-size" => ("ShmSize", json!(number()?)),
            "memory" => ("Memory", json!(number()?)),
            "memswap" => ("MemorySwap", json!(number()?)),
            "cpushares" => ("CpuShares", json!(number()?)),
            "cpuperiod" => ("CpuPeriod", json!(number()?)),
            "cpuquota" => ("CpuQuota", json!(number()?)),
            "cpusetcpus" => ("CpusetCpus", json!(value)),
            "cpusetmems" => ("CpusetMems", json!(value)),
            "ulimit" => {
                let limits = value.split(',').map(ulimit).collect::<Option<Vec<_>>>();
                ("Ulimits", json!(limits.ok_or_else(invalid)?))
            }
            "add-hosts" => {
                let hosts = value.split(',').map(host).collect::<Option<Vec<_>>>();
                ("ExtraHosts", json!(hosts.ok_or_else(invalid)?))
            }
            name => {
                return Err(ApiError::unsupported(format!(
                    "{name}: no such attribute of a Dockerfile's build is known"
                )));
            }
        };
        self.host.insert(field.to_owned(), value);
        Ok(())
    }
}

/// `nofile=1024:2048`
fn ulimit(text: &str) -> Option<Value> {
    let (name, limits) = text.split_once('=')?;
    let (soft, hard) = limits.split_once(':').unwrap_or((limits, limits));
    let (soft, hard): (i64, i64) = (soft.parse().ok()?, hard.parse().ok()?);
    Some(json!({ "Name": name, "Soft": soft, "Hard": hard }))
}

/// `name=10.0.0.1`, to `name:10.0.0.1`.
fn host(text: &str) -> Option<String> {
    let (name, address) = text.split_once('=')?;
    Some(format!("{name}:{address}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEEP_GIT_DIR: &str = "build-arg:BUILDKIT_CONTEXT_KEEP_GIT_DIR";

    fn taken(attributes: &[(&str, &str)]) -> Result<Attributes, ApiError> {
        let mut read = Attributes::default();
        for (name, value) in attributes {
            read.take(name, (*value).to_owned())?;
        }
        Ok(read)
    }

    #[test]
    fn attributes_become_a_request() {
        let read = taken(&[
            ("filename", "build/Dockerfile"),
            ("target", "one"),
            ("build-arg:A", "b=c"),
            ("label:org.x", "y"),
            ("no-cache", ""),
            ("platform", "linux/amd64"),
            ("image-resolve-mode", "pull"),
            ("force-network-mode", "host"),
            ("add-hosts", "a=10.0.0.1,b=::1"),
            ("ulimit", "nofile=1024:2048,core=0"),
            ("shm-size", "1048576"),
            ("local-sessionid:context", "other"),
            ("context:base", "docker-image://local/base:2"),
            ("context:files", "local:files"),
            ("context:there", "git@host:a.git#v1"),
            ("vcs:revision", "0123"),
        ])
        .unwrap_or_else(|error| panic!("{error}"));
        let request = &read.request;
        assert_eq!(request.dockerfile, "build/Dockerfile");
        assert_eq!(request.arguments["A"], "b=c");
        assert_eq!(request.labels["org.x"], "y");
        assert!(request.no_cache && request.pull);
        assert_eq!(read.sessions["context"], "other");
        let image = Named::Image("local/base:2".to_owned());
        assert_eq!(request.contexts["base"], image);
        assert_eq!(request.contexts["files"], Named::Directory);
        assert_eq!(read.named["files"], "files");
        assert_eq!(request.contexts["there"], Named::Directory);
        assert_eq!(read.remote["there"].shown(), "git@host:a.git");
        assert_eq!(
            Value::from(read.host),
            json!({
                "NetworkMode": "host",
                "ExtraHosts": ["a:10.0.0.1", "b:::1"],
                "Ulimits": [
                    { "Name": "nofile", "Soft": 1024, "Hard": 2048 },
                    { "Name": "core", "Soft": 0, "Hard": 0 },
                ],
                "ShmSize": 1_048_576,
            })
        );
    }

    #[test]
    fn a_context_may_be_elsewhere() {
        let read = |context: &str| {
            let given = [(CONTEXT, context), (KEEP_GIT_DIR, "true")];
            let given = given.map(|(name, value)| (name.to_owned(), value.to_owned()));
            let read = Attributes::read(HashMap::from(given), &HashMap::new());
            read.map(|read| read.archive)
        };
        let session = read("http://buildkit-session/abc").unwrap();
        assert!(matches!(session, Some(Packed::InSession(path)) if path == "/abc"));
        let file = read("https://host/a.tgz").unwrap();
        assert!(matches!(file, Some(Packed::Remote(Remote::File(_)))));
        let Some(Packed::Remote(Remote::Repository(repository))) =
            read("https://host/a.git#v1:dir").unwrap()
        else {
            panic!("it is a repository's address");
        };
        assert_eq!(repository.keep_git_dir, Some(true));
        assert_eq!(repository.directory, "dir");
        assert!(read("https://host/a.git#-x").is_err());
        assert!(read("somewhere").is_err());
    }

    #[test]
    fn what_is_not_done_is_refused_by_name() {
        for (name, value, words) in [
            (
                "platform",
                "linux/amd64,linux/arm64",
                "platform=linux/amd64,linux/arm64: not",
            ),
            (
                "context:base",
                "oci-layout://a",
                "build-context base=oci-layout://a: not",
            ),
            (
                "requestid",
                "frontend.outline",
                "requestid=frontend.outline: not",
            ),
            ("attest:sbom", "", "attest sbom=: not"),
            (
                "force-network-mode",
                "bridge",
                "invalid force-network-mode: \"bridge\"",
            ),
            ("ulimit", "nofile", "invalid ulimit: \"nofile\""),
            ("device", "gpu", "device: no such attribute"),
            ("input:git", "x", "input:git: no such attribute"),
        ] {
            let error = taken(&[(name, value)]).err().map(|error| error.message);
            assert!(
                error.as_ref().is_some_and(|error| error.starts_with(words)),
                "{error:?}"
            );
        }
    }
}
