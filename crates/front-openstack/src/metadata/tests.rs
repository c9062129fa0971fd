//! The two trees, over facts that are made up.

use std::sync::Arc;

use actions::metadata::Link;
use jiff::Timestamp;
use model::guest::{Guest, PublicKey};
use model::instance::Endpoint;
use model::network::{Network, NetworkSpec};
use model::subnet::Subnet;
use model::{Meta, ProjectId};
use serde_json::{Value, json};

use super::*;

pub(super) fn facts() -> Facts {
    let now = Timestamp::UNIX_EPOCH;
    let mut subnet = Subnet::new(
        "10.0.0.0/24".parse().unwrap(),
        Some("10.0.0.1".parse().unwrap()),
        now,
    );
    subnet.dns_servers = vec!["9.9.9.9".parse().unwrap()];
    let spec = NetworkSpec {
        subnets: vec![subnet],
        mtu: Some(1450),
        ..NetworkSpec::default()
    };
    let network = Arc::new(Network {
        meta: Meta::new("net", ProjectId::ADMIN, now),
        spec,
    });
    let endpoint = Endpoint {
        network: network.meta.id,
        id: Id::random(),
        port: true,
        ipv4: Some(("10.0.0.7".parse().unwrap(), 24)),
        ipv6: None,
        more: Vec::new(),
        mac: "fa:16:3e:00:00:01".to_owned(),
    };
    Facts {
        id: Id::random(),
        project: ProjectId::ADMIN,
        hostname: "web".to_owned(),
        guest: Guest {
            name: "Web!".to_owned(),
            user_data: Some("IyEvYmluL3No".to_owned()),
            public_keys: vec![PublicKey {
                name: "mine".to_owned(),
                kind: "ssh".to_owned(),
                data: "ssh-ed25519 AAAA me".to_owned(),
            }],
            metadata: [("role".to_owned(), "front".to_owned())].into(),
            flavor: "m1.tiny".to_owned(),
            availability_zone: "nova".to_owned(),
            ..Guest::default()
        },
        links: vec![Link { endpoint, network }],
        firewalls: vec!["default".to_owned(), "web".to_owned()],
        floating: Some("172.24.4.9".parse().unwrap()),
    }
}

fn at(facts: &Facts, path: &str) -> Option<Found> {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    find(facts, &parts)
}

fn text(facts: &Facts, path: &str) -> String {
    match at(facts, path) {
        Some(Found::Text(text)) => text,
        other => panic!("{path}: {other:?}"),
    }
}

fn document(facts: &Facts, path: &str) -> Value {
    match at(facts, path) {
        Some(Found::Json(document)) => document,
        other => panic!("{path}: {other:?}"),
    }
}

#[test]
fn cloud_init_finds_what_it_reads() {
    let facts = facts();
    assert!(text(&facts, "/openstack").ends_with("\nlatest"));
    assert!(text(&facts, "/openstack/latest/").contains("user_data"));
    let meta = document(&facts, "/openstack/2018-08-27/meta_data.json");
    assert_eq!(meta["uuid"], facts.id.to_string());
    assert_eq!(meta["hostname"], "web.novalocal");
    assert_eq!(meta["name"], "Web!");
    assert_eq!(meta["meta"], json!({ "role": "front" }));
    assert_eq!(
        meta["public_keys"],
        json!({ "mine": "ssh-ed25519 AAAA me" })
    );
    assert_eq!(
        at(&facts, "/openstack/latest/user_data"),
        Some(Found::Bytes(b"#!/bin/sh".to_vec()))
    );
    let network = document(&facts, "/openstack/latest/network_data.json");
    let only = &network["networks"][0];
    assert_eq!(
        (&only["ip_address"], &only["netmask"], &only["link"]),
        (
            &json!("10.0.0.7"),
            &json!("255.255.255.0"),
            &network["links"][0]["id"]
        )
    );
    assert_eq!(
        only["routes"],
        json!([{ "network": "0.0.0.0", "netmask": "0.0.0.0", "gateway": "10.0.0.1" }])
    );
    assert_eq!(
        network["services"],
        json!([{ "type": "dns", "address": "9.9.9.9" }])
    );
}

#[test]
fn the_tree_of_ec2_lists_what_it_has() {
    let facts = facts();
    let root = "/latest/meta-data/";
    for name in text(&facts, root).lines() {
        text(&facts, &format!("{root}{name}"));
    }
    assert_eq!(text(&facts, "/2009-04-04/meta-data/local-ipv4"), "10.0.0.7");
    assert_eq!(text(&facts, "/latest/meta-data/public-ipv4"), "172.24.4.9");
    assert_eq!(text(&facts, "/latest/meta-data/public-keys/"), "0=mine");
    assert_eq!(
        text(&facts, "/latest/meta-data/public-keys/0/openssh-key"),
        "ssh-ed25519 AAAA me"
    );
    assert_eq!(
        text(&facts, "/latest/meta-data/security-groups"),
        "default\nweb"
    );
}

#[test]
fn what_there_is_not_is_missing() {
    let mut facts = facts();
    facts.guest.user_data = None;
    for path in [
        "/openstack/latest/user_data",
        "/openstack/1999-01-01/meta_data.json",
        "/openstack/latest/secrets",
        "/latest/user-data",
        "/latest/meta-data/public-keys/1",
        "/latest/meta-data/iam/security-credentials",
        "/nothing",
    ] {
        assert_eq!(at(&facts, path), None, "{path}");
    }
}
