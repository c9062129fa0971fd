//! BuildKit's services, from the outside: a client that asks for builds over gRPC and shows its files in a
//! session, and others that mean no good.

mod client;

use bollard_buildkit_proto::moby::buildkit::v1::control_client::ControlClient;
use bollard_buildkit_proto::moby::buildkit::v1::frontend::llb_bridge_client::LlbBridgeClient;
use bollard_buildkit_proto::moby::buildkit::v1::frontend::{
    self, PingRequest, ReadFileRequest, ReturnRequest,
};
use bollard_buildkit_proto::moby::buildkit::v1::{
    BuildHistoryRequest, CacheOptions, CacheOptionsEntry, DiskUsageRequest, InfoRequest,
    ListWorkersRequest, PruneRequest, SolveRequest,
};
use bollard_buildkit_proto::pb::Definition;
use serde_json::Value;
use tonic::{Code, Request};

use crate::house::House;

use client::{
    Files, Manner, Shown, ended, grpc, link, listen, many, session, session_inside, shown, solve,
};

#[tokio::test]
async fn a_dockerfile_is_built_of_the_files_in_a_session() {
    let house = House::new().await;
    let channel = grpc(&house).await;
    let text = "ARG WHAT\nFROM scratch\nCOPY . /\nLABEL of=$WHAT\n";
    let serving = session(&house, "whole", Files::of(text, many())).await;
    let request = solve("whole", &[("build-arg:WHAT", "x"), ("label:own", "y")]);
    let mut control = ControlClient::new(channel.clone());
    let (solved, told) = tokio::join!(control.solve(request), listen(channel, "whole"));
    let answer = solved.unwrap().into_inner().exporter_response;
    let image = house.get("/images/whole:1/json").await.json();
    assert_eq!(answer["containerimage.digest"], image["Id"]);
    assert_eq!(answer["image.name"], "docker.io/library/whole:1");
    assert_eq!(image["Config"]["Labels"]["own"], "y");
    let names = ended(&told);
    let has = |name: &str| {
        names
            .iter()
            .any(|(known, error)| known == name && error.is_empty())
    };
    for name in [
        "[internal] load build definition from Dockerfile",
        "[internal] load build context",
        "[1/2] FROM scratch",
        "[2/2] COPY . /",
        "exporting to image",
    ] {
        assert!(has(name), "{name}: {names:?}");
    }
    let saved = house.get("/images/whole:1/get").await.body;
    let has = |text: &str| {
        saved
            .windows(text.len())
            .any(|part| part == text.as_bytes())
    };
    assert!(has("content of many-000") && has("content of many-199") && has("content of bulk"));
    assert!(has("../../../etc/passwd") && !has("content of ignored"));
    serving.abort();
}

#[tokio::test]
async fn buildx_asks_for_the_dockerfile_while_its_build_waits() {
    let house = House::new().await;
    let channel = grpc(&house).await;
    let serving = session(
        &house,
        "asked",
        Files::of("FROM scratch\nLABEL a=b\n", vec![]),
    )
    .await;
    let mut control = ControlClient::new(channel.clone());
    let begun = SolveRequest {
        frontend: String::new(),
        ..solve("asked", &[])
    };
    let asking = async {
        let of_build = |build: &'static str| {
            move |mut request: Request<()>| {
                let build = build.parse().unwrap();
                request
                    .metadata_mut()
                    .insert("buildkit-controlapi-buildid", build);
                Ok(request)
            }
        };
        let mut bridge = LlbBridgeClient::with_interceptor(channel.clone(), of_build("asked"));
        let pong = bridge.ping(PingRequest {}).await.unwrap().into_inner();
        assert!(pong.frontend_api_caps.iter().any(|cap| cap.id == "return"));
        let request = frontend::SolveRequest {
            frontend: "dockerfile.v0".to_owned(),
            ..frontend::SolveRequest::default()
        };
        let solved = bridge.solve(request).await.unwrap().into_inner();
        let refused = bridge.read_file(ReadFileRequest::default()).await;
        assert_eq!(refused.unwrap_err().code(), Code::Unimplemented);
        let result = solved.result;
        bridge
            .r#return(ReturnRequest {
                result,
                error: None,
            })
            .await
            .unwrap();
    };
    let (solved, told, ()) = tokio::join!(
        control.solve(begun),
        listen(channel.clone(), "asked"),
        asking
    );
    let answer = solved.unwrap().into_inner().exporter_response;
    let image = house.get("/images/asked:1/json").await.json();
    assert_eq!(answer["containerimage.config.digest"], image["Id"]);
    assert!(
        ended(&told)
            .iter()
            .any(|(name, _)| name == "[1/1] FROM scratch")
    );
    serving.abort();
}

#[tokio::test]
async fn names_stand_for_directories_and_for_what_other_builds_led_to() {
    let house = House::new().await;
    let channel = grpc(&house).await;
    let first = Files::of("FROM scratch\nLABEL first=yes\n", vec![]);
    let serving = session(&house, "first", first).await;
    let mut control = ControlClient::new(channel.clone());
    let begun = SolveRequest {
        frontend: String::new(),
        ..solve("first", &[])
    };
    let asking = async {
        let of_build = |mut request: Request<()>| {
            let build = "first".parse().unwrap();
            request
                .metadata_mut()
                .insert("buildkit-controlapi-buildid", build);
            Ok(request)
        };
        let mut bridge = LlbBridgeClient::with_interceptor(channel.clone(), of_build);
        let request = frontend::SolveRequest {
            frontend: "dockerfile.v0".to_owned(),
            ..frontend::SolveRequest::default()
        };
        let solved = bridge.solve(request).await.unwrap().into_inner();
        let end = ReturnRequest::default();
        bridge.r#return(end).await.unwrap();
        match solved.result.unwrap().result.unwrap() {
            frontend::result::Result::Ref(built) => built.def.unwrap(),
            other => panic!("{other:?}"),
        }
    };
    let (begun, _, graph) = tokio::join!(
        control.solve(begun),
        listen(channel.clone(), "first"),
        asking
    );
    begun.unwrap();
    serving.abort();

    let text = "FROM unused AS replaced\nRUN none\nFROM base\nCOPY --from=beside / /\n\
        COPY --from=replaced / /\n";
    let mut files = Files::of(text, vec![]);
    let beside = vec![
        shown(".dockerignore", 0o644, "ignored\n"),
        shown("ignored", 0o644, "content of ignored"),
        shown("large", 0o644, &"content of large\n".repeat(200_000)),
    ];
    files.directories.insert("beside", beside);
    let other = vec![shown("other", 0o644, "content of other")];
    files.directories.insert("other", other);
    let serving = session_inside(channel.clone(), "second", files).await;
    let mut request = solve(
        "second",
        &[
            ("context:base", "input:0"),
            ("context:beside", "local:beside"),
            ("context:replaced", "local:other"),
        ],
    );
    request.frontend_inputs.insert("0".to_owned(), graph);
    let (solved, told) = tokio::join!(control.solve(request), listen(channel, "second"));
    solved.unwrap();
    let names = ended(&told);
    let step = "[context beside] load from client".to_owned();
    assert!(names.contains(&(step, String::new())), "{names:?}");
    let image = house.get("/images/second:1/json").await.json();
    assert_eq!(image["Config"]["Labels"]["first"], "yes");
    let saved = house.get("/images/second:1/get").await.body;
    let saved = String::from_utf8_lossy(&saved);
    assert!(saved.contains("content of large") && saved.contains("content of other"));
    assert!(!saved.contains("content of ignored"));
    serving.abort();
}

#[tokio::test]
async fn a_failure_names_the_step_and_the_line() {
    let house = House::new().await;
    let channel = grpc(&house).await;
    let text = "FROM scratch\nCOPY nothing /\n";
    let serving = session(&house, "fails", Files::of(text, vec![])).await;
    let mut control = ControlClient::new(channel.clone());
    let (solved, told) = tokio::join!(control.solve(solve("fails", &[])), listen(channel, "fails"));
    let status = solved.unwrap_err();
    assert!(
        status.message().contains("(Dockerfile:2: COPY nothing /)"),
        "{status}"
    );
    let details = String::from_utf8_lossy(status.details());
    assert!(details.contains("errdefs.Source+json"), "{details}");
    let failed = ended(&told);
    let failed = failed
        .iter()
        .find(|(name, _)| name == "[2/2] COPY nothing /");
    assert_eq!(failed.unwrap().1, status.message());
    assert_eq!(house.get("/images/fails:1/json").await.status, 404);
    serving.abort();
}

/// buildx offers agents also where it has none.
#[tokio::test]
async fn what_is_required_and_not_given_is_named() {
    let house = House::new().await;
    let channel = grpc(&house).await;
    for (name, mount, words) in [
        (
            "agent",
            "type=ssh,required",
            "agent for SSH default is required",
        ),
        (
            "secret",
            "type=secret,id=a,required",
            "secret a is required",
        ),
    ] {
        let text = format!("FROM demo:1\nRUN --mount={mount} true\n");
        let serving = session(&house, name, Files::of(&text, vec![])).await;
        let mut control = ControlClient::new(channel.clone());
        let (solved, _) = tokio::join!(
            control.solve(solve(name, &[])),
            listen(channel.clone(), name)
        );
        let status = solved.unwrap_err();
        assert!(status.message().starts_with(words), "{status}");
        serving.abort();
    }
}

#[tokio::test]
async fn a_client_that_means_no_good_is_told_so_and_leaves_nothing() {
    let house = House::new().await;
    let file = shown("file", 0o644, "content");
    let hostile = |context: Vec<Shown>, manner: Manner| Files {
        manner,
        ..Files::of("FROM scratch\nCOPY . /\n", context)
    };
    let honest = Manner::Honest;
    let mut device = shown("device", 1 << 26 | 0o644, "");
    device.stat.devmajor = 1;
    let cases = [
        (
            "climbs",
            hostile(vec![shown("../up", 0o644, "x")], honest),
            "\"../up\"",
        ),
        (
            "absolute",
            hostile(vec![shown("/etc/x", 0o644, "x")], honest),
            "\"/etc/x\"",
        ),
        (
            "device",
            hostile(vec![device], honest),
            "device: pipes, sockets and devices",
        ),
        (
            "short",
            hostile(vec![file.clone()], Manner::Short),
            "file became smaller",
        ),
        (
            "unasked",
            hostile(vec![file.clone()], Manner::Unasked),
            "was not asked for",
        ),
        (
            "error",
            hostile(vec![file.clone()], Manner::Fails),
            "disk on fire",
        ),
        (
            "leaves",
            hostile(vec![file], Manner::Leaves),
            "the client left",
        ),
    ];
    for (name, files, words) in cases {
        let channel = grpc(&house).await;
        let serving = session(&house, name, files).await;
        let mut control = ControlClient::new(channel.clone());
        let (solved, told) = tokio::join!(control.solve(solve(name, &[])), listen(channel, name));
        let status = solved.unwrap_err();
        assert!(status.message().contains(words), "{name}: {status}");
        let failed = ended(&told);
        let failed = failed
            .iter()
            .find(|(step, _)| step.ends_with("load build context"));
        assert!(
            failed.is_some_and(|(_, error)| !error.is_empty()),
            "{name}: {told:?}"
        );
        assert_eq!(
            house.get(&format!("/images/{name}:1/json")).await.status,
            404
        );
        serving.abort();
    }
    // What is behind a link stays inside the context.
    let behind = vec![
        link("out", "/tmp"),
        shown("out/file", 0o644, "content of out"),
    ];
    let channel = grpc(&house).await;
    let serving = session(&house, "behind", hostile(behind, honest)).await;
    let mut control = ControlClient::new(channel.clone());
    let request = solve("behind", &[]);
    drop(tokio::join!(
        control.solve(request),
        listen(channel, "behind")
    ));
    assert!(!std::path::Path::new("/tmp/file").exists());
    serving.abort();
}

#[tokio::test]
async fn what_is_not_done_is_refused_by_name() {
    let house = House::new().await;
    let mut control = ControlClient::new(grpc(&house).await);
    let asked = |change: fn(&mut SolveRequest)| {
        let mut request = solve("refused", &[]);
        change(&mut request);
        request
    };
    let cases = [
        (
            asked(|request| {
                let def = vec![vec![1]];
                request.definition = Some(Definition {
                    def,
                    ..Definition::default()
                });
            }),
            Code::Unimplemented,
            "Definition",
        ),
        (
            asked(|request| request.frontend = "gateway.v0".to_owned()),
            Code::Unimplemented,
            "gateway.v0",
        ),
        (
            asked(|request| request.exporters[0].r#type = "local".to_owned()),
            Code::Unimplemented,
            "type=local",
        ),
        (
            asked(|request| request.entitlements.push("security.insecure".to_owned())),
            Code::PermissionDenied,
            "security.insecure",
        ),
        (
            asked(|request| {
                let r#type = "registry".to_owned();
                let entry = CacheOptionsEntry {
                    r#type,
                    ..CacheOptionsEntry::default()
                };
                let exports = vec![entry];
                request.cache = Some(CacheOptions {
                    exports,
                    ..CacheOptions::default()
                });
            }),
            Code::Unimplemented,
            "cache-to type=registry",
        ),
        (
            asked(|request| {
                let source = "oci-layout://a".to_owned();
                request
                    .frontend_attrs
                    .insert("context:b".to_owned(), source);
            }),
            Code::Unimplemented,
            "build-context b=oci-layout://a",
        ),
        (
            asked(|request| request.r#ref.clear()),
            Code::InvalidArgument,
            "Ref",
        ),
    ];
    for (request, code, words) in cases {
        // Nobody listens, which holds nothing up for long.
        let status = control.solve(request).await.unwrap_err();
        assert_eq!(status.code(), code, "{words}: {status}");
        assert!(status.message().contains(words), "{words}: {status}");
    }
}

#[tokio::test]
async fn the_daemon_tells_of_itself_and_of_what_builds_left() {
    let house = House::new().await;
    let channel = grpc(&house).await;
    let mut control = ControlClient::new(channel.clone());
    let info = control.info(InfoRequest {}).await.unwrap().into_inner();
    assert_eq!(info.buildkit_version.unwrap().package, "longshore");
    let workers = control.list_workers(ListWorkersRequest::default()).await;
    let workers = workers.unwrap().into_inner().record;
    assert_eq!(workers[0].platforms[0].architecture, "amd64");
    let history = control
        .listen_build_history(BuildHistoryRequest::default())
        .await;
    assert_eq!(history.unwrap_err().code(), Code::Unimplemented);

    let serving = session(
        &house,
        "left",
        Files::of("FROM scratch\nLABEL a=b\n", vec![]),
    )
    .await;
    let (solved, _) = tokio::join!(
        control.solve(solve("left", &[])),
        listen(channel.clone(), "left")
    );
    solved.unwrap();
    serving.abort();
    let mut control = ControlClient::new(channel);
    let used = control
        .disk_usage(DiskUsageRequest::default())
        .await
        .unwrap();
    let used = used.into_inner().record;
    assert_eq!(used.len(), 1, "{used:?}");
    let prune = PruneRequest {
        all: true,
        ..PruneRequest::default()
    };
    let mut gone = control.prune(prune).await.unwrap().into_inner();
    assert_eq!(gone.message().await.unwrap().unwrap().id, used[0].id);
    assert!(gone.message().await.unwrap().is_none());
    let left = control
        .disk_usage(DiskUsageRequest::default())
        .await
        .unwrap();
    assert!(left.into_inner().record.is_empty());
}

#[tokio::test]
async fn connections_are_taken_over_for_one_protocol_only() {
    let house = House::new().await;
    for path in ["/grpc", "/session"] {
        let answer = house.post(path, Value::Null).await;
        assert_eq!(answer.status, 400);
        assert!(answer.message().contains("h2c"), "{answer:?}");
    }
    let answer = house.post("/build/cancel?id=none", Value::Null).await;
    assert_eq!(
        (answer.status, answer.message()),
        (404, "no such build: none".to_owned())
    );
}
