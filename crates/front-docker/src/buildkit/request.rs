//! What a client asks to be built, in BuildKit's words, checked and turned into the model. What is not
//! done is refused by name.
//!
//! Source: BuildKit v0.24, `frontend/dockerui/config.go`, `context.go`; buildx v0.25, `build/opt.go`.

use std::collections::{BTreeMap, HashMap};

use actions::build::{Context, Named, NewBuild, Request};
use actions::distribution::Reference;
use bollard_buildkit_proto::moby::buildkit::v1::{CacheOptions, Exporter, SolveRequest};
use bollard_buildkit_proto::pb::Definition;
use serde_json::{Map, Value, json};
use tonic::Status;

use super::error::status_error;
use super::result;
use crate::build::{surroundings, to_model};
use crate::container::create::Around;
use crate::error::ApiError;
use crate::front::At;

/// The one frontend: Dockerfiles.
pub(super) const DOCKERFILE: &str = "dockerfile.v0";

/// What a client calls the directories that a build is made of.
const CONTEXT: &str = "context";
const DIRECTORY_OF_DOCKERFILE: &str = "dockerfile";

/// How clients spell an archive that they send from their standard input.
const UPLOAD: &str = "http://buildkit-session/";

const NO_CACHE_IMPORT: &str = "the cache to import is not looked at: this daemon uses its own";

/// What becomes of an image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Export {
    /// Whole names that it gets.
    pub(super) names: Vec<String>,
    /// It is there for later builds only.
    pub(super) is_unlisted: bool,
}

impl Export {
    /// An image under these names.
    pub(super) fn under(names: &[String]) -> Result<Self, Status> {
        let whole = |name: &String| {
            let name = Reference::parse(name);
            let name = name.map_err(|error| Status::invalid_argument(error.to_string()))?;
            Ok(name.or_latest().to_string())
        };
        Ok(Self {
            names: names.iter().map(whole).collect::<Result<_, Status>>()?,
            is_unlisted: false,
        })
    }

    pub(super) fn of(request: &SolveRequest) -> Result<Self, Status> {
        let mut exporters = request.exporters.clone();
        if exporters.is_empty() && !request.exporter_deprecated.is_empty() {
            exporters.push(Exporter {
                r#type: request.exporter_deprecated.clone(),
                attrs: request.exporter_attrs_deprecated.clone(),
            });
        }
        match exporters.as_slice() {
            [] => Ok(Self {
                is_unlisted: true,
                ..Self::default()
            }),
            [one] => Self::of_exporter(one),
            many => Err(Status::unimplemented(format!(
                "{} outputs at once: not supported, ask for one",
                many.len()
            ))),
        }
    }

    fn of_exporter(exporter: &Exporter) -> Result<Self, Status> {
        let kind = exporter.r#type.as_str();
        // buildx calls the daemon's own images so, and pushes them itself.
        if !matches!(kind, "moby" | "image") {
            return Err(Status::unimplemented(format!(
                "output type={kind}: not supported, build an image and copy files out of a container of it"
            )));
        }
        let mut names = Vec::new();
        for (name, value) in &exporter.attrs {
            let is_on = !matches!(value.as_str(), "" | "false");
            match name.as_str() {
                "name" => {
                    let some = value.split(',').filter(|name| !name.is_empty());
                    names.extend(some.map(str::to_owned));
                }
                "push" if kind == "moby" => {}
                name if is_on => {
                    return Err(Status::unimplemented(format!(
                        "output type={kind},{name}={value}: {name} is not supported"
                    )));
                }
                _ => {}
            }
        }
        Self::under(&names)
    }
}

pub(super) fn refuse_definition(definition: Option<&Definition>) -> Result<(), Status> {
    match definition {
        Some(definition) if !definition.def.is_empty() => Err(Status::unimplemented(
            "Definition: graphs of operations (LLB) are not supported, build a Dockerfile",
        )),
        _ => Ok(()),
    }
}

/// The images that results of other builds stand for, by the client's names for them.
fn inputs(graphs: &HashMap<String, Definition>) -> Result<HashMap<String, String>, Status> {
    let images = graphs
        .iter()
        .map(|(name, graph)| Ok((name.clone(), result::image(name, graph)?)));
    images.collect()
}

pub(super) fn refuse_frontend(name: &str) -> Status {
    Status::unimplemented(format!(
        "frontend {name:?}: not supported, only {DOCKERFILE} is, which is built in"
    ))
}

/// Checks all that is no attribute of the Dockerfile's; answers what the client is to be warned of.
pub(super) fn check(request: &SolveRequest) -> Result<Vec<String>, Status> {
    refuse_definition(request.definition.as_ref())?;
    inputs(&request.frontend_inputs)?;
    if !matches!(request.frontend.as_str(), "" | DOCKERFILE) {
        return Err(refuse_frontend(&request.frontend));
    }
    for entitlement in &request.entitlements {
        if entitlement != "network.host" {
            return Err(Status::permission_denied(format!(
                "entitlement {entitlement}: not given to builds, only network.host is"
            )));
        }
    }
    let policy = request.source_policy.as_ref();
    if policy.is_some_and(|policy| !policy.rules.is_empty())
        || !request.source_policy_session.is_empty()
    {
        return Err(Status::unimplemented(
            "SourcePolicy: policies on sources are not supported",
        ));
    }
    request
        .cache
        .as_ref()
        .map_or_else(|| Ok(Vec::new()), check_cache)
}

fn check_cache(cache: &CacheOptions) -> Result<Vec<String>, Status> {
    let mut warnings = Vec::new();
    for export in &cache.exports {
        if export.r#type != "inline" {
            return Err(Status::unimplemented(format!(
                "cache-to type={}: exporting the cache is not supported",
                export.r#type
            )));
        }
        warnings.push("no cache is written into the image: this daemon keeps its own".to_owned());
    }
    if !cache.export_ref_deprecated.is_empty() {
        return Err(Status::unimplemented(
            "cache-to: exporting the cache is not supported",
        ));
    }
    if !cache.imports.is_empty() || !cache.import_refs_deprecated.is_empty() {
        warnings.push(NO_CACHE_IMPORT.to_owned());
    }
    Ok(warnings)
}

/// A context that is an archive, with the Dockerfile in it.
pub(super) enum Packed {
    /// It is on its way.
    Here(Context),
    /// The client sends it when it is asked for this path.
    InSession(String),
}

/// A directory of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// What the client calls it.
    pub(super) directory: String,
    /// The session that shows it, where it is not the build's.
    pub(super) session: Option<String>,
}

/// A Dockerfile that is to be built, and where its files are.
pub(super) struct Wanted {
    pub(super) new: NewBuild,
    /// Where the Dockerfile is, and where the context.
    pub(super) places: [Place; 2],
    /// Directories beside the context, by the name that the Dockerfile has for them.
    pub(super) named: BTreeMap<String, Place>,
    /// In place of the context's directory, and of the Dockerfile's.
    pub(super) archive: Option<Packed>,
    pub(super) warnings: Vec<String>,
}

/// The attributes of a frontend, as far as they are read.
#[derive(Default)]
pub(super) struct Attributes {
    request: Request,
    host: Map<String, Value>,
    directory_of_dockerfile: Option<String>,
    sessions: HashMap<String, String>,
    /// What the client calls directories beside the context, by the Dockerfile's name for them.
    named: BTreeMap<String, String>,
    /// Images that other builds led to.
    inputs: HashMap<String, String>,
    /// Where in the session an archive is.
    archive: Option<String>,
    warnings: Vec<String>,
}

impl Wanted {
    /// What attributes ask for, with results of other builds.
    pub(super) fn of(
        attributes: HashMap<String, String>,
        results: &HashMap<String, Definition>,
        at: &At,
    ) -> Result<Self, ApiError> {
        let Attributes {
            mut request,
            host,
            directory_of_dockerfile,
            sessions,
            named,
            archive,
            warnings,
            ..
        } = Attributes::read(attributes, results)?;
        if let (Some(_), Some(directory)) = (&archive, &directory_of_dockerfile) {
            return Err(unsupported(
                DOCKERFILE_KEY,
                directory,
                "the Dockerfile of an archive is in it",
            ));
        }
        let (shown, template) = surroundings(host, at.version, &Around::new(at)?)?;
        request.surroundings = shown;
        let directories = [
            directory_of_dockerfile.unwrap_or_else(|| DIRECTORY_OF_DOCKERFILE.to_owned()),
            CONTEXT.to_owned(),
        ];
        let place = |directory: String| Place {
            session: sessions.get(&directory).cloned(),
            directory,
        };
        let named = named.into_iter();
        Ok(Self {
            places: directories.map(place),
            named: named
                .map(|(name, directory)| (name, place(directory)))
                .collect(),
            new: NewBuild {
                request,
                template,
                ..NewBuild::default()
            },
            archive: archive.map(Packed::InSession),
            warnings,
        })
    }

    /// The same of the parameters of `POST /build`.
    pub(super) fn of_form(at: &At) -> Result<Self, ApiError> {
        let mut new = to_model(&at.form, at.version, &Around::new(at)?)?;
        new.request.as_it_happens = true;
        let sources = std::mem::take(&mut new.request.cache_from);
        let warning = (!sources.is_empty()).then(|| NO_CACHE_IMPORT.to_owned());
        Ok(Self {
            new,
            places: [DIRECTORY_OF_DOCKERFILE, CONTEXT].map(|directory| Place {
                directory: directory.to_owned(),
                session: None,
            }),
            named: BTreeMap::new(),
            archive: None,
            warnings: warning.into_iter().collect(),
        })
    }
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
            CONTEXT if value.starts_with(UPLOAD) => {
                self.archive = Some(value[UPLOAD.len() - 1..].to_owned());
            }
            CONTEXT => {
                return Err(unsupported(
                    name,
                    &value,
                    "fetch it and build the directory",
                ));
            }
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
                return Err(unsupported(
                    &format!("build-context {name}"),
                    &value,
                    "a directory, docker-image:// or target: is",
                ));
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

const DOCKERFILE_KEY: &str = "dockerfilekey";

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
    fn what_is_not_done_is_refused_by_name() {
        for (name, value, words) in [
            (
                "platform",
                "linux/amd64,linux/arm64",
                "platform=linux/amd64,linux/arm64: not",
            ),
            (
                "context",
                "https://example.com/a.git",
                "context=https://example.com/a.git: not",
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

    #[test]
    fn an_image_is_listed_under_whole_names_or_not_at_all() {
        let asked = |kind: &str, attrs: &[(&str, &str)]| {
            let attrs = attrs
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            Export::of(&SolveRequest {
                exporters: vec![Exporter {
                    r#type: kind.to_owned(),
                    attrs: attrs.collect(),
                }],
                ..SolveRequest::default()
            })
        };
        let export = asked("moby", &[("name", "app,local:5000/b:2"), ("push", "true")]).unwrap();
        assert_eq!(
            export.names,
            ["docker.io/library/app:latest", "local:5000/b:2"]
        );
        assert!(Export::of(&SolveRequest::default()).unwrap().is_unlisted);
        for (kind, attrs) in [
            ("local", &[][..]),
            ("image", &[("push", "true")]),
            ("moby", &[("compression", "zstd")]),
            ("moby", &[("name", "UPPER")]),
        ] {
            assert!(asked(kind, attrs).is_err(), "{kind} {attrs:?}");
        }
    }
}
