//! Volumes: made, used, removed.

use serde_json::{Value, json};

use crate::house::{House, IMAGE};

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
        (
            json!({ "Name": "v2", "DriverOpts": { "device": "tmpfs" } }),
            400,
        ),
        (
            json!({ "Name": "v2", "DriverOpts": { "type": "tmpfs" } }),
            400,
        ),
    ] {
        assert_eq!(house.post("/volumes/create", document).await.status, status);
    }
}

#[tokio::test]
async fn a_mount_says_its_mode_and_options_of_its_volume_are_checked() {
    let house = House::new().await;
    let mounts = json!([{ "Type": "volume", "Target": "/long/" }]);
    let asked = json!({ "Volumes": { "/short": {} }, "HostConfig": { "Mounts": mounts } });
    house.create("web", &["true"], asked).await;
    let shown = house.get("/containers/web/json").await.json();
    let mut modes: Vec<_> = shown["Mounts"].as_array().unwrap().iter().collect();
    modes.sort_by_key(|mount| mount["Destination"].to_string());
    let modes = modes
        .iter()
        .map(|mount| [&mount["Destination"], &mount["Mode"]]);
    assert_eq!(
        modes.collect::<Vec<_>>(),
        [
            [&json!("/long"), &json!("z")],
            [&json!("/short"), &json!("")]
        ]
    );

    let options = json!({ "DriverConfig": { "Name": "local", "Options": { "type": "tmpfs" } } });
    let mounts = json!([
        { "Type": "volume", "Source": "v1", "Target": "/data", "VolumeOptions": options }
    ]);
    let asked = json!({ "Image": IMAGE, "HostConfig": { "Mounts": mounts } });
    let refused = house.post("/containers/create", asked).await;
    assert_eq!(
        (refused.status, refused.message().as_str()),
        (400, "create v1: missing required option: \"device\"")
    );
}
