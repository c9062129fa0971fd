//! `docker commit`: an image of what a container changed.

use crate::daemon;

#[test]
fn what_a_container_changed_is_in_its_image() {
    let daemon = daemon();
    let docker = daemon.docker();
    let script = "echo new > /new; rm /etc/group; rm -rf /var/opt; mkdir /var/opt; touch /var/opt/a; \
                  ln /new /also-new; ln -s new /link";
    docker
        .run(&["run", "--name", "changed", "busybox", "sh", "-c", script])
        .ok();
    let id = docker
        .run(&[
            "commit", "-a", "me", "-m", "a remark", "-c", "ENV FOO=bar", "-c", "EXPOSE 8000",
            "-c", "CMD [\"sh\",\"-c\",\"cat /link; ls -A /var/opt; echo $FOO; test -e /etc/group || echo gone\"]",
            "changed", "committed:1",
        ])
        .ok();
    assert_eq!(docker.inspect("committed:1", "{{.Id}}"), id);
    assert_eq!(
        docker.inspect(
            "committed:1",
            "{{.Author}}|{{.Comment}}|{{.Config.ExposedPorts}}|{{len .RootFS.Layers}}"
        ),
        "me|a remark|map[8000/tcp:{}]|2"
    );
    assert_eq!(
        docker.inspect("committed:1", "{{.Parent}}"),
        docker.inspect("busybox", "{{.Id}}")
    );
    let history = docker
        .run(&[
            "history",
            "--no-trunc",
            "--format",
            "{{.Comment}} {{.CreatedBy}}",
            "committed:1",
        ])
        .ok();
    assert!(history.starts_with("a remark sh -c echo new"), "{history}");
    assert_eq!(
        docker.run(&["run", "--rm", "committed:1"]).ok(),
        "new\na\nbar\ngone"
    );
    // It has what it needs of its own: the container may go.
    docker.run(&["rm", "changed"]).ok();
    let saved = daemon.scratch().join("committed.tar");
    docker
        .run(&["save", "-o", saved.to_str().unwrap(), "committed:1"])
        .ok();
    docker.run(&["rmi", "committed:1"]).ok();
    docker.run(&["load", "-i", saved.to_str().unwrap()]).ok();
    assert_eq!(
        docker.run(&["run", "--rm", "committed:1"]).ok(),
        "new\na\nbar\ngone"
    );
    docker.run(&["rmi", "committed:1"]).ok();
}

#[test]
fn a_running_container_is_committed_and_goes_on() {
    let daemon = daemon();
    let docker = daemon.docker();
    docker
        .run(&[
            "run",
            "-d",
            "--name",
            "busy",
            "busybox",
            "sh",
            "-c",
            "echo 1 > /at; sleep 1000",
        ])
        .ok();
    docker.wait_until("the file", |docker| {
        docker.run(&["exec", "busy", "test", "-e", "/at"]).code == 0
    });
    let id = docker.run(&["commit", "busy"]).ok();
    assert_eq!(docker.inspect("busy", "{{.State.Status}}"), "running");
    assert_eq!(docker.run(&["exec", "busy", "cat", "/at"]).ok(), "1");
    assert_eq!(docker.run(&["run", "--rm", &id, "cat", "/at"]).ok(), "1");
    docker.run(&["rm", "-f", "busy"]).ok();
    docker.run(&["rmi", &id]).ok();
}

#[test]
fn what_cannot_be_committed_is_named() {
    let daemon = daemon();
    let docker = daemon.docker();
    let missing = docker.run(&["commit", "nosuch", "x"]);
    assert!(missing.fails(1).contains("No such container: nosuch"));
    docker.run(&["create", "--name", "plain", "busybox"]).ok();
    let wrong = docker.run(&["commit", "-c", "FROM other", "plain"]);
    assert!(wrong.fails(1).to_lowercase().contains("from"), "{wrong:?}");
    docker.run(&["rm", "plain"]).ok();
}

#[test]
fn a_change_knows_the_variables_of_the_container() {
    let daemon = daemon();
    let docker = daemon.docker();
    docker
        .run(&[
            "create",
            "--name",
            "with-path",
            "-e",
            "WAY=/one",
            "busybox",
            "true",
        ])
        .ok();
    docker
        .run(&[
            "commit",
            "-c",
            "ENV WAY=/two:$WAY",
            "with-path",
            "longer-way",
        ])
        .ok();
    let environment = docker.run(&["run", "--rm", "longer-way", "env"]).ok();
    assert!(
        environment.lines().any(|line| line == "WAY=/two:/one"),
        "{environment}"
    );
}
