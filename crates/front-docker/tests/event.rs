//! Events: past ones in a window, and live ones.

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::house::House;

fn encoded(filters: &Value) -> String {
    filters
        .to_string()
        .bytes()
        .map(|byte| format!("%{byte:02X}"))
        .collect()
}

#[tokio::test]
async fn a_life_is_told_in_order() {
    let house = House::new().await;
    let id = house
        .run(
            "told",
            &["sh", "-c", "exit 3"],
            json!({ "Labels": { "a": "b" } }),
        )
        .await;
    house.post("/containers/told/wait", Value::Null).await;
    house.delete("/containers/told").await;
    let filters = encoded(&json!({ "type": ["container"] }));
    let until = jiff::Timestamp::now().as_second() + 1;
    let events = house
        .get(&format!("/events?since=1&until={until}&filters={filters}"))
        .await
        .lines();
    let actions: Vec<_> = events
        .iter()
        .map(|event| event["Action"].as_str().unwrap())
        .collect();
    assert_eq!(actions, ["create", "start", "die", "destroy"]);
    let died = &events[2];
    assert_eq!(
        (&died["Actor"]["ID"], &died["status"]),
        (&json!(id), &json!("die"))
    );
    assert_eq!(died["Actor"]["Attributes"]["exitCode"], "3");
    assert_eq!(died["Actor"]["Attributes"]["a"], "b");
    assert_eq!(died["from"], "demo:1");
    let wrong = house.get("/events?since=5&until=4").await;
    assert_eq!(
        (wrong.status, wrong.message().as_str()),
        (400, "`since` time (5) cannot be after `until` time (4)")
    );
}

#[tokio::test]
async fn live_events_come_as_they_happen() {
    let house = House::new().await;
    let mut stream = house.connect().await;
    let filters = encoded(&json!({ "event": ["create"], "type": ["volume"] }));
    let request = format!("GET /events?filters={filters} HTTP/1.1\r\nHost: docker\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut seen = String::new();
    let mut buffer = [0; 4096];
    while !seen.contains("\r\n\r\n") {
        let count = stream.read(&mut buffer).await.unwrap();
        seen.push_str(std::str::from_utf8(&buffer[..count]).unwrap());
    }
    house.post("/volumes/create", json!({ "Name": "v1" })).await;
    while !seen.contains("\"v1\"") {
        let count = stream.read(&mut buffer).await.unwrap();
        assert_ne!(count, 0, "{seen}");
        seen.push_str(std::str::from_utf8(&buffer[..count]).unwrap());
    }
    assert!(seen.contains(r#""Type":"volume""#), "{seen}");
}
