//! Volumes: made, used, removed.

use serde_json::{Value, json};

use crate::house::House;

#[tokio::test]
async fn a_volume_is_made_used_and_removed() {
    let house = House::new().await;
    let created = house
        .post(
            "/volumes/create",
            json!({ "Name": "v1", "Labels": { "a": "b" } }),
        )
        .await;
    assert_eq!(created.status, 201, "{created:?}");
    let shown = created.json();
    assert_eq!(
        (&shown["Name"], &shown["Driver"], &shown["Scope"]),
        (&json!("v1"), &json!("local"), &json!("local"))
    );
    assert_eq!(house.get("/volumes/v1").await.json(), shown);
    let user = house
        .create(
            "user",
            &["true"],
            json!({ "HostConfig": { "Binds": ["v1:/data"] } }),
        )
        .await;
    let refused = house.delete("/volumes/v1").await;
    assert_eq!(
        (refused.status, refused.message()),
        (409, format!("remove v1: volume is in use - [{user}]"))
    );
    house.delete("/containers/user").await;
    assert_eq!(house.delete("/volumes/v1").await.status, 204);
    let gone = house.get("/volumes/v1").await;
    assert_eq!(
        (gone.status, gone.message().as_str()),
        (404, "get v1: no such volume")
    );
    assert_eq!(house.delete("/volumes/v1?force=1").await.status, 204);
}

#[tokio::test]
async fn anonymous_volumes_are_pruned_and_named_ones_kept() {
    let house = House::new().await;
    let anonymous = house.post("/volumes/create", json!({})).await.json();
    house
        .post("/volumes/create", json!({ "Name": "kept" }))
        .await;
    let pruned = house.post("/volumes/prune", Value::Null).await.json();
    assert_eq!(pruned["VolumesDeleted"], json!([anonymous["Name"]]));
    let left = house.get("/volumes").await.json();
    assert_eq!(left["Volumes"].as_array().unwrap().len(), 1);
    for (document, status) in [
        (json!({ "Name": "a/b" }), 400),
        (json!({ "Name": "v2", "Driver": "nfs" }), 404),
        (json!({ "Name": "v2", "DriverOpts": { "fly": "1" } }), 400),
    ] {
        assert_eq!(house.post("/volumes/create", document).await.status, status);
    }
}
