//! Networks: made, joined, left, removed.

use engine::simulated::Operation;
use model::instance::{Failure, FailureKind};
use serde_json::{Value, json};

use crate::house::House;

#[tokio::test]
async fn a_network_is_made_joined_left_and_removed() {
    let house = House::new().await;
    let create = json!({
        "Name": "n1", "Driver": "bridge", "Labels": { "a": "b" },
        "IPAM": { "Config": [{ "Subnet": "10.77.0.0/16", "Gateway": "10.77.0.1" }] },
        "Options": { "com.docker.network.driver.mtu": "1400" },
    });
    let created = house.post("/networks/create", create).await;
    assert_eq!(created.status, 201, "{created:?}");
    let id = created.json()["Id"].as_str().unwrap().to_owned();
    let web = house.run("web", &["sleep", "1000"], json!({})).await;
    let settings = json!({ "Container": "web", "EndpointConfig": { "Aliases": ["db"], "IPAMConfig": { "IPv4Address": "10.77.0.9" } } });
    let joined = house.post("/networks/n1/connect", settings).await;
    assert_eq!(joined.status, 200, "{joined:?}");
    let shown = house.get(&format!("/networks/{}", &id[..12])).await.json();
    assert_eq!(
        (&shown["Name"], &shown["IPAM"]["Config"][0]["Gateway"]),
        (&json!("n1"), &json!("10.77.0.1"))
    );
    assert_eq!(shown["Options"]["com.docker.network.driver.mtu"], "1400");
    assert_eq!(
        shown["Containers"][&web]["IPv4Address"], "10.77.0.9/16",
        "{shown:#}"
    );
    let container = house.get("/containers/web/json").await.json();
    let endpoint = &container["NetworkSettings"]["Networks"]["n1"];
    assert_eq!(endpoint["Aliases"], json!(["db"]));
    assert_eq!(endpoint["DNSNames"], json!(["web", "db", &web[..12]]));
    let refused = house.delete("/networks/n1").await;
    assert_eq!(refused.status, 403);
    assert!(
        refused
            .message()
            .contains("network n1 has active endpoints"),
        "{}",
        refused.message()
    );
    let left = house
        .post("/networks/n1/disconnect", json!({ "Container": "web" }))
        .await;
    assert_eq!(left.status, 200, "{left:?}");
    assert_eq!(house.delete("/networks/n1").await.status, 204);
    let gone = house.get("/networks/n1").await;
    assert_eq!(
        (gone.status, gone.message().as_str()),
        (404, "network n1 not found")
    );
}

#[tokio::test]
async fn lists_and_refusals_are_dockerds() {
    let house = House::new().await;
    let names = |list: Value| {
        let mut names: Vec<_> = list
            .as_array()
            .unwrap()
            .iter()
            .map(|network| network["Name"].as_str().unwrap().to_owned())
            .collect();
        names.sort();
        names
    };
    assert_eq!(
        names(house.get("/networks").await.json()),
        ["bridge", "host", "none", "public"]
    );
    let custom = house
        .get("/networks?filters=%7B%22type%22%3A%5B%22custom%22%5D%7D")
        .await;
    assert_eq!(custom.json(), json!([]));
    let foreign = json!({ "Name": "n1", "Options": { "foo": "bar" } });
    house.post("/networks/create", foreign).await;
    let shown = house.get("/networks/n1").await.json();
    assert_eq!(shown["Options"], json!({ "foo": "bar" }));
    for (document, status, words) in [
        (
            json!({ "Name": "n1" }),
            409,
            "network with name n1 already exists",
        ),
        (
            json!({ "Name": "host" }),
            403,
            "operation is not permitted on predefined host network ",
        ),
        (
            json!({ "Name": "n2", "Driver": "overlay" }),
            403,
            "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to connect this node to swarm and try again.",
        ),
    ] {
        let answer = house.post("/networks/create", document).await;
        assert_eq!((answer.status, answer.message().as_str()), (status, words));
    }
    let predefined = house.delete("/networks/bridge").await;
    assert_eq!(
        (predefined.status, predefined.message().as_str()),
        (403, "bridge is a pre-defined network and cannot be removed")
    );
    let pruned = house.post("/networks/prune", Value::Null).await;
    assert_eq!(pruned.json(), json!({ "NetworksDeleted": ["n1"] }));
}

#[tokio::test]
async fn what_the_node_cannot_make_is_refused_at_once_and_nothing_is_left() {
    let house = House::new().await;
    for (operation, noun) in [
        (Operation::EnsureNetwork, "networks"),
        (Operation::EnsureVolume, "volumes"),
    ] {
        let failure = Failure {
            kind: FailureKind::Internal,
            message: "the node is full".to_owned(),
        };
        house.engine.fail_next(operation, failure);
        let refused = house
            .post(&format!("/{noun}/create"), json!({ "Name": "late" }))
            .await;
        assert_eq!(
            (refused.status, refused.message().as_str()),
            (500, "the node is full")
        );
        assert_eq!(house.get(&format!("/{noun}/late")).await.status, 404);
        let made = house
            .post(&format!("/{noun}/create"), json!({ "Name": "late" }))
            .await;
        assert_eq!(made.status, 201, "{made:?}");
    }
}

#[tokio::test]
async fn names_are_free_and_leaving_twice_is_refused_even_by_force() {
    let house = House::new().await;
    let created = house
        .post("/networks/create", json!({ "name": "two words" }))
        .await;
    assert_eq!(created.status, 201, "{created:?}");
    house.run("web", &["sleep", "1000"], json!({})).await;
    let settings = json!({ "Container": "web", "EndpointConfig": { "DriverOpts": { "a": "b" }, "MacAddress": "02:42:ac:11:00:07" } });
    let joined = house.post("/networks/two%20words/connect", settings).await;
    assert_eq!(joined.status, 200, "{joined:?}");
    let shown = house.get("/containers/web/json").await.json();
    let endpoint = &shown["NetworkSettings"]["Networks"]["two words"];
    assert_eq!(endpoint["DriverOpts"], json!({ "a": "b" }));
    assert_eq!(endpoint["MacAddress"], "02:42:ac:11:00:07");
    let leave = json!({ "Container": "web", "Force": true });
    let path = "/networks/two%20words/disconnect";
    assert_eq!(house.post(path, leave.clone()).await.status, 200);
    let refused = house.post(path, leave).await;
    assert_eq!(refused.status, 403, "{refused:?}");
    assert!(
        refused
            .message()
            .contains("is not connected to network two words")
    );
}
