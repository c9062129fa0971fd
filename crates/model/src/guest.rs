//! What an instance is told about itself when it asks: cloud-init's input.
//!
//! Written by `actions` with the instance it belongs to. The metadata service and the configuration
//! drive serve it; what can be looked up (addresses, firewalls, project) is not repeated here.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What an instance is told about itself.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Guest {
    /// Its name as its user wrote it; the record's own name may differ, to be unique.
    pub name: String,
    /// What its user wants it to do at its first start: base64, at most 65,535 characters.
    pub user_data: Option<String>,
    /// Who may log in.
    pub public_keys: Vec<PublicKey>,
    /// What its user wants it to know.
    pub metadata: BTreeMap<String, String>,
    /// It finds the same on a configuration drive, without asking.
    pub config_drive: bool,
    /// Which of those that one request made, from 0.
    pub launch_index: u32,
    /// Names the request that made it, `r-` and eight letters or digits.
    pub reservation: String,
    /// Name of the size it was made with.
    pub flavor: String,
    /// Where its user wanted it.
    pub availability_zone: String,
    /// A password that it made up, encrypted to the first key; set once, by itself.
    pub password: String,
}

/// A key by which somebody logs in.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PublicKey {
    /// What its user calls it.
    pub name: String,
    /// `ssh` or `x509`.
    pub kind: String,
    /// The key: for `ssh` one line of `authorized_keys`.
    pub data: String,
}
