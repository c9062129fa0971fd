//! What surrounds a create request in tests and for the fuzz targets: made up, and always the same.

use std::sync::Arc;

use model::image::{Defaults, Image};
use model::instance::{Instance, InstanceSpec};
use model::network::{Network, NetworkSpec};
use model::{Meta, ProjectId};

use super::{Host, Surroundings};
use crate::error::ApiError;

/// A host with two processors, the networks `bridge` and `n1`, and the container `web`.
pub(crate) struct Fixture {
    pub(super) networks: Vec<Arc<Network>>,
    pub(super) web: Arc<Instance>,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        let network = |name: &str, predefined: bool| {
            let spec = NetworkSpec {
                dns: !predefined,
                predefined,
                ..NetworkSpec::default()
            };
            Arc::new(Network {
                meta: Meta::new(name, ProjectId::ADMIN, jiff::Timestamp::UNIX_EPOCH),
                spec,
            })
        };
        let meta = Meta::new("web", ProjectId::ADMIN, jiff::Timestamp::UNIX_EPOCH);
        Self {
            networks: vec![network("bridge", true), network("n1", false)],
            web: Arc::new(Instance {
                meta,
                spec: InstanceSpec::default(),
            }),
        }
    }
}

impl Surroundings for Fixture {
    fn network(&self, term: &str) -> Result<Arc<Network>, ApiError> {
        let found = self
            .networks
            .iter()
            .find(|network| network.meta.name == term);
        found
            .cloned()
            .ok_or_else(|| ApiError::not_found(format!("network {term} not found")))
    }

    fn instance(&self, term: &str) -> Result<Arc<Instance>, ApiError> {
        if term == "web" {
            return Ok(self.web.clone());
        }
        Err(ApiError::not_found(format!("No such container: {term}")))
    }

    fn node_has_path(&self, path: &str) -> bool {
        path == "/srv"
    }

    fn host(&self) -> Host {
        Host {
            cpus: 2,
            cgroup_version: 1,
            has_io_weights: true,
        }
    }
}

/// An image with a command, a variable and a port.
pub(crate) fn image() -> Image {
    Image {
        id: "sha256:1".to_owned(),
        architecture: "amd64".to_owned(),
        os: "linux".to_owned(),
        defaults: Defaults {
            command: vec!["sh".to_owned()],
            env: vec!["PATH=/bin".to_owned()],
            exposed_ports: ["80/tcp".to_owned()].into(),
            ..Defaults::default()
        },
        ..Image::default()
    }
}
