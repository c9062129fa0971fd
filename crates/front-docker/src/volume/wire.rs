//! Shapes of volume requests and answers, named as in Go.
//!
//! Spec: Docker Engine API 1.51, `Volume`, `VolumeCreateOptions`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::json::Shape;

/// A volume to make.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(crate) struct Create {
    pub(crate) name: String,
    pub(crate) driver: String,
    pub(crate) driver_opts: BTreeMap<String, String>,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) cluster_volume_spec: Option<Value>,
}

impl Shape for Create {
    const NAME: &'static str = "CreateOptions";
}

/// A volume as inspect and list show it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Volume {
    pub(crate) created_at: String,
    pub(crate) driver: &'static str,
    pub(crate) labels: Option<BTreeMap<String, String>>,
    pub(crate) mountpoint: String,
    pub(crate) name: String,
    pub(crate) options: Option<BTreeMap<String, String>>,
    pub(crate) scope: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) usage_data: Option<Usage>,
}

/// What a volume takes.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Usage {
    pub(crate) ref_count: usize,
    /// Bytes; -1 where they cannot be known.
    pub(crate) size: i64,
}
