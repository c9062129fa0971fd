//! `docker ps`, `inspect`, `port`, `version`, `info`.

use crate::daemon;

#[test]
fn containers_are_listed_by_filter() {
    let daemon = daemon();
    let docker = daemon.docker();
    docker
        .run(&[
            "run",
            "-d",
            "--name",
            "listed-up",
            "-l",
            "tier=web",
            "busybox",
            "sleep",
            "1000",
        ])
        .ok();
    docker
        .run(&[
            "run",
            "--name",
            "listed-down",
            "-l",
            "tier=db",
            "busybox",
            "sh",
            "-c",
            "exit 3",
        ])
        .fails(3);
    let names = |filters: &[&str]| {
        let mut args = vec![
            "ps",
            "-a",
            "--format",
            "{{.Names}}",
            "--filter",
            "name=listed-",
        ];
        for filter in filters {
            args.extend(["--filter", filter]);
        }
        let mut names: Vec<String> = docker.run(&args).ok().lines().map(str::to_owned).collect();
        names.sort();
        names
    };
    assert_eq!(names(&[]), ["listed-down", "listed-up"]);
    assert_eq!(names(&["status=running"]), ["listed-up"]);
    assert_eq!(names(&["exited=3"]), ["listed-down"]);
    assert_eq!(names(&["label=tier=db"]), ["listed-down"]);
    assert_eq!(names(&["label=tier"]), ["listed-down", "listed-up"]);
    assert_eq!(names(&["ancestor=busybox"]), ["listed-down", "listed-up"]);
    assert_eq!(names(&["since=listed-up"]), ["listed-down"]);
    assert_eq!(names(&["before=listed-down"]), ["listed-up"]);
    let id = docker.inspect("listed-up", "{{.Id}}");
    assert_eq!(names(&[&format!("id={}", &id[..12])]), ["listed-up"]);
    let refused = docker.run(&["ps", "--filter", "nosuch=1"]);
    assert!(
        refused.fails(1).to_lowercase().contains("invalid filter"),
        "{refused:?}"
    );
    assert_eq!(
        docker
            .run(&["ps", "-q", "--filter", "name=listed-down"])
            .ok(),
        ""
    );
    let status = docker
        .run(&[
            "ps",
            "-a",
            "--filter",
            "name=listed-down",
            "--format",
            "{{.Status}}",
        ])
        .ok();
    assert!(status.starts_with("Exited (3)"), "{status}");
    docker.run(&["rm", "-f", "listed-up", "listed-down"]).ok();
}

#[test]
fn what_was_asked_for_is_shown() {
    let daemon = daemon();
    let docker = daemon.docker();
    docker
        .run(&[
            "create",
            "--name",
            "asked",
            "-e",
            "A=1",
            "-l",
            "b=2",
            "-p",
            "127.0.0.1:18080:80",
            "-v",
            "/data",
            "-m",
            "32m",
            "--cap-add",
            "NET_ADMIN",
            "-w",
            "/tmp",
            "--entrypoint",
            "/bin/sh",
            "busybox",
            "-c",
            "true",
        ])
        .ok();
    assert_eq!(
        docker.inspect(
            "asked",
            "{{.Config.WorkingDir}} {{json .Config.Entrypoint}} {{json .Config.Cmd}}"
        ),
        "/tmp [\"/bin/sh\"] [\"-c\",\"true\"]"
    );
    assert_eq!(
        docker.inspect("asked", "{{.Path}} {{json .Args}}"),
        "/bin/sh [\"-c\",\"true\"]"
    );
    assert_eq!(
        docker.inspect(
            "asked",
            "{{.HostConfig.Memory}} {{json .HostConfig.CapAdd}}"
        ),
        "33554432 [\"CAP_NET_ADMIN\"]"
    );
    assert_eq!(
        docker.inspect("asked", "{{json .HostConfig.PortBindings}}"),
        "{\"80/tcp\":[{\"HostIp\":\"127.0.0.1\",\"HostPort\":\"18080\"}]}"
    );
    assert_eq!(
        docker.inspect(
            "asked",
            "{{(index .Mounts 0).Destination}} {{(index .Mounts 0).Type}}"
        ),
        "/data volume"
    );
    assert_eq!(
        docker.inspect("asked", "{{index .Config.Labels \"b\"}}"),
        "2"
    );
    assert!(
        docker
            .inspect("asked", "{{json .Config.Env}}")
            .contains("\"A=1\"")
    );
    docker.run(&["rm", "-v", "asked"]).ok();
}

#[test]
fn the_daemon_says_what_it_is() {
    let daemon = daemon();
    let docker = daemon.docker();
    let version = docker
        .run(&[
            "version",
            "--format",
            "{{.Server.Os}} {{.Server.Arch}} {{.Server.APIVersion}}",
        ])
        .ok();
    assert!(version.starts_with("linux amd64 1."), "{version}");
    let info = docker
        .run(&[
            "info",
            "--format",
            "{{.Driver}} {{.NCPU}} {{.OSType}} {{.CgroupVersion}}",
        ])
        .ok();
    assert!(info.starts_with("overlay2 "), "{info}");
}
