//! Links on the default network: names and variables that tell one container of another.

use crate::daemon;

/// Starts a container that others link to, and answers its address.
fn start_other(docker: &tests::docker::Docker, name: &str, further: &[&str]) -> String {
    let run = [
        &["run", "-d", "--name", name],
        further,
        &["busybox", "sleep", "1000"],
    ];
    docker.run(&run.concat()).ok();
    docker.inspect(name, "{{.NetworkSettings.IPAddress}}")
}

#[test]
fn a_linked_container_is_told_of_the_others_ports_and_variables() {
    let daemon = daemon();
    let docker = daemon.docker();
    let exposed = ["80", "81", "82", "443", "53/udp"];
    let mut further = vec!["-e", "COLOUR=blue", "-e", "HOME=/srv"];
    for port in exposed {
        further.extend(["--expose", port]);
    }
    let address = start_other(&docker, "told-of", &further);
    let run = [
        "run",
        "--rm",
        "--name",
        "reader",
        "--link",
        "told-of:data-base",
    ];
    let env = docker
        .run(
            &[
                &run[..],
                &["-e", "DATA_BASE_ENV_COLOUR=own", "busybox", "env"],
            ]
            .concat(),
        )
        .ok();
    let mut told: Vec<String> = env
        .lines()
        .filter(|line| line.starts_with("DATA_BASE"))
        .map(|line| line.replace(&address, "IP"))
        .collect();
    told.sort();
    let mut expected: Vec<String> = [
        "=udp://IP:53",
        "_80_TCP_START=tcp://IP:80",
        "_80_TCP_PORT_START=80",
        "_80_TCP_END=tcp://IP:82",
        "_80_TCP_PORT_END=82",
    ]
    .map(|rest| format!("DATA_BASE_PORT{rest}"))
    .into();
    for port in exposed {
        let (number, protocol) = port.split_once('/').unwrap_or((port, "tcp"));
        let name = format!("DATA_BASE_PORT_{number}_{}", protocol.to_uppercase());
        expected.push(format!("{name}={protocol}://IP:{number}"));
        expected.push(format!("{name}_ADDR=IP"));
        expected.push(format!("{name}_PORT={number}"));
        expected.push(format!("{name}_PROTO={protocol}"));
    }
    expected.push("DATA_BASE_NAME=/reader/data-base".to_owned());
    expected.push("DATA_BASE_ENV_COLOUR=own".to_owned());
    expected.sort();
    assert_eq!(told, expected);
}

#[test]
fn a_link_needs_a_running_container_and_can_be_removed() {
    let daemon = daemon();
    let docker = daemon.docker();
    let address = start_other(&docker, "linked", &[]);
    let run = ["run", "-d", "--name", "linking", "--link", "linked:other"];
    docker
        .run(&[&run[..], &["busybox", "sleep", "1000"]].concat())
        .ok();
    let hosts = || docker.run(&["exec", "linking", "cat", "/etc/hosts"]).ok();
    let knows = |hosts: &str| hosts.lines().any(|line| line.starts_with(&address));
    assert!(knows(&hosts()), "{}", hosts());

    docker.run(&["rm", "--link", "linking/nobody"]).fails(1);
    docker.run(&["rm", "--link", "linking/other"]).ok();
    assert!(!knows(&hosts()), "{}", hosts());
    assert_eq!(docker.inspect("linked", "{{.State.Running}}"), "true");
    let answer = docker.run(&["rm", "--link", "linking"]);
    let refused = answer.fails(1);
    assert!(
        refused.contains("cannot remove the default link name"),
        "{refused}"
    );

    docker.run(&["stop", "-t", "0", "linked"]).ok();
    let run = [
        "run",
        "--name",
        "alone",
        "--link",
        "linked:other",
        "busybox",
        "env",
    ];
    let answer = docker.run(&run);
    let refused = answer.fails(125);
    assert!(
        refused.contains("Cannot link to a non running container: /linked AS /alone/other"),
        "{refused}"
    );
}

#[test]
fn a_link_follows_who_is_renamed() {
    let daemon = daemon();
    let docker = daemon.docker();
    start_other(&docker, "first-name", &[]);
    let run = [
        "run",
        "-d",
        "--name",
        "follower",
        "--link",
        "first-name:one",
    ];
    docker
        .run(&[&run[..], &["busybox", "sleep", "1000"]].concat())
        .ok();
    let links = || docker.inspect("follower", "{{json .HostConfig.Links}}");
    assert_eq!(links(), r#"["/first-name:/follower/one"]"#);
    docker.run(&["rename", "first-name", "second-name"]).ok();
    assert_eq!(links(), r#"["/second-name:/follower/one"]"#);
    // Somebody new by the old name is nobody to it.
    start_other(&docker, "first-name", &[]);
    let address = docker.inspect("second-name", "{{.NetworkSettings.IPAddress}}");
    docker.run(&["restart", "-t", "0", "follower"]).ok();
    let hosts = docker.run(&["exec", "follower", "cat", "/etc/hosts"]).ok();
    let named = hosts.lines().find(|line| line.contains("one")).unwrap();
    assert!(named.starts_with(&address), "{hosts}");
    let environment = docker.run(&["exec", "follower", "env"]).ok();
    assert!(
        environment.contains("ONE_NAME=/follower/one"),
        "{environment}"
    );
}
