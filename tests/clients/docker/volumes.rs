//! Volumes: named, anonymous, copied up.

use crate::daemon;
use tests::image::busybox_rootfs;

#[test]
fn a_named_volume_outlives_its_containers() {
    let daemon = daemon();
    let docker = daemon.docker();
    docker
        .run(&["volume", "create", "--label", "a=b", "kept-data"])
        .ok();
    docker
        .run(&[
            "run",
            "--rm",
            "-v",
            "kept-data:/data",
            "busybox",
            "sh",
            "-c",
            "echo kept > /data/file",
        ])
        .ok();
    assert_eq!(
        docker
            .run(&[
                "run",
                "--rm",
                "-v",
                "kept-data:/data:ro",
                "busybox",
                "cat",
                "/data/file"
            ])
            .ok(),
        "kept"
    );
    assert_eq!(
        docker
            .run(&["volume", "ls", "-q", "--filter", "label=a=b"])
            .ok(),
        "kept-data"
    );
    let path = docker
        .run(&[
            "volume",
            "inspect",
            "--format",
            "{{.Mountpoint}}",
            "kept-data",
        ])
        .ok();
    assert_eq!(
        std::fs::read_to_string(format!("{path}/file")).unwrap(),
        "kept\n"
    );
    docker
        .run(&[
            "create",
            "--name",
            "volume-user",
            "-v",
            "kept-data:/data",
            "busybox",
        ])
        .ok();
    assert!(
        docker
            .run(&["volume", "rm", "kept-data"])
            .fails(1)
            .contains("volume is in use")
    );
    docker.run(&["rm", "volume-user"]).ok();
    docker.run(&["volume", "rm", "kept-data"]).ok();
    assert!(!std::path::Path::new(&path).exists());
    assert!(
        docker
            .run(&["volume", "inspect", "kept-data"])
            .fails(1)
            .contains("no such volume")
    );
}

#[test]
fn an_empty_volume_takes_what_the_image_has() {
    let daemon = daemon();
    let docker = daemon.docker();
    docker
        .run(&["run", "--rm", "-v", "copied-up:/etc", "busybox", "true"])
        .ok();
    let inside = docker
        .run(&[
            "run",
            "--rm",
            "-v",
            "copied-up:/other",
            "busybox",
            "cat",
            "/other/passwd",
        ])
        .ok();
    assert!(inside.contains("app:x:1000"), "{inside}");
    let bare = docker
        .run(&[
            "run",
            "--rm",
            "--mount",
            "type=volume,source=not-copied,target=/etc,volume-nocopy",
            "busybox",
            "ls",
            "/etc",
        ])
        .ok();
    assert!(!bare.contains("passwd"), "{bare}");
    docker
        .run(&["volume", "rm", "copied-up", "not-copied"])
        .ok();
}

#[test]
fn anonymous_volumes_go_with_their_container_when_asked() {
    let daemon = daemon();
    let docker = daemon.docker();
    let tar = busybox_rootfs().unwrap();
    docker
        .run_with_input(
            &[
                "import",
                "--change",
                "VOLUME /declared",
                "--change",
                "CMD [\"true\"]",
                "-",
                "with-volume",
            ],
            &tar,
        )
        .ok();
    docker
        .run(&[
            "create",
            "--name",
            "anonymous",
            "-v",
            "/asked",
            "with-volume",
        ])
        .ok();
    let names = docker.inspect("anonymous", "{{range .Mounts}}{{.Name}} {{end}}");
    assert_eq!(names.split_whitespace().count(), 2, "{names}");
    docker.run(&["rm", "-v", "anonymous"]).ok();
    let left = docker.run(&["volume", "ls", "-q"]).ok();
    assert!(
        names.split_whitespace().all(|name| !left.contains(name)),
        "{left}"
    );
    docker.run(&["rmi", "with-volume"]).ok();
}
