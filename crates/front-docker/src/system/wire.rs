//! Shapes of the daemon's answers about itself, named as in Go. Pure.
//!
//! Spec: Docker Engine API 1.51, `SystemVersion`, `SystemInfo`.

use actions::distribution;
use actions::system::Info;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::container::translate::RUNTIMES;
use crate::version::Version;
use crate::{Settings, VERSION};

/// A machine's architecture, as Go names it.
pub(crate) fn go_architecture(architecture: &str) -> &str {
    match architecture {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// `GET /version`. The kernel is unknown until the node has announced itself.
pub(crate) fn version(info: Option<&Info>) -> Value {
    let architecture = info.map_or(std::env::consts::ARCH, |info| &info.node.spec.architecture);
    let architecture = go_architecture(architecture);
    let kernel = info.map_or("", |info| &info.node.spec.kernel);
    let (max, min) = (Version::MAX.to_string(), Version::MIN.to_string());
    json!({
        "Platform": { "Name": "Longshore" },
        "Version": VERSION,
        "ApiVersion": max,
        "MinAPIVersion": min,
        "Os": "linux",
        "Arch": architecture,
        "KernelVersion": kernel,
        "GitCommit": "",
        "GoVersion": "",
        "BuildTime": "",
        "Components": [{
            "Name": "Engine",
            "Version": VERSION,
            "Details": {
                "ApiVersion": max,
                "Arch": architecture,
                "BuildTime": "",
                "Experimental": "false",
                "GitCommit": "",
                "GoVersion": "",
                "KernelVersion": kernel,
                "MinAPIVersion": min,
                "Os": "linux",
            },
        }],
    })
}

/// `GET /info`.
pub(crate) fn info(
    settings: &Settings,
    registries: &distribution::Settings,
    info: &Info,
    version: Version,
) -> Value {
    let node = &info.node.spec;
    let is_v1 = node.cgroup_version != 2;
    let mut security = vec!["name=seccomp,profile=builtin"];
    if !is_v1 {
        security.push("name=cgroupns");
    }
    let mut document = json!({
        "ID": info.node.meta.id.to_string(),
        "Containers": info.running + info.paused + info.stopped,
        "ContainersRunning": info.running,
        "ContainersPaused": info.paused,
        "ContainersStopped": info.stopped,
        "Images": info.images,
        "Driver": "overlay2",
        "DriverStatus": [["Supports d_type", "true"], ["Mounted in", "the container's own mount namespace"]],
        "Plugins": {
            "Volume": ["local"],
            "Network": ["bridge", "host", "null"],
            "Authorization": null,
            "Log": ["json-file", "local"],
        },
        "MemoryLimit": true,
        "SwapLimit": true,
        "CpuCfsPeriod": true,
        "CpuCfsQuota": true,
        "CPUShares": true,
        "CPUSet": true,
        "PidsLimit": true,
        "IPv4Forwarding": true,
        "Debug": false,
        "NFd": 0,
        "OomKillDisable": is_v1,
        "NGoroutines": 0,
        "SystemTime": Timestamp::now().to_string(),
        "LoggingDriver": "json-file",
        "CgroupDriver": "cgroupfs",
        "CgroupVersion": node.cgroup_version.to_string(),
        "NEventsListener": 0,
        "KernelVersion": node.kernel,
        "OperatingSystem": node.operating_system,
        "OSVersion": node.os_version,
        "OSType": "linux",
        "Architecture": node.architecture,
        "IndexServerAddress": "https://index.docker.io/v1/",
        "RegistryConfig": registry_config(registries),
        "NCPU": node.cpu_milli / 1000,
        "MemTotal": node.memory_bytes,
        "GenericResources": null,
        "DockerRootDir": settings.data_dir.display().to_string(),
        "HttpProxy": "",
        "HttpsProxy": "",
        "NoProxy": "",
        "Name": info.node.meta.name,
        "Labels": [],
        "ExperimentalBuild": false,
        "ServerVersion": VERSION,
        "Runtimes": { RUNTIMES[0]: { "path": RUNTIMES[1] } },
        "DefaultRuntime": RUNTIMES[0],
        "Swarm": {
            "NodeID": "",
            "NodeAddr": "",
            "LocalNodeState": "inactive",
            "ControlAvailable": false,
            "Error": "",
            "RemoteManagers": null,
        },
        "LiveRestoreEnabled": true,
        "Isolation": "",
        "InitBinary": RUNTIMES[1],
        "ContainerdCommit": { "ID": "" },
        "RuncCommit": { "ID": "" },
        "InitCommit": { "ID": "" },
        "SecurityOptions": security,
        "CDISpecDirs": [],
        "Warnings": node.warnings,
    });
    if !version.has(50) {
        document["BridgeNfIptables"] = Value::Bool(true);
        document["BridgeNfIp6tables"] = Value::Bool(true);
    }
    document
}

/// How registries are spoken to, in the form of `docker info`.
fn registry_config(registries: &distribution::Settings) -> Value {
    const LOOPBACK: [&str; 2] = ["::1/128", "127.0.0.0/8"];
    let mirrors: Vec<String> = registries.mirrors.iter().map(ToString::to_string).collect();
    let index = |name: &str, mirrors: &[String], secure: bool| json!({ "Name": name, "Mirrors": mirrors, "Secure": secure, "Official": name == "docker.io" });
    let mut indexes = Map::new();
    indexes.insert("docker.io".to_owned(), index("docker.io", &mirrors, true));
    for host in &registries.insecure.hosts {
        indexes.insert(host.clone(), index(host, &[], false));
    }
    let networks = registries.insecure.networks.iter().map(ToString::to_string);
    let networks: Vec<String> = LOOPBACK
        .map(str::to_owned)
        .into_iter()
        .chain(networks)
        .collect();
    json!({ "InsecureRegistryCIDRs": networks, "IndexConfigs": indexes, "Mirrors": mirrors })
}
