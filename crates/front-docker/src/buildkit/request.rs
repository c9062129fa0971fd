//! What a client asks to be built, in BuildKit's words, checked and turned into the model. What is not
//! done is refused by name.
//!
//! Source: BuildKit v0.24, `frontend/dockerui/config.go`, `context.go`; buildx v0.25, `build/opt.go`.

use std::collections::{BTreeMap, HashMap};

use actions::build::{Context, NewBuild, Remote};
use actions::distribution::Reference;
use bollard_buildkit_proto::moby::buildkit::v1::{CacheOptions, Exporter, SolveRequest};
use bollard_buildkit_proto::pb::Definition;
use tonic::Status;

use super::attributes::{Attributes, NO_CACHE_IMPORT};
use super::result;
use crate::build::{surroundings, to_model};
use crate::container::create::Around;
use crate::error::ApiError;
use crate::front::At;

/// The one frontend: Dockerfiles.
pub(super) const DOCKERFILE: &str = "dockerfile.v0";

/// What a client calls the directories that a build is made of.
pub(super) const CONTEXT: &str = "context";
const DIRECTORY_OF_DOCKERFILE: &str = "dockerfile";

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
        Some(definition) if !definition.def.is_empty() => Err(graphs_are_refused()),
        _ => Ok(()),
    }
}

/// Also of the empty one: that has a result, which nobody will tell us of.
pub(super) fn graphs_are_refused() -> Status {
    Status::unimplemented(
        "Definition: graphs of operations (LLB) are not supported, build a Dockerfile",
    )
}

/// The images that results of other builds stand for, by the client's names for them.
pub(super) fn inputs(
    graphs: &HashMap<String, Definition>,
) -> Result<HashMap<String, String>, Status> {
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

/// A context that comes as an archive, in most cases with the Dockerfile in it.
pub(super) enum Packed {
    /// It is on its way.
    Here(Context),
    /// The client sends it when it is asked for this path.
    InSession(String),
    /// It is elsewhere.
    Remote(Remote),
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
    /// The same, of what is elsewhere.
    pub(super) remote: BTreeMap<String, Remote>,
    /// In place of the context's directory, and of the Dockerfile's.
    pub(super) archive: Option<Packed>,
    /// The Dockerfile is in its directory, wherever the context is.
    pub(super) has_own_dockerfile: bool,
    pub(super) warnings: Vec<String>,
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
            remote,
            archive,
            warnings,
            ..
        } = Attributes::read(attributes, results)?;
        let has_own_dockerfile = directory_of_dockerfile.is_some();
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
            remote,
            archive,
            has_own_dockerfile,
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
            remote: BTreeMap::new(),
            archive: None,
            has_own_dockerfile: false,
            warnings: warning.into_iter().collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
