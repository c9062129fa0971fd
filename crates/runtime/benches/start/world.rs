//! What the started containers are made of: layers, cgroups, and Docker's default specification.

use std::fs;
use std::path::{Path, PathBuf};

use runtime::cgroup::Cgroup;
use runtime::launch::{Launch, LogFile, LogTarget, Rootfs, Stdio};
use runtime::seccomp::default_filter;
use serde_json::{Value, json};
use tempfile::TempDir;

/// What Docker grants. Source: moby, `daemon/pkg/oci/caps/defaults.go`.
const CAPABILITIES: [&str; 14] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FSETID",
    "CAP_FOWNER",
    "CAP_MKNOD",
    "CAP_NET_RAW",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETFCAP",
    "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE",
    "CAP_SYS_CHROOT",
    "CAP_KILL",
    "CAP_AUDIT_WRITE",
];

/// Goes, with all that was made for the starts, when it is dropped.
pub(crate) struct World {
    directory: TempDir,
    lower: PathBuf,
    seccomp: Vec<u8>,
    profile: Value,
}

/// The layers of one container.
pub(crate) struct Layers {
    pub(crate) lower: PathBuf,
    directory: PathBuf,
}

impl Layers {
    pub(crate) fn upper(&self) -> PathBuf {
        self.directory.join("upper")
    }

    pub(crate) fn work(&self) -> PathBuf {
        self.directory.join("work")
    }

    pub(crate) fn remove(self) {
        fs::remove_dir_all(self.directory).unwrap();
    }
}

impl World {
    /// With this root file system as the only read-only layer.
    pub(crate) fn new(lower: &Path) -> Self {
        let directory = tempfile::tempdir().unwrap();
        for name in ["resolv.conf", "hostname", "hosts"] {
            fs::write(directory.path().join(name), "").unwrap();
        }
        Self {
            directory,
            lower: lower.to_owned(),
            seccomp: default_filter(&CAPABILITIES.map(str::to_owned)).unwrap(),
            profile: runc_profile(),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// New ones, as a container has that was never started.
    pub(crate) fn layers(&self, id: &str) -> Layers {
        let layers = Layers {
            lower: self.lower.clone(),
            directory: self.path(id),
        };
        fs::create_dir_all(layers.upper()).unwrap();
        fs::create_dir_all(layers.work()).unwrap();
        layers
    }

    pub(crate) fn cgroup(&self, id: &str) -> Cgroup {
        Cgroup::at(&self.cgroups_path(id)).unwrap()
    }

    fn cgroups_path(&self, id: &str) -> String {
        format!("/{}/{id}", self.unique())
    }

    /// A name for a cgroup that no other run has.
    pub(crate) fn unique(&self) -> String {
        let unique = self.directory.path().file_name().unwrap().to_string_lossy();
        format!("longshore-bench-{}", unique.trim_start_matches('.'))
    }

    pub(crate) fn launch(&self, id: &str, layers: &Layers) -> Launch {
        Launch {
            id: id.to_owned(),
            spec: serde_json::from_value(self.spec(id)).unwrap(),
            rootfs: Rootfs::Overlay {
                lower: vec![layers.lower.clone()],
                upper: layers.upper(),
                work: layers.work(),
            },
            seccomp: self.seccomp.clone(),
            groups: Vec::new(),
            init: false,
            clamp_capabilities: false,
            stdio: Stdio::default(),
            log: LogTarget::JsonFile(LogFile {
                path: self.path("container.log"),
                max_size_bytes: None,
                max_files: 1,
                ..LogFile::default()
            }),
            note: Value::Null,
        }
    }

    /// The same for `runc`, but for the overlay mount, which is its caller's part.
    pub(crate) fn bundle(&self, id: &str) -> PathBuf {
        let bundle = self.path("bundle");
        fs::create_dir_all(&bundle).unwrap();
        let mut spec = self.spec(id);
        spec["linux"]["seccomp"] = self.profile.clone();
        fs::write(bundle.join("config.json"), spec.to_string()).unwrap();
        bundle
    }

    /// What dockerd makes of `docker run --network host --memory 512m --cpus 1 --pids-limit 100`.
    fn spec(&self, id: &str) -> Value {
        let mount = |to: &str, kind: &str, options: &[&str]| json!({ "destination": to, "type": kind, "source": kind, "options": options });
        let file = |name: &str| {
            json!({
                "destination": Path::new("/etc").join(name), "type": "bind",
                "source": self.path(name), "options": ["rbind", "rprivate"]
            })
        };
        let device = |major: u32, minor: u32| json!({ "allow": true, "type": "c", "major": major, "minor": minor, "access": "rwm" });
        let hidden = ["nosuid", "noexec", "nodev"];
        json!({
            "ociVersion": "1.0.2",
            "hostname": id,
            "root": { "path": self.lower },
            "process": {
                "user": { "uid": 0, "gid": 0, "username": "0" },
                "args": ["true"],
                "cwd": "/",
                "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", format!("HOSTNAME={id}")],
                "capabilities": {
                    "bounding": CAPABILITIES, "effective": CAPABILITIES, "permitted": CAPABILITIES
                }
            },
            "mounts": [
                mount("/proc", "proc", &hidden),
                mount("/dev", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
                mount("/dev/pts", "devpts", &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]),
                mount("/sys", "sysfs", &["nosuid", "noexec", "nodev", "ro"]),
                mount("/sys/fs/cgroup", "cgroup", &["ro", "nosuid", "noexec", "nodev"]),
                mount("/dev/mqueue", "mqueue", &hidden),
                mount("/dev/shm", "tmpfs", &["nosuid", "noexec", "nodev", "mode=1777", "size=67108864"]),
                file("resolv.conf"), file("hostname"), file("hosts"),
            ],
            "linux": {
                "cgroupsPath": self.cgroups_path(id),
                "namespaces": [{ "type": "mount" }, { "type": "pid" }, { "type": "uts" }, { "type": "ipc" }],
                "resources": {
                    "memory": { "limit": 512 << 20, "swap": 1024 << 20 },
                    "cpu": { "period": 100_000, "quota": 100_000 },
                    "pids": { "limit": 100 },
                    "devices": [
                        { "allow": false, "access": "rwm" },
                        device(1, 5), device(1, 3), device(1, 9), device(1, 8), device(5, 0), device(5, 1),
                    ]
                },
                "maskedPaths": [
                    "/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys",
                    "/proc/latency_stats", "/proc/sched_debug", "/proc/scsi", "/proc/timer_list",
                    "/proc/timer_stats", "/sys/devices/virtual/powercap", "/sys/firmware",
                ],
                "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
            }
        })
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.cgroup("").remove().unwrap();
        // Of a hierarchy without controllers, which only `runc` joins, and which may not be there.
        let named = format!("/sys/fs/cgroup/systemd{}", self.cgroups_path(""));
        let _missing = fs::remove_dir(named);
    }
}

/// The default profile in the specification's form, as dockerd hands it to `runc`.
fn runc_profile() -> Value {
    let mut profile: Value =
        serde_json::from_str(include_str!("../../src/seccomp/default.json")).unwrap();
    let (number, name) = if cfg!(target_arch = "aarch64") {
        (1, "arm64")
    } else {
        (0, "amd64")
    };
    let of_this_host = &profile["archMap"][number];
    let mut architectures = vec![of_this_host["architecture"].clone()];
    architectures.extend_from_slice(of_this_host["subArchitectures"].as_array().unwrap());
    let has = |rule: &Value, key: &str, kind: &str| -> Option<bool> {
        let wanted = rule[key][kind].as_array()?;
        let has = |value: &Value| {
            let value = value.as_str().unwrap();
            value == name || CAPABILITIES.contains(&value)
        };
        Some(wanted.iter().any(has))
    };
    let mut rules = profile["syscalls"].take();
    let rules = rules.as_array_mut().unwrap();
    rules.retain(|rule| {
        ["caps", "arches"].into_iter().all(|kind| {
            has(rule, "includes", kind).unwrap_or(true)
                && !has(rule, "excludes", kind).unwrap_or(false)
        })
    });
    for rule in rules.iter_mut() {
        let rule = rule.as_object_mut().unwrap();
        rule.remove("includes");
        rule.remove("excludes");
    }
    json!({
        "defaultAction": profile["defaultAction"],
        "defaultErrnoRet": profile["defaultErrnoRet"],
        "architectures": architectures,
        "syscalls": rules,
    })
}
