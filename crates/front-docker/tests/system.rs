//! The daemon itself: ping, version, info, and what is refused.

use serde_json::{Value, json};

use crate::house::House;

#[tokio::test]
async fn a_ping_tells_what_clients_negotiate_with() {
    let house = House::new().await;
    for (method, body) in [("HEAD", ""), ("GET", "OK")] {
        let answer = house.send(method, "/_ping", "", "").await;
        assert_eq!((answer.status, &answer.body[..]), (200, body.as_bytes()));
        assert_eq!(answer.header("Api-Version"), "1.51");
        assert_eq!(answer.header("Ostype"), "linux");
        assert_eq!(answer.header("Docker-Experimental"), "false");
        assert_eq!(answer.header("Builder-Version"), "2");
        assert_eq!(answer.header("Swarm"), "inactive");
        assert!(answer.header("Cache-Control").contains("no-cache"));
        assert!(answer.header("Server").starts_with("Longshore/"));
    }
    assert_eq!(
        house
            .send("HEAD", "/_ping", "", "")
            .await
            .header("Content-Length"),
        "0"
    );
}

#[tokio::test]
async fn versions_and_info_name_the_daemon() {
    let house = House::new().await;
    let version = house.get("/v1.24/version").await.json();
    assert_eq!(
        (&version["ApiVersion"], &version["MinAPIVersion"]),
        (&json!("1.51"), &json!("1.24"))
    );
    assert_eq!(version["KernelVersion"], "6.18.0");
    let info = house.get("/info").await.json();
    assert_eq!(
        (
            &info["NCPU"],
            &info["Images"],
            &info["Swarm"]["LocalNodeState"]
        ),
        (&json!(2), &json!(1), &json!("inactive"))
    );
    assert_eq!(info["Architecture"], "x86_64");
    let usage = house.get("/system/df").await.json();
    assert_eq!(usage["Images"][0]["RepoTags"], json!(["demo:1"]));
    assert_eq!(usage["Containers"], json!([]));
}

#[tokio::test]
async fn versions_outside_the_range_and_unknown_pages_are_refused() {
    let house = House::new().await;
    for (path, status, words) in [
        (
            "/v1.52/info",
            400,
            "client version 1.52 is too new. Maximum supported API version is 1.51",
        ),
        ("/nosuch", 404, "page not found"),
        ("/v1.41/containers", 404, "page not found"),
    ] {
        let answer = house.get(path).await;
        assert_eq!(
            (answer.status, answer.message().as_str()),
            (status, words),
            "{path}"
        );
    }
    let old = house.get("/v1.23/info").await;
    assert_eq!(old.status, 400);
    assert!(
        old.body.starts_with(b"client version 1.23 is too old."),
        "{old:?}"
    );
    let options = house.send("OPTIONS", "/", "", "").await;
    assert_eq!((options.status, options.body.len()), (200, 0));
    let wrong_method = house.post("/info", Value::Null).await;
    assert_eq!(
        (wrong_method.status, wrong_method.message().as_str()),
        (404, "page not found")
    );
}

#[tokio::test]
async fn what_is_not_carried_out_says_so() {
    let house = House::new().await;
    for (method, path, status, words) in [
        ("GET", "/swarm", 503, "This node is not a swarm manager."),
        ("GET", "/services", 503, "This node is not a swarm manager."),
        (
            "POST",
            "/swarm/leave?force=1",
            503,
            "This node is not part of a swarm",
        ),
        ("GET", "/plugins/x/json", 404, "plugin \"x\" not found"),
    ] {
        let answer = house.send(method, path, "", "").await;
        assert_eq!(answer.status, status, "{path}: {answer:?}");
        assert!(
            answer.message().starts_with(words),
            "{path}: {}",
            answer.message()
        );
    }
    assert_eq!(house.get("/plugins").await.json(), json!([]));
    let pruned = house.post("/build/prune", Value::Null).await;
    assert_eq!(pruned.json()["SpaceReclaimed"], 0);
}
