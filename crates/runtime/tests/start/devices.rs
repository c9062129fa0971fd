//! Which devices a container may open, by its cgroup.

use serde_json::{Value, json};

use super::{Case, check_in};
use crate::scene::Scene;

/// Messages of the kernel, which every Linux has: character device 1:11.
const SCRIPT: &str = "true < /dev/messages && echo read; true > /dev/messages && echo written; true > /dev/null && echo null";

fn with_rules(rules: &[Value]) -> Value {
    // Reading the messages takes this privilege, too.
    let reads = ["CAP_SYSLOG"];
    let capabilities = json!({ "bounding": reads, "permitted": reads, "effective": reads });
    json!({ "process": { "capabilities": capabilities }, "linux": {
        "devices": [{ "path": "/dev/messages", "type": "c", "major": 1, "minor": 11, "fileMode": 0o600, "uid": 0, "gid": 0 }],
        "resources": { "devices": rules },
    } })
}

#[tokio::test]
async fn a_device_is_opened_as_the_rules_say() {
    follow_the_rules(&Scene::new().await).await;
}

/// There, a program that the kernel runs for each device that is opened holds the rules.
#[tokio::test]
async fn a_device_is_opened_as_the_rules_say_with_cgroups_of_version_2() {
    follow_the_rules(&Scene::unified().await).await;
}

async fn follow_the_rules(scene: &Scene) {
    let deny = json!({ "allow": false, "access": "rwm" });
    let allow = |access: &str| json!({ "allow": true, "type": "c", "major": 1, "minor": 11, "access": access });
    check_in(
        scene,
        [
            Case {
                name: "denied",
                spec: with_rules(std::slice::from_ref(&deny)),
                script: SCRIPT,
                says: "/bin/sh: can't open /dev/messages: Operation not permitted\n\
                   /bin/sh: can't create /dev/messages: Operation not permitted\nnull\n",
            },
            Case {
                name: "read",
                spec: with_rules(&[deny.clone(), allow("r")]),
                script: SCRIPT,
                says: "read\n/bin/sh: can't create /dev/messages: Operation not permitted\nnull\n",
            },
            Case {
                name: "allowed",
                spec: with_rules(&[deny.clone(), allow("rwm")]),
                script: SCRIPT,
                says: "read\nwritten\nnull\n",
            },
            Case {
                name: "later-rule",
                spec: with_rules(&[deny.clone(), allow("rwm"), deny]),
                script: SCRIPT,
                says: "/bin/sh: can't open /dev/messages: Operation not permitted\n\
                   /bin/sh: can't create /dev/messages: Operation not permitted\nnull\n",
            },
        ],
    )
    .await;
}
