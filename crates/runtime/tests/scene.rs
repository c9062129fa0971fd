//! What a test needs: a directory, a root file system, a keeper.

use std::path::{Path, PathBuf};
use std::process::Command;

use oci_spec::runtime::{
    Capabilities, LinuxBuilder, LinuxCapabilities, LinuxCapabilitiesBuilder, LinuxNamespaceBuilder,
    LinuxNamespaceType, MountBuilder, Process, ProcessBuilder, RootBuilder, Spec, SpecBuilder,
    UserBuilder,
};
use runtime::cgroup::Cgroup;
use runtime::keeper::{Client, ProcessKey, SOCKET, ensure};
use runtime::launch::{Exec, Launch, LogFile, LogTarget, Rootfs, Stdio};

/// A keeper of its own, and all it needs. Everything goes when it is dropped.
pub(crate) struct Scene {
    pub(crate) client: Client,
    directory: tempfile::TempDir,
}

impl Scene {
    pub(crate) async fn new() -> Self {
        Self::make(|_| program()).await
    }

    /// Its keeper is a copy of the program, `longshore`, that nobody else executes.
    pub(crate) async fn with_program_of_its_own() -> Self {
        Self::make(|directory| {
            let copy = directory.join("longshore");
            install(&program(), &copy);
            copy
        })
        .await
    }

    /// With a keeper that sees version 2 of cgroups only, as on a host that has nothing else.
    pub(crate) async fn unified() -> Self {
        Self::make(|directory| {
            let keeper = directory.join("keeper.sh");
            let script = format!(
                "#!/bin/sh\nexec unshare --mount --propagation private sh -c \
                 'umount -R /sys/fs/cgroup && mount -t cgroup2 cgroup2 /sys/fs/cgroup && exec \"$0\" \"$@\"' {} \"$@\"\n",
                program().display()
            );
            install_script(&keeper, &script);
            keeper
        })
        .await
    }

    async fn make(program: impl FnOnce(&Path) -> PathBuf) -> Self {
        let directory = tempfile::tempdir().unwrap();
        make_rootfs(&directory.path().join("rootfs"));
        let program = program(directory.path());
        let client = ensure(&program, &directory.path().join("keeper"))
            .await
            .unwrap();
        Self { client, directory }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.path("keeper").join(SOCKET)
    }

    pub(crate) async fn connect(&self) -> Client {
        Client::connect(&self.socket()).await.unwrap()
    }

    /// A container that runs a shell script, and keeps its log in `ID.log`.
    pub(crate) fn launch(&self, id: &str, script: &str) -> Launch {
        Launch {
            id: id.to_owned(),
            spec: self.spec(id, script),
            rootfs: Rootfs::Directory(self.path("rootfs")),
            seccomp: Vec::new(),
            groups: Vec::new(),
            init: false,
            clamp_capabilities: true,
            stdio: Stdio::default(),
            log: LogTarget::JsonFile(LogFile {
                path: self.path(&format!("{id}.log")),
                max_size_bytes: None,
                max_files: 1,
                ..LogFile::default()
            }),
            note: serde_json::json!({ "of": id }),
        }
    }

    pub(crate) fn exec(&self, container: &str, id: &str, script: &str) -> Exec {
        Exec {
            id: id.to_owned(),
            container: container.to_owned(),
            process: process(script),
            seccomp: Vec::new(),
            groups: Vec::new(),
            clamp_capabilities: true,
            stdio: Stdio::default(),
            note: serde_json::Value::Null,
        }
    }

    /// What a container has written, without what the log adds.
    pub(crate) fn log_text(&self, id: &str) -> String {
        let log = std::fs::read_to_string(self.path(&format!("{id}.log"))).unwrap();
        let texts = log.lines().map(|line| {
            let record: serde_json::Value = serde_json::from_str(line).unwrap();
            record["log"].as_str().unwrap_or_default().to_owned()
        });
        texts.collect()
    }

    /// Above those of all its containers; unique, because tests run side by side.
    fn cgroup(&self) -> PathBuf {
        let unique = self.directory.path().file_name().unwrap().to_string_lossy();
        PathBuf::from(format!("longshore-test-{}", unique.trim_start_matches('.')))
    }

    /// That of a container.
    pub(crate) fn cgroup_of(&self, id: &str) -> PathBuf {
        self.cgroup().join(id)
    }

    fn spec(&self, id: &str, script: &str) -> Spec {
        let kinds = [
            LinuxNamespaceType::Pid,
            LinuxNamespaceType::Mount,
            LinuxNamespaceType::Ipc,
            LinuxNamespaceType::Uts,
            LinuxNamespaceType::Network,
        ];
        let namespaces: Vec<_> = kinds
            .into_iter()
            .map(|kind| LinuxNamespaceBuilder::default().typ(kind).build().unwrap())
            .collect();
        let linux = LinuxBuilder::default()
            .namespaces(namespaces)
            .cgroups_path(self.cgroup_of(id))
            .build()
            .unwrap();
        let mount = |to: &str, kind: &str, options: &[&str]| {
            let options = options
                .iter()
                .map(|&option| option.to_owned())
                .collect::<Vec<_>>();
            MountBuilder::default()
                .destination(to)
                .typ(kind)
                .source(kind)
                .options(options)
                .build()
                .unwrap()
        };
        SpecBuilder::default()
            .hostname(id)
            .root(RootBuilder::default().readonly(false).build().unwrap())
            .process(process(script))
            .mounts(vec![
                mount("/proc", "proc", &["nosuid", "noexec", "nodev"]),
                mount(
                    "/dev",
                    "tmpfs",
                    &["nosuid", "strictatime", "mode=755", "size=65536k"],
                ),
                mount(
                    "/dev/pts",
                    "devpts",
                    &[
                        "nosuid",
                        "noexec",
                        "newinstance",
                        "ptmxmode=0666",
                        "mode=0620",
                    ],
                ),
            ])
            .linux(linux)
            .build()
            .unwrap()
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let socket = self.socket();
        // A runtime of its own, because the test's may be unwinding.
        let ended = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                if let Ok(client) = Client::connect(&socket).await {
                    client.shutdown().await.unwrap();
                }
            });
        });
        let ended = ended.join();
        let cgroup = Cgroup::at(self.cgroup().to_str().unwrap()).unwrap();
        cgroup.remove().unwrap();
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.path("keeper").join("keeper.log"));
            eprintln!("keeper.log: {}", log.unwrap_or_default());
        } else {
            ended.unwrap();
        }
    }
}

pub(crate) fn key(id: &str) -> ProcessKey {
    ProcessKey::container(id)
}

/// The program that can be a keeper.
pub(crate) fn program() -> PathBuf {
    env!("CARGO_BIN_EXE_runtime").into()
}

fn process(script: &str) -> Process {
    ProcessBuilder::default()
        .args(vec![
            "/bin/sh".to_owned(),
            "-c".to_owned(),
            script.to_owned(),
        ])
        .env(vec!["PATH=/bin:/usr/bin".to_owned()])
        .cwd("/")
        .terminal(false)
        .no_new_privileges(false)
        .capabilities(no_capabilities())
        .user(UserBuilder::default().uid(0u32).gid(0u32).build().unwrap())
        .build()
        .unwrap()
}

fn no_capabilities() -> LinuxCapabilities {
    LinuxCapabilitiesBuilder::default()
        .bounding(Capabilities::new())
        .effective(Capabilities::new())
        .permitted(Capabilities::new())
        .inheritable(Capabilities::new())
        .ambient(Capabilities::new())
        .build()
        .unwrap()
}

/// Copies a program. Another process writes it: were it this one, a process that another test forks
/// meanwhile would have it open for writing, and the kernel would not execute it.
pub(crate) fn install(source: &Path, target: &Path) {
    let mut command = Command::new("install");
    let status = command.arg("--mode=755").args([source, target]).status();
    assert!(status.unwrap().success(), "install {}", source.display());
}

/// As [`install`], of a script with this text.
pub(crate) fn install_script(target: &Path, text: &str) {
    let source = target.with_extension("text");
    std::fs::write(&source, text).unwrap();
    install(&source, target);
}

/// Debian's static busybox, and what a container expects to find.
fn make_rootfs(rootfs: &Path) {
    for directory in ["bin", "dev", "proc", "sys", "tmp", "etc"] {
        std::fs::create_dir_all(rootfs.join(directory)).unwrap();
    }
    install(Path::new("/bin/busybox"), &rootfs.join("bin/busybox"));
    let applets = Command::new("/bin/busybox")
        .arg("--list")
        .output()
        .unwrap()
        .stdout;
    for applet in String::from_utf8(applets)
        .unwrap()
        .lines()
        .filter(|&applet| applet != "busybox")
    {
        std::os::unix::fs::symlink("busybox", rootfs.join("bin").join(applet)).unwrap();
    }
}
