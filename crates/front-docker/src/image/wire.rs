//! Shapes of image answers, named as in Go.
//!
//! Spec: Docker Engine API 1.51, `ImageSummary`, `ImageInspect`, `ImageHistoryResponseItem`.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

/// An image in the list.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Summary {
    pub(crate) containers: i64,
    pub(crate) created: i64,
    pub(crate) id: String,
    pub(crate) labels: Option<BTreeMap<String, String>>,
    pub(crate) parent_id: String,
    pub(crate) repo_digests: Vec<String>,
    pub(crate) repo_tags: Vec<String>,
    pub(crate) shared_size: i64,
    pub(crate) size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) virtual_size: Option<u64>,
}

/// An image as inspect shows it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Inspect {
    pub(crate) id: String,
    pub(crate) repo_tags: Vec<String>,
    pub(crate) repo_digests: Vec<String>,
    pub(crate) parent: String,
    pub(crate) comment: String,
    pub(crate) created: String,
    pub(crate) docker_version: &'static str,
    pub(crate) author: String,
    pub(crate) config: Value,
    pub(crate) architecture: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) variant: String,
    pub(crate) os: String,
    pub(crate) size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) virtual_size: Option<u64>,
    pub(crate) graph_driver: GraphDriver,
    #[serde(rename = "RootFS")]
    pub(crate) root_fs: RootFs,
    pub(crate) metadata: Metadata,
    /// Versions before 1.45 had the container that an image was made from; ours has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) container: Option<&'static str>,
    /// And with what that ran.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) container_config: Option<Value>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct GraphDriver {
    pub(crate) data: Option<()>,
    pub(crate) name: &'static str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct RootFs {
    #[serde(rename = "Type")]
    pub(crate) kind: &'static str,
    pub(crate) layers: Vec<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Metadata {
    pub(crate) last_tag_time: String,
}

/// One step of an image's making.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Step {
    pub(crate) comment: String,
    pub(crate) created: i64,
    pub(crate) created_by: String,
    pub(crate) id: String,
    pub(crate) size: u64,
    pub(crate) tags: Option<Vec<String>>,
}
