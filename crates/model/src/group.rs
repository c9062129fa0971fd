//! A group of users, who have the roles that it is given. Belongs to a domain.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::meta::{Id, Meta};

/// What a user asked for. Written by `actions` only.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Group {
    /// Identity; it belongs to its domain.
    pub meta: Meta,
    /// What it is.
    pub spec: GroupSpec,
}

/// What a group is.
#[derive(Clone, Default, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct GroupSpec {
    /// For people.
    pub description: String,
    /// The users in it, and since when.
    pub members: BTreeMap<Id, Timestamp>,
    /// Further fields that a client gave it and reads back.
    pub extra: Map<String, Value>,
}
