//! Images with links in the place of what every container has (CVE-2026-41579, CVE-2026-47766), and with
//! volumes that lead out of them (CVE-2022-23648).

use super::{Instead, Outside, archive, import};
use crate::daemon;

#[test]
fn links_in_the_place_of_what_is_mounted_lead_nowhere() {
    let daemon = daemon();
    let docker = daemon.docker();
    let outside = Outside::new(&daemon, "linked-places");
    let climbing = outside.climbing();
    for (place, target) in [
        ("dev", outside.path()),
        ("etc", &climbing),
        ("proc", &climbing),
        ("sys", outside.path()),
    ] {
        import(&docker, "linked", &[(place, Instead::Link(target))], &[]);
        // What is made at start: devices, the console, mount points, the directory to begin in.
        let volume = format!("/{place}/volume");
        let directory = format!("/{place}/directory");
        for flags in [
            ["-t"].as_slice(),
            &["-v", &volume, "-w", &directory],
            &["--tmpfs", &volume, "--hostname", "a"],
        ] {
            let read = ["linked", "/bin/cat", "/etc/secret"];
            let answer = docker.run(&[&["run", "--rm"], flags, &read].concat());
            assert_ne!(answer.code, 0, "there is no such file: {answer:?}");
            outside.check_unseen(&answer);
        }
        docker.run(&["rmi", "linked"]).ok();
    }
}

/// The same while an image is unpacked and written: what one entry makes a link, the next goes through.
#[test]
fn an_image_does_not_go_through_its_own_links() {
    let daemon = daemon();
    let docker = daemon.docker();
    let outside = Outside::new(&daemon, "linked-layers");
    for target in [outside.path(), &outside.climbing()] {
        let entries = [
            ("door", Instead::Link(target)),
            ("door/made", Instead::Script("x")),
        ];
        // It may be refused, for the link leads to nothing.
        let _refused = docker.run_with_input(&["import", "-", "doors"], &archive(&entries));
        outside.check();
    }
    import(
        &docker,
        "doors",
        &[("door", Instead::Link(outside.path()))],
        &[],
    );
    let script = "mkdir -p $(readlink /door) && echo made > /door/made";
    docker
        .run(&["run", "--name", "doors", "doors", "sh", "-c", script])
        .ok();
    docker.run(&["commit", "doors", "doors"]).ok();
    outside.check_unseen(&docker.run(&["export", "doors"]));
    outside.check_unseen(&docker.run(&["save", "doors"]));
    docker.run(&["rm", "doors"]).ok();
    docker.run(&["rmi", "-f", "doors"]).ok();
}

#[test]
fn volumes_of_an_image_show_nothing_of_the_host() {
    let daemon = daemon();
    let docker = daemon.docker();
    let outside = Outside::new(&daemon, "volume-escape");
    let link = [("link", Instead::Link(outside.path()))];
    let climbing = format!("/{}", outside.climbing());
    for path in [
        "/link",
        "/link/../secret",
        "/link/.",
        &climbing,
        outside.path(),
    ] {
        import(&docker, "escaping", &link, &[&format!("VOLUME {path}")]);
        let script = format!(
            "cat {path}/secret /link/secret {}/secret; find / -xdev -name secret -exec cat {{}} +; ls {path}",
            outside.path()
        );
        let answer = docker.run(&["run", "--rm", "escaping", "sh", "-c", &script]);
        outside.check_unseen(&answer);
        docker.run(&["rmi", "-f", "escaping"]).ok();
    }
}
