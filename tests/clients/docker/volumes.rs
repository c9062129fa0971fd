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

#[test]
fn a_part_of_a_volume_is_filled_and_no_link_leads_out_of_it() {
    let daemon = daemon();
    let docker = daemon.docker();
    let make = "mkdir /v/part /v/deep; ln -s /etc /v/deep/out; ln -s ../part /v/deep/in";
    docker
        .run(&["run", "--rm", "-v", "parts:/v", "busybox", "sh", "-c", make])
        .ok();
    let of = |part: &str, target: &str, command: &str| {
        let mount = format!("type=volume,source=parts,target={target},volume-subpath={part}");
        let command = command.split(' ');
        let run = ["run", "--rm", "--mount", &mount, "busybox"];
        docker.run(&run.into_iter().chain(command).collect::<Vec<_>>())
    };
    of("part", "/etc", "true").ok();
    let through_a_link = of("deep/in", "/v", "cat /v/passwd").ok();
    assert!(through_a_link.contains("app:x:1000"), "{through_a_link}");
    let refused = of("deep/out", "/v", "true");
    assert!(
        refused
            .fails(125)
            .contains("path concatenation escapes the base directory")
    );
    // By these words the command line takes it for a missing program.
    let refused = of("nothing", "/v", "true");
    assert!(refused.fails(127).contains("cannot access path"));
    docker.run(&["volume", "rm", "parts"]).ok();
}

#[test]
fn an_image_is_mounted_read_only_and_stays_while_it_is_used() {
    let daemon = daemon();
    let docker = daemon.docker();
    docker
        .run(&[
            "run",
            "--name",
            "filled",
            "busybox",
            "sh",
            "-c",
            "mkdir /d; echo x > /d/f; ln -s /d /out",
        ])
        .ok();
    docker.run(&["commit", "filled", "mounted-image"]).ok();
    docker.run(&["rm", "filled"]).ok();
    let of = |part: &str| format!("type=image,source=mounted-image,target=/image{part}");
    let run = |part: &str, command: &str| {
        docker.run(&[
            "run",
            "--rm",
            "--mount",
            &of(part),
            "busybox",
            "sh",
            "-c",
            command,
        ])
    };
    assert_eq!(
        run("", "cat /image/d/f; echo y > /image/d/f || id -u").ok(),
        "x\n0"
    );
    assert_eq!(run(",image-subpath=d/f", "cat /image").ok(), "x");
    let refused = run(",image-subpath=out", "true");
    assert!(
        refused
            .fails(125)
            .contains("path concatenation escapes the base directory")
    );
    let refused = run(",image-subpath=nothing", "true");
    assert!(refused.fails(127).contains("cannot access path"));

    docker
        .run(&[
            "create",
            "--name",
            "mounting",
            "--mount",
            &of(""),
            "busybox",
            "cat",
            "/image/d/f",
        ])
        .ok();
    assert_eq!(
        docker.inspect(
            "mounting",
            "{{range .Mounts}}{{.Type}} {{.Name}} {{.RW}}{{end}}"
        ),
        "image mounted-image false"
    );
    let copied = docker.run(&["cp", "mounting:/image/d/f", "-"]);
    assert!(copied.ok().contains("x\n"));
    let refused = docker.run(&["rmi", "mounted-image"]);
    assert!(refused.fails(1).contains("is using its referenced image"));
    docker.run(&["rmi", "--force", "mounted-image"]).ok();
    assert_eq!(docker.run(&["start", "-a", "mounting"]).ok(), "x");
    docker.run(&["rm", "mounting"]).ok();
}
