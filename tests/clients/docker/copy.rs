//! `docker cp`, into and out of running and stopped containers.

use crate::daemon;

#[test]
fn files_and_directories_go_both_ways() {
    let daemon = daemon();
    let docker = daemon.docker();
    let scratch = daemon.scratch().join("copies");
    std::fs::create_dir_all(scratch.join("tree/inner")).unwrap();
    std::fs::write(scratch.join("tree/inner/file"), "contents").unwrap();
    let path = |name: &str| scratch.join(name).to_str().unwrap().to_owned();
    docker
        .run(&["run", "-d", "--name", "copied", "busybox", "sleep", "1000"])
        .ok();
    for state in ["running", "exited"] {
        docker
            .run(&["cp", &path("tree"), &format!("copied:/tmp/{state}")])
            .ok();
        docker
            .run(&["cp", &format!("copied:/tmp/{state}"), &path(state)])
            .ok();
        assert_eq!(
            std::fs::read_to_string(scratch.join(state).join("inner/file")).unwrap(),
            "contents"
        );
        docker
            .run(&[
                "cp",
                &path("tree/inner/file"),
                &format!("copied:/tmp/{state}.file"),
            ])
            .ok();
        docker
            .run(&[
                "cp",
                &format!("copied:/tmp/{state}.file"),
                &path(&format!("{state}.file")),
            ])
            .ok();
        assert_eq!(
            std::fs::read_to_string(scratch.join(format!("{state}.file"))).unwrap(),
            "contents"
        );
        if state == "running" {
            assert_eq!(
                docker
                    .run(&["exec", "copied", "cat", "/tmp/running/inner/file"])
                    .ok(),
                "contents"
            );
            docker.run(&["stop", "-t", "0", "copied"]).ok();
        }
    }
    assert!(
        docker
            .run(&["cp", "copied:/nosuch", &path("x")])
            .fails(1)
            .contains("Could not find the file /nosuch")
    );
    assert!(
        docker
            .run(&["cp", &path("tree"), "copied:/etc/passwd"])
            .code
            != 0
    );
    docker.run(&["rm", "copied"]).ok();
}

#[test]
fn links_do_not_lead_out_of_the_container() {
    let daemon = daemon();
    let docker = daemon.docker();
    let scratch = daemon.scratch().join("hostile");
    std::fs::create_dir_all(&scratch).unwrap();
    let outside = scratch.join("outside");
    std::fs::write(&outside, "untouched").unwrap();
    let inside = scratch.join("inside");
    std::fs::write(&inside, "from the client").unwrap();
    let script = format!(
        "ln -s {} /tmp/link; ln -s / /tmp/root; sleep 1000",
        scratch.display()
    );
    docker
        .run(&[
            "run", "-d", "--name", "hostile", "busybox", "sh", "-c", &script,
        ])
        .ok();
    docker.wait_until("the links are there", |docker| {
        docker
            .run(&["exec", "hostile", "test", "-L", "/tmp/root"])
            .code
            == 0
    });
    let _refused = docker.run(&["cp", inside.to_str().unwrap(), "hostile:/tmp/link/outside"]);
    assert_eq!(std::fs::read_to_string(&outside).unwrap(), "untouched");
    let passwd = docker
        .run(&["cp", "hostile:/tmp/root/etc/passwd", "-"])
        .ok();
    assert!(
        passwd.contains("app:x:1000"),
        "it is the container's own file"
    );
    docker.run(&["rm", "-f", "hostile"]).ok();
}
