//! Containers: from create to remove, their streams, their lists, and what is wrong about them.

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio_tungstenite::tungstenite::Message;

use crate::house::{House, IMAGE, read_all, unframe};

fn nothing() -> Value {
    json!({})
}

/// The calls of `docker run --rm`: create, attach, wait for the removal, start.
#[tokio::test]
async fn a_run_is_created_attached_awaited_started_and_removed() {
    let house = House::new().await;
    let further =
        json!({ "AttachStdout": true, "AttachStderr": true, "HostConfig": { "AutoRemove": true } });
    let id = house
        .create("", &["sh", "-c", "echo out; echo err >&2; exit 3"], further)
        .await;
    assert_eq!(id.len(), 64);
    let (head, stream) = house
        .hijack(
            &format!("/v1.51/containers/{id}/attach?stderr=1&stdout=1&stream=1"),
            Value::Null,
        )
        .await;
    assert!(head.starts_with("HTTP/1.1 101 UPGRADED\r\n"), "{head}");
    assert!(
        head.contains("application/vnd.docker.multiplexed-stream"),
        "{head}"
    );
    let (wait, start) = (
        format!("/containers/{id}/wait?condition=removed"),
        format!("/containers/{id}/start"),
    );
    let (waited, started, output) = tokio::join!(
        house.post(&wait, Value::Null),
        house.post(&start, Value::Null),
        read_all(stream)
    );
    assert_eq!(started.status, 204);
    assert_eq!(unframe(&output), ("out\n".to_owned(), "err\n".to_owned()));
    assert_eq!(waited.json(), json!({ "StatusCode": 3 }));
    assert_eq!(
        house.get(&format!("/containers/{id}/json")).await.status,
        404
    );
}

#[tokio::test]
async fn input_ends_when_the_client_closes_its_side_and_output_goes_on() {
    let house = House::new().await;
    let further = json!({ "OpenStdin": true, "StdinOnce": true, "AttachStdin": true });
    let id = house.create("", &["cat"], further).await;
    let (_, mut stream) = house
        .hijack(
            &format!("/containers/{id}/attach?stdin=1&stdout=1&stderr=1&stream=1"),
            Value::Null,
        )
        .await;
    house
        .post(&format!("/containers/{id}/start"), Value::Null)
        .await;
    stream.write_all(b"through").await.unwrap();
    stream.shutdown().await.unwrap();
    assert_eq!(unframe(&read_all(stream).await).0, "through");
}

#[tokio::test]
async fn a_terminal_is_raw_and_detach_keys_leave_it_running() {
    let house = House::new().await;
    let further = json!({ "OpenStdin": true, "Tty": true });
    let id = house.run("term", &["cat"], further).await;
    let (head, mut stream) = house
        .hijack(
            "/containers/term/attach?stdin=1&stdout=1&stderr=1&stream=1&detachKeys=ctrl-a,x",
            Value::Null,
        )
        .await;
    assert!(head.contains("application/vnd.docker.raw-stream"), "{head}");
    stream.write_all(b"\x01x").await.unwrap();
    read_all(stream).await;
    let shown = house.get(&format!("/containers/{id}/json")).await.json();
    assert_eq!(shown["State"]["Status"], "running");
    assert_eq!(
        house
            .post("/containers/term/resize?h=24&w=80", Value::Null)
            .await
            .status,
        200
    );
    let wrong = house
        .post("/containers/term/resize?h=x&w=80", Value::Null)
        .await;
    assert_eq!(wrong.status, 400);
}

#[tokio::test]
async fn inspect_shows_what_was_asked_for_and_what_became_of_it() {
    let house = House::new().await;
    let further = json!({
        "Env": ["A=b"],
        "Labels": { "tier": "front" },
        "ExposedPorts": { "80/tcp": {}, "81/tcp": null },
        "HostConfig": {
            "Memory": 67_108_864,
            "PortBindings": { "80/tcp": [{ "HostIp": "127.0.0.1", "HostPort": "18080" }] },
            "Binds": ["data:/data:ro"],
        },
    });
    let id = house.run("web", &["sleep", "1000"], further).await;
    let shown = house.get("/containers/web/json?size=1").await.json();
    for (pointer, value) in [
        ("/Id", json!(id)),
        ("/Name", json!("/web")),
        ("/Path", json!("sleep")),
        ("/Args", json!(["1000"])),
        ("/State/Running", json!(true)),
        ("/State/ExitCode", json!(0)),
        ("/State/FinishedAt", json!("0001-01-01T00:00:00Z")),
        ("/Config/Env", json!(["A=b", "PATH=/bin"])),
        ("/Config/ExposedPorts/81~1tcp", json!({})),
        ("/Config/Image", json!(IMAGE)),
        ("/Config/Hostname", json!(&id[..12])),
        ("/Config/Labels/tier", json!("front")),
        ("/HostConfig/Memory", json!(67_108_864)),
        ("/HostConfig/MemorySwap", json!(134_217_728)),
        ("/HostConfig/Binds", json!(["data:/data:ro"])),
        ("/Mounts/0/Type", json!("volume")),
        ("/Mounts/0/Name", json!("data")),
        ("/Mounts/0/Mode", json!("ro")),
        ("/Mounts/0/RW", json!(false)),
        ("/NetworkSettings/Networks/bridge/DNSNames", json!(null)),
        ("/GraphDriver/Name", json!("overlay2")),
        ("/RestartCount", json!(0)),
    ] {
        assert_eq!(shown.pointer(pointer), Some(&value), "{pointer}: {shown:#}");
    }
    let address = shown
        .pointer("/NetworkSettings/Networks/bridge/IPAddress")
        .unwrap();
    assert_eq!(shown.pointer("/NetworkSettings/IPAddress"), Some(address));
    assert_ne!(address, "");
    assert!(shown["SizeRootFs"].is_u64() && shown["State"]["Pid"] != 0);
}

#[tokio::test]
async fn lists_are_filtered_as_dockerd_filters_them() {
    let house = House::new().await;
    let labelled = json!({ "Labels": { "tier": "front" } });
    let web = house.run("web", &["sleep", "1000"], labelled).await;
    let done = house.run("done", &["sh", "-c", "exit 7"], nothing()).await;
    house.post("/containers/done/wait", Value::Null).await;
    house.create("idle", &["true"], nothing()).await;
    let list = async |query: &str, filters: Value| {
        let filters: String = filters
            .to_string()
            .bytes()
            .map(|byte| format!("%{byte:02X}"))
            .collect();
        let answer = house
            .get(&format!("/containers/json?{query}&filters={filters}"))
            .await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let shown = answer.json();
        let name = |shown: &Value| shown["Names"][0].as_str().unwrap().to_owned();
        shown
            .as_array()
            .unwrap()
            .iter()
            .map(name)
            .collect::<Vec<_>>()
    };
    assert_eq!(list("", nothing()).await, ["/web"]);
    assert_eq!(list("all=1", nothing()).await, ["/idle", "/done", "/web"]);
    assert_eq!(list("limit=1", nothing()).await, ["/idle"]);
    for (filters, names) in [
        (json!({ "name": { "^w": true } }), vec!["/web"]),
        (json!({ "name": ["/do"] }), vec!["/done"]),
        (json!({ "id": [&web[..12]] }), vec!["/web"]),
        (json!({ "label": ["tier=front"] }), vec!["/web"]),
        (json!({ "status": ["exited"] }), vec!["/done"]),
        (json!({ "exited": ["7"] }), vec!["/done"]),
        (
            json!({ "ancestor": [IMAGE] }),
            vec!["/idle", "/done", "/web"],
        ),
        (json!({ "before": [&done] }), vec!["/web"]),
        (json!({ "since": ["done"] }), vec!["/idle"]),
        (
            json!({ "network": ["bridge"] }),
            vec!["/idle", "/done", "/web"],
        ),
        (
            json!({ "health": ["none"] }),
            vec!["/idle", "/done", "/web"],
        ),
        (json!({ "is-task": ["true"] }), vec![]),
    ] {
        assert_eq!(list("all=1", filters.clone()).await, names, "{filters}");
    }
    let shown = house.get("/containers/json?all=1").await.json();
    assert_eq!(shown[2]["Command"], "sleep 1000");
    assert!(
        shown[2]["Status"].as_str().unwrap().starts_with("Up "),
        "{shown}"
    );
    assert!(
        shown[1]["Status"]
            .as_str()
            .unwrap()
            .starts_with("Exited (7) "),
        "{shown}"
    );
    assert_eq!(shown[0]["Status"], "Created");
    let wrong = house
        .get("/containers/json?filters=%7B%22fly%22%3A%5B%22x%22%5D%7D")
        .await;
    assert_eq!(
        (wrong.status, wrong.message().as_str()),
        (400, "invalid filter 'fly'")
    );
}

#[tokio::test]
async fn logs_keep_both_streams_with_times_and_tails() {
    let house = House::new().await;
    house
        .run(
            "log",
            &["sh", "-c", "echo one; echo two >&2; echo three"],
            nothing(),
        )
        .await;
    house.post("/containers/log/wait", Value::Null).await;
    let all = house
        .get("/containers/log/logs?stdout=1&stderr=1&follow=1")
        .await;
    assert_eq!(
        all.header("Content-Type"),
        "application/vnd.docker.multiplexed-stream"
    );
    assert_eq!(
        unframe(&all.body),
        ("one\nthree\n".to_owned(), "two\n".to_owned())
    );
    let old = house.get("/v1.41/containers/log/logs?stdout=1").await;
    assert_eq!(
        old.header("Content-Type"),
        "application/vnd.docker.raw-stream"
    );
    let tail = house
        .get("/containers/log/logs?stdout=1&tail=1&timestamps=1")
        .await;
    let (line, _) = unframe(&tail.body);
    assert_eq!(
        (line.len(), line.ends_with("Z three\n")),
        (37, true),
        "{line:?}"
    );
    let none = house.get("/containers/log/logs").await;
    assert_eq!(
        none.message(),
        "Bad parameters: you must choose at least one stream"
    );
}

#[tokio::test]
async fn a_life_goes_through_its_states() {
    let house = House::new().await;
    house.run("life", &["sleep", "1000"], nothing()).await;
    let again = house.post("/containers/life/start", Value::Null).await;
    assert_eq!((again.status, again.body.len()), (304, 0));
    for (path, status) in [
        ("pause", 204),
        ("pause", 409),
        ("unpause", 204),
        ("unpause", 409),
        ("restart?t=0", 204),
        ("rename?name=second", 204),
    ] {
        let answer = house
            .post(&format!("/containers/life/{path}"), Value::Null)
            .await;
        assert_eq!(answer.status, status, "{path}: {answer:?}");
    }
    let top = house.get("/containers/second/top").await.json();
    assert_eq!(top["Processes"].as_array().unwrap().len(), 1, "{top}");
    let stats = house
        .get("/containers/second/stats?stream=0&one-shot=1")
        .await
        .json();
    assert_eq!(stats["name"], "/second");
    let refused = house.delete("/containers/second").await;
    assert_eq!(
        refused.message(),
        "cannot remove container \"second\": container is running: stop the container before removing or force remove"
    );
    assert_eq!(
        house
            .post("/containers/second/stop?t=0", Value::Null)
            .await
            .status,
        204
    );
    assert_eq!(
        house
            .post("/containers/second/stop", Value::Null)
            .await
            .status,
        304
    );
    let dead = house
        .post("/containers/second/kill?signal=HUP", Value::Null)
        .await;
    assert_eq!(dead.status, 409);
    assert!(
        dead.message()
            .starts_with("cannot kill container: second: container "),
        "{}",
        dead.message()
    );
    assert_eq!(house.delete("/containers/second?v=1").await.status, 204);
    assert_eq!(house.delete("/containers/second").await.status, 404);
}

#[tokio::test]
async fn limits_are_updated_and_shown() {
    let house = House::new().await;
    house.run("limited", &["sleep", "1000"], nothing()).await;
    let update = json!({ "CpuShares": 512, "RestartPolicy": { "Name": "on-failure", "MaximumRetryCount": 2 } });
    let updated = house.post("/containers/limited/update", update).await;
    assert_eq!(
        (updated.status, updated.json()),
        (200, json!({ "Warnings": [] }))
    );
    let shown = house.get("/containers/limited/json").await.json();
    assert_eq!(shown["HostConfig"]["CpuShares"], 512);
    assert_eq!(shown["HostConfig"]["RestartPolicy"]["MaximumRetryCount"], 2);
    let wrong = house
        .post("/containers/limited/update", json!({ "Memory": 5 }))
        .await;
    assert_eq!(
        (wrong.status, wrong.message().as_str()),
        (400, "Minimum memory limit allowed is 6MB")
    );
}

#[tokio::test]
async fn wrong_requests_leave_nothing_and_are_refused_in_dockerds_words() {
    let house = House::new().await;
    let web = house.create("web", &["true"], nothing()).await;
    let image = json!({ "Image": IMAGE });
    for (path, body, status, words) in [
        ("/containers/create", json!({ "Image": "nosuch" }), 404, "No such image: nosuch:latest".to_owned()),
        ("/containers/create?name=web", image.clone(), 409, format!("Conflict. The container name \"/web\" is already in use by container \"{web}\". You have to remove (or rename) that container to be able to reuse that name.")),
        ("/containers/create?name=-x", image.clone(), 400, "Invalid container name (-x), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed".to_owned()),
        ("/containers/create", json!({ "Image": IMAGE, "HostConfig": { "Memory": 4 } }), 400, "Minimum memory limit allowed is 6MB".to_owned()),
        ("/containers/create", json!({ "Tty": true }), 400, "no command specified".to_owned()),
        ("/containers/create", json!({ "Image": 3 }), 400, "invalid JSON: json: cannot unmarshal number into Go struct field CreateRequest.Image of type string".to_owned()),
        ("/containers/create", Value::Null, 400, "invalid JSON: got EOF while reading request body".to_owned()),
        ("/containers/create?platform=linux/arm64", image, 404, "image with reference demo:1 was found but its platform (linux/amd64) does not match the specified platform (linux/arm64)".to_owned()),
        ("/containers/nosuch/start", Value::Null, 404, "No such container: nosuch".to_owned()),
        ("/containers/web/stop?t=x", Value::Null, 400, "strconv.Atoi: parsing \"x\": invalid syntax".to_owned()),
        ("/containers/web/wait?condition=never", Value::Null, 400, "invalid condition: \"never\"".to_owned()),
        ("/containers/web/kill?signal=FLY", Value::Null, 400, "cannot kill container: web: invalid signal: FLY".to_owned()),
        ("/containers/web/rename?name=web", Value::Null, 400, "Renaming a container with the same name as its current name".to_owned()),
        ("/containers/web/rename", Value::Null, 400, "Neither old nor new names may be empty".to_owned()),
    ] {
        let answer = house.post(path, body).await;
        assert_eq!((answer.status, answer.message()), (status, words), "{path}");
    }
    assert_eq!(
        house
            .get("/containers/json?all=1")
            .await
            .json()
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

#[tokio::test]
async fn a_program_that_does_not_exist_has_its_exit_code() {
    let house = House::new().await;
    house.create("lost", &["nosuch"], nothing()).await;
    let started = house.post("/containers/lost/start", Value::Null).await;
    assert_eq!(started.status, 400);
    assert!(
        started
            .message()
            .contains("executable file not found in $PATH"),
        "{}",
        started.message()
    );
    let shown = house.get("/containers/lost/json").await.json();
    assert_eq!(
        (&shown["State"]["Status"], &shown["State"]["ExitCode"]),
        (&json!("created"), &json!(127))
    );
}

#[tokio::test]
async fn files_go_in_and_out() {
    let house = House::new().await;
    house
        .run(
            "files",
            &["sh", "-c", "echo hi > /hello; sleep 1000"],
            nothing(),
        )
        .await;
    let mut stat = house
        .send("HEAD", "/containers/files/archive?path=/hello", "", "")
        .await;
    for _ in 0..50 {
        if stat.status == 200 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        stat = house
            .send("HEAD", "/containers/files/archive?path=/hello", "", "")
            .await;
    }
    assert!(
        !stat.header("X-Docker-Container-Path-Stat").is_empty(),
        "{stat:?}"
    );
    let archive = house.get("/containers/files/archive?path=/hello").await;
    assert_eq!(
        (archive.status, archive.header("Content-Type")),
        (200, "application/x-tar")
    );
    let put = house
        .send(
            "PUT",
            "/containers/files/archive?path=/&noOverwriteDirNonDir=true",
            "application/x-tar",
            archive.body,
        )
        .await;
    assert_eq!(put.status, 200, "{put:?}");
    let missing = house.get("/containers/files/archive?path=/nosuch").await;
    assert_eq!(
        (missing.status, missing.message().as_str()),
        (404, "Could not find the file /nosuch in container files")
    );
    let changes = house.get("/containers/files/changes").await.json();
    assert!(
        changes
            .as_array()
            .unwrap()
            .contains(&json!({ "Path": "/hello", "Kind": 1 })),
        "{changes}"
    );
    assert_eq!(house.get("/containers/files/export").await.status, 200);
}

#[tokio::test]
async fn pruning_removes_what_does_not_run() {
    let house = House::new().await;
    house.run("up", &["sleep", "1000"], nothing()).await;
    let idle = house.create("idle", &["true"], nothing()).await;
    let pruned = house.post("/containers/prune", Value::Null).await.json();
    assert_eq!(pruned["ContainersDeleted"], json!([idle]));
}

#[tokio::test]
async fn what_is_wrong_is_named_in_the_envelope() {
    let house = House::new().await;
    house.create("idle", &["true"], nothing()).await;
    let ports =
        |port: &str| json!({ "HostConfig": { "PortBindings": { port: [{}] } }, "Image": IMAGE });
    let volume =
        json!({ "Image": IMAGE, "HostConfig": { "Binds": [format!("{}:/x", "v".repeat(256))] } });
    for (path, document, words) in [
        (
            "/containers/idle/update",
            json!({ "Memory": "1g" }),
            "invalid JSON: json: cannot unmarshal string into Go struct field UpdateConfig.Memory of type int64",
        ),
        (
            "/containers/create",
            ports("99999/tcp"),
            "invalid port specification: \"99999\"",
        ),
        (
            "/containers/create",
            volume,
            "volume name is too long, at most 255 bytes are allowed",
        ),
        ("/containers/%FF/start", Value::Null, "UTF-8"),
    ] {
        let refused = house.post(path, document).await;
        assert_eq!(refused.status, 400, "{refused:?}");
        assert!(refused.message().contains(words), "{refused:?}");
    }
    let shown = house.get("/containers/idle/json").await.json();
    assert_eq!(shown["HostConfig"]["MaskedPaths"][0], "/proc/asound");
    assert_eq!(shown["HostConfig"]["ReadonlyPaths"][0], "/proc/bus");
}

/// A container with a terminal whose program repeats what is typed.
async fn repeating(house: &House, name: &str) -> String {
    let further = json!({ "Tty": true, "OpenStdin": true });
    house.run(name, &["cat"], further).await
}

#[tokio::test]
async fn a_web_socket_carries_both_ways_without_heads() {
    let house = House::new().await;
    repeating(&house, "talk").await;
    let url = "ws://localhost/v1.42/containers/talk/attach/ws?stream=1&stdin=1&stdout=1";
    let (mut socket, answer) = tokio_tungstenite::client_async(url, house.connect().await)
        .await
        .unwrap();
    assert_eq!(answer.status(), 101);
    socket
        .send(Message::text("hello\n".to_owned()))
        .await
        .unwrap();
    let mut heard = Vec::new();
    while !heard.ends_with(b"hello\r\n") {
        heard.extend(socket.next().await.unwrap().unwrap().into_data());
    }
    // The keys that detach end the socket, and nothing else.
    socket
        .send(Message::binary(b"\x10\x11".to_vec()))
        .await
        .unwrap();
    while let Some(Ok(_)) = socket.next().await {}
    let shown = house.get("/containers/talk/json").await.json();
    assert_eq!(shown["State"]["Running"], true);
    let until = jiff::Timestamp::now().as_second() + 1;
    let events = house.get(&format!("/events?since=1&until={until}")).await;
    assert!(
        events
            .lines()
            .iter()
            .any(|event| event["Action"] == "detach"),
        "{events:?}"
    );
    let plain = house.get("/containers/talk/attach/ws?stream=1").await;
    assert_eq!(plain.status, 400, "{plain:?}");
    assert!(plain.message().contains("WebSocket"), "{plain:?}");
}

#[tokio::test]
async fn an_image_is_made_of_a_container() {
    let house = House::new().await;
    house
        .run("made", &["sh", "-c", "echo hi > /hello"], nothing())
        .await;
    let path = "/commit?container=made&repo=made&tag=1&author=me&comment=why&changes=ENV%20A%3D1";
    let made = house.post(path, nothing()).await;
    assert_eq!(made.status, 201, "{made:?}");
    let shown = house.get("/images/made:1/json").await.json();
    assert_eq!(shown["Id"], made.json()["Id"]);
    assert_eq!(
        (&shown["Author"], &shown["Comment"]),
        (&json!("me"), &json!("why"))
    );
    assert_eq!(
        shown["Config"]["Cmd"],
        json!(["sh", "-c", "echo hi > /hello"])
    );
    assert!(
        shown["Config"]["Env"]
            .as_array()
            .unwrap()
            .contains(&json!("A=1")),
        "{shown:#}"
    );
    assert_eq!(shown["RootFS"]["Layers"].as_array().unwrap().len(), 2);
    for (path, status) in [
        ("/commit?container=nosuch", 404),
        ("/commit?container=made&repo=Bad!", 400),
        ("/commit?container=made&changes=FROM%20x", 400),
    ] {
        assert_eq!(house.post(path, nothing()).await.status, status, "{path}");
    }
}
