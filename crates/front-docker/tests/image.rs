//! Images: listed, inspected, named, saved, loaded, removed.

use serde_json::{Value, json};

use crate::house::House;

#[tokio::test]
async fn images_are_listed_and_inspected() {
    let house = House::new().await;
    let list = house.get("/images/json").await.json();
    assert_eq!(list[0]["RepoTags"], json!(["demo:1"]));
    let shown = house.get("/images/demo:1/json").await.json();
    assert_eq!(shown["Id"], list[0]["Id"]);
    assert_eq!(
        shown["Config"],
        json!({ "Cmd": ["true"], "Env": ["PATH=/bin"] })
    );
    assert_eq!(shown["RootFS"]["Type"], "layers");
    let history = house.get("/images/demo:1/history").await.json();
    assert_eq!(
        (&history[0]["Id"], &history[0]["Tags"]),
        (&shown["Id"], &json!(["demo:1"]))
    );
    let missing = house.get("/images/nosuch/json").await;
    assert_eq!(
        (missing.status, missing.message().as_str()),
        (404, "No such image: nosuch:latest")
    );
    let dangling = house
        .get("/images/json?filters=%7B%22dangling%22%3A%7B%22true%22%3Atrue%7D%7D")
        .await;
    assert_eq!(dangling.json(), json!([]));
}

#[tokio::test]
async fn an_image_is_named_saved_removed_and_loaded_again() {
    let house = House::new().await;
    let tagged = house
        .post(
            "/images/demo:1/tag?repo=local:5000/team/demo&tag=2",
            Value::Null,
        )
        .await;
    assert_eq!(tagged.status, 201, "{tagged:?}");
    let name = "local:5000/team/demo:2";
    assert_eq!(house.get(&format!("/images/{name}/json")).await.status, 200);
    let archive = house.get(&format!("/images/get?names={name}")).await;
    assert_eq!(
        (archive.status, archive.header("Content-Type")),
        (200, "application/x-tar")
    );
    let removed = house.delete(&format!("/images/{name}")).await.json();
    assert_eq!(removed, json!([{ "Untagged": name }]));
    let gone = house.delete("/images/demo:1").await.json();
    assert!(
        gone.as_array()
            .unwrap()
            .iter()
            .any(|step| !step["Deleted"].is_null()),
        "{gone}"
    );
    let loaded = house
        .send(
            "POST",
            "/images/load?quiet=0",
            "application/x-tar",
            archive.body,
        )
        .await;
    assert_eq!(
        loaded.lines().last().unwrap()["stream"],
        format!("Loaded image: {name}\n")
    );
}

#[tokio::test]
async fn a_broken_archive_is_told_in_the_stream() {
    let house = House::new().await;
    let loaded = house
        .send(
            "POST",
            "/images/load",
            "application/x-tar",
            "this is no archive",
        )
        .await;
    assert_eq!(loaded.status, 200);
    assert!(
        loaded.lines()[0]["errorDetail"]["message"].is_string(),
        "{loaded:?}"
    );
}

#[tokio::test]
async fn an_image_in_use_stays() {
    let house = House::new().await;
    house.create("user", &["true"], json!({})).await;
    assert_eq!(house.delete("/images/demo:1").await.status, 409);
    let pruned = house
        .post(
            "/images/prune?filters=%7B%22dangling%22%3A%5B%22false%22%5D%7D",
            Value::Null,
        )
        .await;
    assert_eq!(pruned.json()["ImagesDeleted"], json!(null));
    let nameless = house.post("/images/demo:1/tag", Value::Null).await;
    assert_eq!(
        (nameless.status, nameless.message().as_str()),
        (400, "invalid reference format")
    );
}

#[tokio::test]
async fn what_a_removed_image_left_goes_with_its_last_container() {
    let house = House::new().await;
    house.create("user", &["true"], json!({})).await;
    assert_eq!(house.delete("/images/demo:1?force=1").await.status, 200);
    assert_eq!(house.stored_layers(), 1, "a container still uses it");
    assert_eq!(house.delete("/containers/user").await.status, 204);
    // It is freed behind the answer's back.
    while house.stored_layers() > 0 {
        tokio::task::yield_now().await;
    }
}
