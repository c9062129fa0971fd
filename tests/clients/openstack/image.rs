//! Images: in, shared, out again byte for byte, and run.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};
use tests::daemon::Daemon;
use tests::openstack::OpenStack;

use super::is_ours;

/// A file with these bytes.
fn file(daemon: &Daemon, name: &str, bytes: &[u8]) -> PathBuf {
    let path = daemon.scratch().join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

/// Uploads a file as an image of this name.
fn upload(openstack: &OpenStack, name: &str, wrapping: &str, path: &str) -> Value {
    openstack.json(&[
        "image",
        "create",
        "--disk-format",
        "raw",
        "--container-format",
        wrapping,
        "--file",
        path,
        name,
    ])
}

#[test]
fn an_uploaded_root_file_system_runs_and_comes_back_as_it_was() {
    if !is_ours() {
        return;
    }
    let daemon = crate::own_daemon();
    let admin = daemon.openstack();
    let docker = daemon.docker();
    let root = tests::image::busybox_rootfs().unwrap();
    let path = file(&daemon, "root.tar", &root);
    let made = upload(&admin, "harbour/tools:1", "bare", path.to_str().unwrap());
    assert_eq!(made["status"], "active", "{made}");
    assert_eq!(made["size"], json!(root.len()));
    let ran = docker.run(&["run", "--rm", "harbour/tools:1", "echo", "hoist"]);
    assert_eq!(ran.ok(), "hoist");

    let id = made["id"].as_str().unwrap();
    admin
        .run(&[
            "image",
            "set",
            "--property",
            "os_distro=busybox",
            "--tag",
            "rigging",
            id,
        ])
        .ok();
    let found = admin.json(&[
        "image",
        "list",
        "--property",
        "os_distro=busybox",
        "--tag",
        "rigging",
    ]);
    assert_eq!(found.as_array().unwrap().len(), 1, "{found}");
    assert_eq!(found[0]["ID"], made["id"]);
    admin
        .run(&[
            "image",
            "unset",
            "--property",
            "os_distro",
            "--tag",
            "rigging",
            id,
        ])
        .ok();
    let shown = admin.json(&["image", "show", "harbour/tools:1"]);
    assert!(shown["properties"]["os_distro"].is_null(), "{shown}");

    let saved = daemon.scratch().join("saved.tar");
    // The client compares the digest, too.
    admin
        .run(&["image", "save", "--file", saved.to_str().unwrap(), id])
        .ok();
    assert!(std::fs::read(saved).unwrap() == root);

    admin.run(&["image", "delete", id]).ok();
    let gone = docker.run(&["run", "--rm", "harbour/tools:1", "true"]);
    assert!(gone.stderr.contains("harbour/tools:1"), "{}", gone.stderr);
    assert_ne!(gone.code, 0);
}

#[test]
fn what_docker_saved_is_an_image_and_what_docker_has_is_listed() {
    if !is_ours() {
        return;
    }
    let daemon = crate::own_daemon();
    let admin = daemon.openstack();
    let docker = daemon.docker();
    tests::image::import(&docker, "pier:1", r#"["/bin/echo","moored"]"#).unwrap();
    let listed = admin.json(&["image", "show", "pier:1"]);
    assert_eq!(
        (&listed["status"], &listed["container_format"]),
        (&json!("active"), &json!("docker"))
    );
    let archive = daemon.scratch().join("pier.tar");
    let archive = archive.to_str().unwrap();
    docker.run(&["save", "--output", archive, "pier:1"]).ok();
    docker.run(&["image", "rm", "pier:1"]).ok();
    admin.run(&["image", "show", "pier:1"]).fails(1);

    let made = upload(&admin, "pier:2", "docker", archive);
    assert_eq!(made["status"], "active", "{made}");
    assert_eq!(docker.run(&["run", "--rm", "pier:2"]).ok(), "moored");
    admin.run(&["image", "delete", "pier:2"]).ok();
}

#[test]
fn what_is_no_archive_is_refused_and_shared_images_are_accepted() {
    if !is_ours() {
        return;
    }
    let daemon = crate::own_daemon();
    let admin = daemon.openstack();
    let path = file(&daemon, "flotsam", b"neither a tar nor anything else");
    let path = path.to_str().unwrap();
    let wrong = admin.run(&[
        "image",
        "create",
        "--disk-format",
        "raw",
        "--container-format",
        "docker",
        "--file",
        path,
        "wreck",
    ]);
    assert!(wrong.fails(1).contains("400"), "{}", wrong.stderr);

    let made = upload(&admin, "Flotsam and jetsam", "bare", path);
    let id = made["id"].as_str().unwrap();
    let project = admin.json(&["project", "create", "beach"]);
    let project = project["id"].as_str().unwrap();
    admin
        .run(&["user", "create", "--password", "sand", "comber"])
        .ok();
    admin
        .run(&[
            "role",
            "add",
            "--user",
            "comber",
            "--project",
            "beach",
            "member",
        ])
        .ok();
    let comber = admin.user("comber", "sand", "beach");
    comber.run(&["image", "show", id]).fails(1);
    admin.run(&["image", "add", "project", id, project]).ok();
    comber.run(&["image", "set", "--accept", id]).ok();
    let listed = comber.json(&["image", "list"]);
    assert_eq!(listed[0]["ID"], made["id"], "{listed}");
    let refused = comber.run(&["image", "delete", id]);
    assert!(refused.fails(1).contains("403"), "{}", refused.stderr);
    admin.run(&["image", "delete", id]).ok();
    admin.run(&["user", "delete", "comber"]).ok();
    admin.run(&["project", "delete", "beach"]).ok();
}

#[test]
fn what_words_about_images_mean_is_defined_and_looked_up() {
    if !is_ours() {
        return;
    }
    let daemon = crate::own_daemon();
    let openstack = daemon.openstack();
    let metadef = |args: &[&str]| openstack.run(&[&["image", "metadef"], args].concat());
    metadef(&["namespace", "create", "--public", "Harbour::Crane"]).ok();
    let again = metadef(&["namespace", "create", "Harbour::Crane"]);
    assert!(
        again.fails(1).contains("already exists"),
        "{}",
        again.stderr
    );
    let schema = r#"{"enum": ["light", "heavy"]}"#;
    let property = [
        "property",
        "create",
        "--name",
        "load",
        "--title",
        "Load",
        "--type",
        "string",
        "--schema",
        schema,
        "Harbour::Crane",
    ];
    metadef(&property).ok();
    metadef(&["object", "create", "--namespace", "Harbour::Crane", "hook"]).ok();
    let about = ["resource", "type", "association", "create"];
    metadef(&[&about[..], &["Harbour::Crane", "OS::Glance::Image"]].concat()).ok();
    let shown = openstack.json(&[
        "image",
        "metadef",
        "property",
        "show",
        "Harbour::Crane",
        "load",
    ]);
    assert_eq!(shown["enum"], json!(["light", "heavy"]), "{shown}");
    let types = openstack.json(&["image", "metadef", "resource", "type", "list"]);
    let types = types.as_array().unwrap();
    assert!(types.iter().any(|one| one["Name"] == "OS::Glance::Image"));
    metadef(&["property", "delete", "Harbour::Crane", "load"]).ok();
    metadef(&["namespace", "delete", "Harbour::Crane"]).ok();
    let gone = metadef(&["namespace", "show", "Harbour::Crane"]);
    assert!(gone.fails(1).contains("not found"), "{}", gone.stderr);
}

/// Makes an image that waits for its data, or answers what the client says. It takes its standard input
/// for data, unless that is a terminal.
fn queued(openstack: &OpenStack, name: &str) -> Result<(), String> {
    let formats = ["--disk-format", "raw", "--container-format", "bare"];
    let create = openstack.command(&[&["image", "create"], formats.as_slice(), &[name]].concat());
    let words = std::iter::once(create.get_program()).chain(create.get_args());
    let line: Vec<&str> = words.map(|word| word.to_str().unwrap()).collect();
    let output = Command::new("script")
        .args(["-qec", &line.join(" "), "/dev/null"])
        .env_clear()
        .envs(
            create
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        )
        .output()
        .unwrap();
    if output.status.success() {
        return Ok(());
    }
    Err(String::from_utf8(output.stdout).unwrap())
}

/// Serves one file over HTTP, for as long as the test runs; answers its address.
fn serve(bytes: Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 4096];
            // A request without a body comes at once.
            let _read = stream.read(&mut request).unwrap();
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                bytes.len()
            );
            stream.write_all(head.as_bytes()).unwrap();
            stream.write_all(&bytes).unwrap();
        }
    });
    format!("http://{address}/root.tar")
}

#[test]
fn an_image_is_fetched_from_elsewhere_and_counts_in_the_limits() {
    if !is_ours() {
        return;
    }
    let settings = "[images]\nimport-hosts = [\"127.0.0.1\"]\nimport-ports = []";
    let daemon = Daemon::start_configured(settings).unwrap();
    let admin = daemon.openstack();
    let root = tests::image::busybox_rootfs().unwrap();
    let address = serve(root.clone());
    queued(&admin, "fetched").unwrap();
    let import = ["image", "import", "--method", "web-download", "--wait"];
    admin
        .run(&[import.as_slice(), &["--uri", &address, "fetched"]].concat())
        .ok();
    let shown = admin.json(&["image", "show", "fetched"]);
    assert_eq!(shown["status"], "active", "{shown}");
    assert_eq!(shown["size"], json!(root.len()), "{shown}");
    let ran = daemon
        .docker()
        .run(&["run", "--rm", "fetched", "echo", "hoist"]);
    assert_eq!(ran.ok(), "hoist");

    // A second image is one too many.
    let limit = ["registered", "limit", "create", "--service", "glance"];
    let one = ["--default-limit", "1", "image_count_total"];
    admin.run(&[limit.as_slice(), &one].concat()).ok();
    let refused = queued(&admin, "surplus").unwrap_err();
    assert!(refused.contains("413"), "{refused}");
    admin.run(&["image", "delete", "fetched"]).ok();
    queued(&admin, "surplus").unwrap();
}
