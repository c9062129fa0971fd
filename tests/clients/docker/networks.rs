//! Networks, addresses, names and published ports.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use tests::daemon::{Daemon, Kind};

use crate::daemon;

/// What a server on this port of the host answers, where one does.
fn ask(port: &str) -> Option<String> {
    let mut stream = TcpStream::connect(format!("127.0.0.1:{port}")).ok()?;
    stream.write_all(b"\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    Some(text)
}

#[test]
fn containers_reach_each_other_by_name_on_their_own_network_only() {
    let daemon = daemon();
    let docker = daemon.docker();
    docker.run(&["network", "create", "inner"]).ok();
    docker.run(&["network", "create", "elsewhere"]).ok();
    docker
        .run(&[
            "run",
            "-d",
            "--name",
            "server-a",
            "--network",
            "inner",
            "--network-alias",
            "web",
            "busybox",
            "sh",
            "-c",
            "while :; do echo from a | nc -l -p 80; done",
        ])
        .ok();
    let from = |network: &str, host: &str| {
        docker.run(&[
            "run",
            "--rm",
            "--network",
            network,
            "busybox",
            "sh",
            "-c",
            &format!("nc -w 2 {host} 80 </dev/null"),
        ])
    };
    assert_eq!(from("inner", "server-a").ok(), "from a");
    docker.wait_until("it listens again", |_| {
        from("inner", "web").stdout == "from a\n"
    });
    assert!(
        from("elsewhere", "server-a").code != 0,
        "names do not cross networks"
    );
    let address = docker.inspect("server-a", "{{.NetworkSettings.Networks.inner.IPAddress}}");
    assert!(
        from("elsewhere", &address).code != 0,
        "packets do not cross networks"
    );
    docker
        .run(&["network", "connect", "elsewhere", "server-a"])
        .ok();
    docker.wait_until("it is on the other network", |_| {
        from("elsewhere", "server-a").stdout == "from a\n"
    });
    docker
        .run(&["network", "disconnect", "elsewhere", "server-a"])
        .ok();
    assert!(from("elsewhere", "server-a").code != 0);
    assert!(
        docker
            .run(&["network", "rm", "inner"])
            .fails(1)
            .contains("active endpoints")
    );
    docker.run(&["rm", "-f", "server-a"]).ok();
    docker.run(&["network", "rm", "inner", "elsewhere"]).ok();
}

#[test]
fn published_ports_lead_inside() {
    let daemon = daemon();
    let docker = daemon.docker();
    docker
        .run(&[
            "run",
            "-d",
            "--name",
            "published",
            "-p",
            "127.0.0.1::80",
            "busybox",
            "sh",
            "-c",
            "while :; do echo hello | nc -l -p 80; done",
        ])
        .ok();
    let bound = docker.run(&["port", "published", "80"]).ok();
    let port = bound.rsplit(':').next().unwrap().to_owned();
    docker.wait_until("it answers", |_| ask(&port).as_deref() == Some("hello\n"));
    let taken = docker.run(&[
        "run",
        "--rm",
        "-p",
        &format!("127.0.0.1:{port}:80"),
        "busybox",
        "true",
    ]);
    assert!(
        taken.fails(125).contains("port is already allocated")
            && taken
                .fails(125)
                .contains("failed to set up container networking"),
        "{taken:?}"
    );
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let foreign = listener.local_addr().unwrap().port();
    let taken = docker.run(&[
        "run",
        "--rm",
        "-p",
        &format!("127.0.0.1:{foreign}:80"),
        "busybox",
        "true",
    ]);
    assert!(
        taken.fails(125).contains("address already in use"),
        "{taken:?}"
    );
    docker.run(&["rm", "-f", "published"]).ok();
    assert!(
        TcpStream::connect(format!("127.0.0.1:{port}")).is_err(),
        "the port is given back"
    );
}

#[test]
fn a_container_has_the_address_that_was_asked_for() {
    let daemon = daemon();
    let docker = daemon.docker();
    docker
        .run(&[
            "network",
            "create",
            "--subnet",
            "10.123.0.0/24",
            "--gateway",
            "10.123.0.254",
            "fixed",
        ])
        .ok();
    let out = docker
        .run(&[
            "run",
            "--rm",
            "--network",
            "fixed",
            "--ip",
            "10.123.0.77",
            "busybox",
            "sh",
            "-c",
            "ip addr show eth0; ip route",
        ])
        .ok();
    assert!(out.contains("inet 10.123.0.77/24"), "{out}");
    assert!(out.contains("default via 10.123.0.254"), "{out}");
    assert!(
        docker
            .run(&[
                "network",
                "create",
                "--subnet",
                "10.123.0.0/25",
                "overlapping"
            ])
            .fails(1)
            .contains("overlaps")
    );
    docker.run(&["network", "rm", "fixed"]).ok();
}

#[test]
fn a_container_has_the_hardware_address_that_was_asked_for() {
    let daemon = daemon();
    if daemon.kind() == Kind::Dockerd {
        return; // Debian's is too old for the client's way of asking.
    }
    let docker = daemon.docker();
    let out = docker.run(&[
        "run",
        "--rm",
        "--mac-address",
        "02:42:00:00:00:4d",
        "busybox",
        "ip",
        "link",
        "show",
        "eth0",
    ]);
    assert!(out.ok().contains("02:42:00:00:00:4d"), "{out:?}");
}

#[test]
fn host_and_none_are_what_they_say() {
    let daemon = daemon();
    let docker = daemon.docker();
    let inside = |network: &str| {
        docker
            .run(&[
                "run",
                "--rm",
                "--network",
                network,
                "busybox",
                "sh",
                "-c",
                "ls /sys/class/net",
            ])
            .ok()
    };
    assert_eq!(inside("none"), "lo");
    assert!(inside("host").contains("lo"));
    let host = std::fs::read_dir("/sys/class/net").unwrap().count();
    assert!(inside("host").lines().count() >= host.min(2));
}

#[test]
fn networks_are_listed_and_shown() {
    let daemon = daemon();
    let docker = daemon.docker();
    docker
        .run(&[
            "network",
            "create",
            "--label",
            "k=v",
            "--internal",
            "shown-net",
        ])
        .ok();
    let names = docker.run(&["network", "ls", "--format", "{{.Name}}"]).ok();
    for name in ["bridge", "host", "none", "shown-net"] {
        assert!(names.lines().any(|line| line == name), "{names}");
    }
    assert_eq!(
        docker
            .run(&["network", "ls", "-q", "--filter", "label=k=v"])
            .ok()
            .lines()
            .count(),
        1
    );
    assert_eq!(
        docker.inspect("shown-net", "{{.Driver}} {{.Internal}} {{.Scope}}"),
        "bridge true local"
    );
    assert!(
        docker
            .run(&["network", "create", "shown-net"])
            .fails(1)
            .contains("already exists")
    );
    docker.run(&["network", "rm", "shown-net"]).ok();
    assert!(
        docker
            .run(&["network", "rm", "bridge"])
            .fails(1)
            .contains("pre-defined network")
    );
    assert!(
        docker
            .run(&["network", "inspect", "nosuch"])
            .fails(1)
            .contains("network nosuch not found")
    );
}

#[test]
fn an_interface_has_link_local_addresses_and_a_name_of_its_own() {
    let daemon = daemon();
    let docker = daemon.docker();
    docker.run(&["network", "create", "near"]).ok();
    for (name, address) in [("near-a", "169.254.7.1"), ("near-b", "169.254.7.2")] {
        docker
            .run(&["run", "-d", "--name", name, "busybox", "sleep", "1000"])
            .ok();
        let mut connect = vec!["network", "connect", "--link-local-ip", address];
        if daemon.kind() == Kind::Longshore {
            // Not with dockerd before 28.
            connect.extend(["--driver-opt", "com.docker.network.endpoint.ifname=near0"]);
        }
        docker.run(&[&connect[..], &["near", name]].concat()).ok();
    }
    docker.wait_until("they reach each other", |docker| {
        let ping = [
            "exec",
            "near-a",
            "ping",
            "-c",
            "1",
            "-W",
            "1",
            "169.254.7.2",
        ];
        docker.run(&ping).code == 0
    });
    if daemon.kind() == Kind::Longshore {
        let shown = docker
            .run(&["exec", "near-a", "ip", "addr", "show", "near0"])
            .ok();
        assert!(shown.contains("inet 169.254.7.1/16"), "{shown}");
        docker.run(&["network", "create", "far"]).ok();
        let connect = ["network", "connect", "--driver-opt"];
        let taken = ["com.docker.network.endpoint.ifname=near0", "far", "near-a"];
        let refused = docker.run(&[connect, taken].concat());
        assert!(refused.fails(1).contains("file exists"), "{refused:?}");
        docker.run(&["network", "rm", "far"]).ok();
        // They stay its own from one start to the next, beside one that has the usual name.
        docker.run(&["restart", "-t", "0", "near-a"]).ok();
        let shown = docker.run(&["exec", "near-a", "ip", "addr"]).ok();
        for part in ["eth0@", "near0@", "inet 169.254.7.1/16"] {
            assert!(shown.contains(part), "{shown}");
        }
    }
    let config = "{{json .NetworkSettings.Networks.near.IPAMConfig.LinkLocalIPs}}";
    assert_eq!(docker.inspect("near-b", config), r#"["169.254.7.2"]"#);
    docker.run(&["rm", "-f", "near-a", "near-b"]).ok();
    docker.run(&["network", "rm", "near"]).ok();
}

#[test]
fn networks_without_a_range_get_one_of_a_pool() {
    let pool = "[[default-address-pools]]\nbase = '10.253.99.0/27'\nsize = 29";
    let daemon = Daemon::start_configured(pool).unwrap();
    let docker = daemon.docker();
    let range = |name: &str| {
        let format = "{{(index .IPAM.Config 0).Subnet}}";
        docker
            .run(&["network", "inspect", "--format", format, name])
            .ok()
    };
    for name in ["one", "two", "three"] {
        docker.run(&["network", "create", name]).ok();
    }
    let names = ["bridge", "one", "two", "three"];
    assert_eq!(
        names.map(range),
        [
            "10.253.99.0/29",
            "10.253.99.8/29",
            "10.253.99.16/29",
            "10.253.99.24/29"
        ]
    );
    let refused = docker.run(&["network", "create", "four"]);
    assert!(
        refused
            .fails(1)
            .contains("all predefined address pools have been fully subnetted")
    );
}
