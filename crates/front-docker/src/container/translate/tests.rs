//! Create requests as the client sends them, and the instances that they become.

use super::fixture::{Fixture, image};
use super::*;
use model::container::LogConfig;
use serde_json::json;

fn translate_for(
    fixture: &Fixture,
    version: Version,
    mut document: Value,
) -> Result<Translated, ApiError> {
    crate::json::prune(&mut document);
    let mut create = Create::read("", Some(document))?;
    let warnings = check(&mut create, version, &fixture.host())?;
    to_model(create, &image(), version, warnings, fixture)
}

fn translate(document: Value) -> Result<Translated, ApiError> {
    translate_for(&Fixture::new(), Version::MAX, document)
}

fn host(field: &str, value: Value) -> Value {
    json!({ "Image": "busybox", "HostConfig": { field: value } })
}

fn refusal(document: Value) -> String {
    translate(document).unwrap_err().message
}

/// The whole body that `docker run busybox true` (CLI 28.2.2) sends.
fn of_the_cli() -> Value {
    json!({
        "Hostname": "", "Domainname": "", "User": "", "AttachStdin": false, "AttachStdout": true,
        "AttachStderr": true, "Tty": false, "OpenStdin": false, "StdinOnce": false, "Env": null,
        "Cmd": ["true"], "Image": "busybox", "Volumes": {}, "WorkingDir": "", "Entrypoint": null,
        "OnBuild": null, "Labels": {},
        "HostConfig": {
            "Binds": null, "ContainerIDFile": "", "LogConfig": { "Type": "", "Config": {} },
            "NetworkMode": "default", "PortBindings": {},
            "RestartPolicy": { "Name": "no", "MaximumRetryCount": 0 }, "AutoRemove": false,
            "VolumeDriver": "", "VolumesFrom": null, "ConsoleSize": [0, 0], "CapAdd": null,
            "CapDrop": null, "CgroupnsMode": "", "Dns": [], "DnsOptions": [], "DnsSearch": [],
            "ExtraHosts": null, "GroupAdd": null, "IpcMode": "", "Cgroup": "", "Links": null,
            "OomScoreAdj": 0, "PidMode": "", "Privileged": false, "PublishAllPorts": false,
            "ReadonlyRootfs": false, "SecurityOpt": null, "UTSMode": "", "UsernsMode": "",
            "ShmSize": 0, "Isolation": "", "CpuShares": 0, "Memory": 0, "NanoCpus": 0,
            "CgroupParent": "", "BlkioWeight": 0, "BlkioWeightDevice": [], "BlkioDeviceReadBps": [],
            "BlkioDeviceWriteBps": [], "BlkioDeviceReadIOps": [], "BlkioDeviceWriteIOps": [],
            "CpuPeriod": 0, "CpuQuota": 0, "CpuRealtimePeriod": 0, "CpuRealtimeRuntime": 0,
            "CpusetCpus": "", "CpusetMems": "", "Devices": [], "DeviceCgroupRules": null,
            "DeviceRequests": null, "MemoryReservation": 0, "MemorySwap": 0, "MemorySwappiness": -1,
            "OomKillDisable": false, "PidsLimit": 0, "Ulimits": [], "CpuCount": 0, "CpuPercent": 0,
            "IOMaximumIOps": 0, "IOMaximumBandwidth": 0, "MaskedPaths": null, "ReadonlyPaths": null
        },
        "NetworkingConfig": { "EndpointsConfig": { "default": {
            "IPAMConfig": null, "Links": null, "Aliases": null, "MacAddress": "", "DriverOpts": null,
            "GwPriority": 0, "NetworkID": "", "EndpointID": "", "Gateway": "", "IPAddress": "",
            "IPPrefixLen": 0, "IPv6Gateway": "", "GlobalIPv6Address": "", "GlobalIPv6PrefixLen": 0,
            "DNSNames": null
        } } }
    })
}

#[test]
fn what_the_cli_sends_for_nothing_special_is_nothing_special() {
    let fixture = Fixture::new();
    let translated = translate_for(&fixture, Version::MAX, of_the_cli()).unwrap();
    assert_eq!(translated.warnings, Vec::<String>::new());
    let spec = &translated.new.spec;
    assert_eq!(spec.network, NetworkMode::Attached);
    assert_eq!(spec.attachments.len(), 1);
    assert_eq!(spec.attachments[0].network, fixture.networks[0].meta.id);
    assert_eq!(
        spec.namespaces,
        Namespaces {
            cgroup: NamespaceMode::Host,
            ..Namespaces::default()
        }
    );
    assert_eq!(spec.restart, RestartPolicy::Never);
    assert_eq!(spec.published_ports, []);
    assert_eq!(translated.new.command, Some(vec!["true".to_owned()]));
    let container = &spec.containers[0];
    assert_eq!(container.resources, model::resources::Resources::default());
    assert_eq!(container.security, model::security::Security::default());
    assert_eq!(container.mounts, []);
    assert_eq!(container.log, LogConfig::default());
    assert_eq!(container.shm_size_bytes, Some(64 << 20));
}

#[test]
fn what_was_sent_is_kept_with_the_defaults_filled_in() {
    let translated = translate(of_the_cli()).unwrap();
    let origin = &translated.new.spec.origin["docker"];
    for (pointer, value) in [
        ("/Config/Cmd", json!(["true"])),
        ("/Config/Env", json!(null)),
        ("/Config/ExposedPorts", json!({ "80/tcp": {} })),
        ("/HostConfig/Binds", json!(null)),
        ("/HostConfig/NetworkMode", json!("bridge")),
        ("/HostConfig/IpcMode", json!("private")),
        ("/HostConfig/ShmSize", json!(67_108_864)),
        ("/HostConfig/LogConfig/Type", json!("json-file")),
        ("/HostConfig/Runtime", json!("runc")),
        ("/HostConfig/MemorySwappiness", json!(null)),
        ("/HostConfig/PidsLimit", json!(null)),
        ("/HostConfig/Memory", json!(0)),
    ] {
        assert_eq!(origin.pointer(pointer), Some(&value), "{pointer}");
    }
    let stored = Origin::of(&translated.new.spec);
    assert_eq!(stored.into_value(), *origin);
}

#[test]
fn modes_join_other_containers_by_identity() {
    let fixture = Fixture::new();
    let document = json!({ "Image": "busybox", "HostConfig": {
        "NetworkMode": "container:web", "PidMode": "container:web", "IpcMode": "container:web",
    } });
    let spec = translate_for(&fixture, Version::MAX, document)
        .unwrap()
        .new
        .spec;
    let id = fixture.web.meta.id;
    assert_eq!(spec.network, NetworkMode::Instance(id));
    assert_eq!(
        (spec.namespaces.pid, spec.namespaces.ipc),
        (NamespaceMode::Instance(id), NamespaceMode::Instance(id))
    );
    let shown = spec.origin["docker"]
        .pointer("/HostConfig/PidMode")
        .unwrap();
    assert_eq!(*shown, json!(format!("container:{}", docker_id(id))));
    assert_eq!(
        refusal(host("PidMode", json!("container:nosuch"))),
        "No such container: nosuch"
    );
}

#[test]
fn networks_are_found_and_their_settings_kept() {
    let fixture = Fixture::new();
    let document = json!({
        "Image": "busybox",
        "HostConfig": { "NetworkMode": "n1" },
        "NetworkingConfig": { "EndpointsConfig": {
            "n1": { "Aliases": ["db"], "IPAMConfig": { "IPv4Address": "10.1.2.3" }, "MacAddress": "02:42:AC:11:00:02" },
            "bridge": null,
        } },
    });
    let spec = translate_for(&fixture, Version::MAX, document.clone())
        .unwrap()
        .new
        .spec;
    assert_eq!(spec.attachments[0].network, fixture.networks[1].meta.id);
    assert_eq!(spec.attachments[0].aliases, ["db"]);
    assert_eq!(spec.attachments[0].ipv4, Some([10, 1, 2, 3].into()));
    assert_eq!(
        spec.attachments[0].mac.as_deref(),
        Some("02:42:ac:11:00:02")
    );
    assert_eq!(spec.attachments[1].network, fixture.networks[0].meta.id);
    assert_eq!(
        translate_for(&fixture, Version::new(1, 43), document)
            .unwrap_err()
            .message,
        "Container cannot be created with multiple network endpoints: bridge, n1"
    );
    assert_eq!(
        refusal(host("NetworkMode", json!("nosuch"))),
        "network nosuch not found"
    );
}

#[test]
fn what_cannot_be_honoured_is_refused_by_name() {
    for (field, value, words) in [
        (
            "Runtime",
            json!("kata"),
            "unknown or invalid runtime name: kata",
        ),
        (
            "StorageOpt",
            json!({ "size": "1g" }),
            "HostConfig.StorageOpt",
        ),
        (
            "Isolation",
            json!("hyperv"),
            "invalid isolation (hyperv): linux only supports 'default'",
        ),
        (
            "DeviceRequests",
            json!([{ "Count": -1 }]),
            "HostConfig.DeviceRequests",
        ),
        ("Cgroup", json!("container:web"), "HostConfig.Cgroup"),
        ("UsernsMode", json!("private"), "invalid USER mode: private"),
        ("UTSMode", json!("x"), "invalid UTS mode: x"),
        ("IpcMode", json!("x"), "invalid IPC mode: x"),
        ("PidMode", json!("x"), "invalid PID mode: x"),
        (
            "CgroupnsMode",
            json!("x"),
            "invalid cgroup namespace mode: x",
        ),
        ("ShmSize", json!(-1), "SHM size can not be less than 0"),
        (
            "OomScoreAdj",
            json!(2000),
            "Invalid value 2000, range for oom score adj is [-1000, 1000]",
        ),
        ("VolumeDriver", json!("nfs"), ""),
        (
            "LogConfig",
            json!({ "Type": "syslog" }),
            "HostConfig.LogConfig.Type",
        ),
        (
            "Memory",
            json!("1g"),
            "invalid JSON: json: cannot unmarshal string into Go struct field CreateRequest.HostConfig.Memory of type int64",
        ),
        (
            "Binds",
            json!("x"),
            "invalid JSON: json: cannot unmarshal string into Go struct field CreateRequest.HostConfig.Binds of type []string",
        ),
        (
            "RestartPolicy",
            json!({ "Name": "maybe" }),
            "invalid restart policy: unknown policy 'maybe'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'",
        ),
        (
            "RestartPolicy",
            json!({ "Name": "always", "MaximumRetryCount": 2 }),
            "invalid restart policy: maximum retry count can only be used with 'on-failure'",
        ),
        (
            "Mounts",
            json!([{ "Type": "image", "Target": "/y" }]),
            "invalid mount config for type \"image\": field Source must not be empty",
        ),
        (
            "Mounts",
            json!([{
                "Type": "image", "Source": "x", "Target": "/y", "ImageOptions": { "Subpath": "../z" }
            }]),
            "subpath must be a relative path within the volume",
        ),
        (
            "Mounts",
            json!([{ "Type": "bind", "Source": "/nosuch", "Target": "/y" }]),
            "invalid mount config for type \"bind\": bind source path does not exist: /nosuch",
        ),
        (
            "Mounts",
            json!([{ "Type": "volume", "Target": "/y", "BindOptions": {} }]),
            "BindOptions must not be specified on mount type \"volume\"",
        ),
    ] {
        let document = match field {
            "VolumeDriver" => {
                json!({ "Image": "busybox", "Volumes": { "/v": {} }, "HostConfig": { "VolumeDriver": value } })
            }
            _ => host(field, value),
        };
        let found = refusal(document);
        assert!(found.contains(words), "{field}: {found}");
    }
}

#[test]
fn a_request_must_say_something() {
    let words = |document: Option<Value>| Create::read("", document).unwrap_err().message;
    assert_eq!(
        words(None),
        "invalid JSON: got EOF while reading request body"
    );
    assert_eq!(
        words(Some(json!({}))),
        "config cannot be empty in order to create a container"
    );
    assert_eq!(
        words(Some(json!({ "HostConfig": {} }))),
        "config cannot be empty in order to create a container"
    );
    assert!(words(Some(json!([]))).contains("cannot unmarshal array"));
}

#[test]
fn names_follow_dockers_rule() {
    assert_eq!(container_name("/web-1").unwrap(), "web-1");
    for name in ["a", "-x", "a b", "a/b", "ü1"] {
        assert_eq!(
            container_name(name).unwrap_err().message,
            format!("Invalid container name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed")
        );
    }
}

#[test]
fn mounts_of_all_forms_come_together_and_none_twice() {
    let document = json!({
        "Image": "busybox",
        "Volumes": { "/anonymous": {} },
        "HostConfig": {
            "Binds": ["/srv:/srv:ro"],
            "Tmpfs": { "/tmp": "size=1m" },
            "Mounts": [{ "Type": "volume", "Source": "v1", "Target": "/data",
                "VolumeOptions": { "Labels": { "a": "b" } } }],
        },
    });
    let translated = translate(document).unwrap();
    let targets: Vec<_> = translated.new.spec.containers[0]
        .mounts
        .iter()
        .map(|mount| mount.target.as_str())
        .collect();
    assert_eq!(targets, ["/anonymous", "/data", "/srv", "/tmp"]);
    assert_eq!(translated.volumes[0].name, "v1");
    let twice = host("Binds", json!(["/srv:/a", "/srv:/a/"]));
    assert_eq!(refusal(twice), "Duplicate mount point: /a");
}

#[test]
fn older_versions_mean_what_they_meant() {
    let fixture = Fixture::new();
    let document = json!({ "Image": "busybox", "HostConfig": {
        "AutoRemove": true, "ConsoleSize": [24, 80], "Annotations": { "a": "b" },
    }, "Tty": true });
    let new = translate_for(&fixture, Version::MAX, document.clone())
        .unwrap()
        .new
        .spec;
    assert!(new.auto_remove && new.containers[0].terminal_size.is_some());
    let old = translate_for(&fixture, Version::new(1, 24), document)
        .unwrap()
        .new
        .spec;
    assert!(!old.auto_remove && old.containers[0].terminal_size.is_none());
    assert_eq!(old.namespaces.ipc, NamespaceMode::Shareable);
}

#[test]
fn a_container_wide_mac_moves_to_its_network() {
    let document =
        json!({ "Image": "busybox", "MacAddress": "02:00:00:00:00:01", "HostConfig": {} });
    let translated = translate(document).unwrap();
    assert_eq!(
        translated.new.spec.attachments[0].mac.as_deref(),
        Some("02:00:00:00:00:01")
    );
    assert!(
        translated.warnings[0].starts_with("The container-wide MacAddress field is now deprecated")
    );
}
