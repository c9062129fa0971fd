//! The configuration drive: what the metadata service answers, as files.
//!
//! Each version has a directory of its own, for readers look for the one that they know. Source: Nova,
//! "Config drives" in the user guide; cloud-init, "Config drive".

use actions::metadata::{Facts, facts};
use actions::{ActionError, Cloud};
use model::Id;
use serde_json::Value;

use super::{Found, ec2, find, openstack};

/// Versions of the tree of Amazon's that a drive has.
const EC2: [&str; 2] = ["2009-04-04", "latest"];
/// Documents of OpenStack's tree.
const DOCUMENTS: [&str; 5] = [
    "meta_data.json",
    "network_data.json",
    "user_data",
    "vendor_data.json",
    "vendor_data2.json",
];

/// The files of an instance's drive, by their paths on it.
///
/// # Errors
/// [`actions::ErrorKind::NotFound`] for an instance that is gone, or is told nothing.
pub fn files(cloud: &Cloud, instance: Id) -> Result<Vec<(String, Vec<u8>)>, ActionError> {
    facts(cloud, instance).map(|facts| of(&facts))
}

fn of(facts: &Facts) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    // Written once: readers of two versions read the same seed of randomness.
    for document in DOCUMENTS {
        let Some(found) = find(facts, &["openstack", "latest", document]) else {
            continue;
        };
        let content = bytes(found);
        for version in openstack::VERSIONS {
            files.push((format!("openstack/{version}/{document}"), content.clone()));
        }
    }
    for version in EC2 {
        let document = Found::Json(ec2::document(facts));
        files.push((format!("ec2/{version}/meta-data.json"), bytes(document)));
        if let Some(data) = find(facts, &[version, "user-data"]) {
            files.push((format!("ec2/{version}/user-data"), bytes(data)));
        }
    }
    files
}

fn bytes(found: Found) -> Vec<u8> {
    match found {
        Found::Text(text) => text.into_bytes(),
        Found::Json(document) => Value::to_string(&document).into_bytes(),
        Found::Bytes(bytes) => bytes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::tests::facts;

    #[test]
    fn every_version_has_what_the_service_answers() {
        let facts = facts();
        let files = of(&facts);
        let file = |path: &str| {
            let found = files.iter().find(|(known, _)| known == path);
            found.map(|(_, content)| content.clone())
        };
        let meta: Value =
            serde_json::from_slice(&file("openstack/latest/meta_data.json").unwrap()).unwrap();
        assert_eq!(meta["uuid"], facts.id.to_string());
        assert_eq!(
            file("openstack/2018-08-27/meta_data.json"),
            file("openstack/latest/meta_data.json")
        );
        assert_eq!(file("openstack/latest/user_data").unwrap(), b"#!/bin/sh");
        let ec2: Value =
            serde_json::from_slice(&file("ec2/latest/meta-data.json").unwrap()).unwrap();
        assert_eq!(ec2["local-ipv4"], "10.0.0.7");
        assert_eq!(
            ec2["public-keys"]["0"]["openssh-key"],
            "ssh-ed25519 AAAA me"
        );
    }
}
