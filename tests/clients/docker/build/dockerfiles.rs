//! Dockerfiles as they are found in the world, in many styles: each is built on a Debian made by
//! `debootstrap`, runs, and answers.
//!
//! They fetch packages of Debian, PyPI and npm, so they take minutes: they run where
//! `LONGSHORE_DOCKERFILES` is set (`cargo xtask test --dockerfiles`). Of this machine's environment
//! the proxies and what is said there to pip and npm become build arguments, and the authorities
//! that it trusts beside Debian's are trusted by the Debian that images are built on.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};

use tests::daemon::Daemon;
use tests::docker::Docker;
use tests::image::import_busybox;
use tests::setting;

/// The directory of each, what it is sent, and what it answers.
const ASKED: [(&str, &str, &str); 11] = [
    ("c", HTTP, "served by c"),
    ("go", HTTP, "served by go 1.2.3"),
    ("lighttpd", HTTP, "served by lighttpd"),
    ("lua", HTTP, "served by lua"),
    ("nginx", HTTP, "served by nginx"),
    ("node", HTTP, "served by node, two days are 172800000"),
    ("perl", HTTP, "served by perl"),
    ("python", HTTP, "served by flask"),
    ("redis", "PING\r\nQUIT\r\n", "+PONG"),
    ("rust", HTTP, "served by rust"),
    ("triggers", HTTP, "served by lua, of another image"),
];

const HTTP: &str = "GET / HTTP/1.0\r\n\r\n";

/// Settings of this machine that the packages' programs need.
const HANDED_ON: [&str; 7] = [
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "PIP_INDEX_URL",
    "PIP_CERT",
    "NPM_CONFIG_REGISTRY",
    "NPM_CONFIG_CAFILE",
];

#[test]
fn each_builds_runs_and_answers() {
    if setting("LONGSHORE_DOCKERFILES").is_none() {
        return;
    }
    let daemon = Daemon::start().unwrap();
    let docker = daemon.docker();
    import_busybox(&docker).unwrap();
    import_debian(&daemon);
    let all = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/docker/dockerfiles");
    for (name, sent, wanted) in ASKED {
        let started = std::time::Instant::now();
        build(&docker, name, &all.join(name));
        let container = docker.run(&["run", "-d", name]).ok();
        let template = "{{.NetworkSettings.IPAddress}}";
        let address = format!("{}:8000", docker.inspect(&container, template));
        let mut answer = String::new();
        docker.wait_until(name, |_| {
            answer = ask(&address, sent).unwrap_or_default();
            answer.contains(wanted)
        });
        docker.run(&["rm", "-f", &container]).ok();
        println!("{name}: {:.1} s", started.elapsed().as_secs_f32());
    }
}

/// Builds without a limit on time: packages come from far away.
fn build(docker: &Docker, name: &str, directory: &Path) {
    let like = docker.command(&[]);
    let mut command = Command::new("docker");
    for (key, value) in like.get_envs() {
        match value {
            Some(value) => command.env(key, value),
            None => command.env_remove(key),
        };
    }
    command.args(["build", "-t", name, "--build-arg", "VERSION=1.2.3"]);
    for key in HANDED_ON {
        if let Some(value) = setting(key) {
            command.args(["--build-arg", &format!("{key}={value}")]);
        }
    }
    let output = command
        .env("DOCKER_BUILDKIT", "0")
        .arg(directory)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{name}: {}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

fn ask(address: &str, sent: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(std::time::Duration::from_secs(5)))?;
    stream.write_all(sent.as_bytes())?;
    let mut answer = Vec::new();
    // A server that keeps the connection has said enough all the same.
    let _ended = stream.read_to_end(&mut answer);
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// The smallest Debian that can install packages, as `debian:bookworm`.
fn import_debian(daemon: &Daemon) {
    let root = daemon.scratch().join("debian");
    let made = Command::new("debootstrap")
        .args(["--variant=minbase", "bookworm"])
        .arg(&root)
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(made.success(), "debootstrap failed");
    let own = Path::new("/usr/local/share/ca-certificates");
    if own.exists() {
        let copied = Command::new("cp")
            .args(["-r", "/usr/local/share/ca-certificates"])
            .arg(root.join("usr/local/share"))
            .status()
            .unwrap();
        assert!(copied.success(), "cp failed");
    }
    let archive = daemon.scratch().join("debian.tar");
    let packed = Command::new("tar")
        .arg("-C")
        .arg(&root)
        .arg("--exclude=./var/cache/apt/archives/*.deb")
        .arg("-cf")
        .arg(&archive)
        .arg(".")
        .status()
        .unwrap();
    assert!(packed.success(), "tar failed");
    let docker = daemon.docker();
    docker
        .run(&["import", archive.to_str().unwrap(), "debian:bookworm"])
        .ok();
    std::fs::remove_dir_all(root).unwrap();
    std::fs::remove_file(archive).unwrap();
}
