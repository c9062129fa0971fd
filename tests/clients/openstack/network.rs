//! Networks, routers and what holds on them.

use tests::openstack::OpenStack;

use super::is_ours;

/// What a command that makes something answers as its identity.
fn made(openstack: &OpenStack, args: &[&str]) -> String {
    openstack.json(args)["id"].as_str().unwrap().to_owned()
}

#[test]
fn two_projects_have_the_same_addresses_behind_routers_of_their_own() {
    if !is_ours() {
        return;
    }
    let daemon = crate::own_daemon();
    let admin = daemon.openstack();
    let mut floating = Vec::new();
    for project in ["net-one", "net-two"] {
        admin.run(&["project", "create", project]).ok();
        let role = [
            "role",
            "add",
            "--user",
            "admin",
            "--project",
            project,
            "member",
        ];
        admin.run(&role).ok();
        let member = admin.clone().with("--os-project-name", project);
        made(&member, &["network", "create", "quay"]);
        let range = ["--subnet-range", "10.77.0.0/24", "quay"];
        let subnet = [&["subnet", "create", "--network", "quay"], range.as_slice()].concat();
        let subnet = member.json(&subnet);
        assert_eq!(subnet["gateway_ip"], "10.77.0.1");
        made(&member, &["router", "create", "lock"]);
        member
            .run(&["router", "set", "--external-gateway", "public", "lock"])
            .ok();
        member
            .run(&["router", "add", "subnet", "lock", "quay"])
            .ok();
        let fixed = ["--fixed-ip", "ip-address=10.77.0.10"];
        let port = [
            &["port", "create", "--network", "quay"],
            fixed.as_slice(),
            &["berth"],
        ]
        .concat();
        made(&member, &port);
        let address = member.json(&["floating", "ip", "create", "--port", "berth", "public"]);
        assert_eq!(address["fixed_ip_address"], "10.77.0.10");
        floating.push(address["floating_ip_address"].as_str().unwrap().to_owned());

        let group = made(&member, &["security", "group", "create", "crew"]);
        let rule = [
            "security",
            "group",
            "rule",
            "create",
            "--protocol",
            "tcp",
            "--dst-port",
            "80",
        ];
        made(&member, &[rule.as_slice(), &[&group]].concat());
        let twice = member.run(&[rule.as_slice(), &[&group]].concat());
        assert!(
            twice.fails(1).contains("already exists"),
            "{}",
            twice.stderr
        );
        member
            .run(&[
                "port",
                "set",
                "--no-security-group",
                "--security-group",
                "crew",
                "berth",
            ])
            .ok();
        let used = member.run(&["security", "group", "delete", "crew"]);
        assert!(used.fails(1).contains("in use"), "{}", used.stderr);
    }
    assert_ne!(floating[0], floating[1]);
    for project in ["net-one", "net-two"] {
        let member = admin.clone().with("--os-project-name", project);
        let in_use = member.run(&["network", "delete", "quay"]);
        assert!(!in_use.stderr.is_empty());
        let address = &floating[usize::from(project == "net-two")];
        member.run(&["floating", "ip", "delete", address]).ok();
        member.run(&["port", "delete", "berth"]).ok();
        member
            .run(&["router", "remove", "subnet", "lock", "quay"])
            .ok();
        member.run(&["router", "delete", "lock"]).ok();
        member.run(&["network", "delete", "quay"]).ok();
        member.run(&["security", "group", "delete", "crew"]).ok();
        let all = ["port", "list", "--project", project];
        let left = admin.json(&all);
        assert_eq!(left.as_array().unwrap().len(), 0, "{left}");
        admin.run(&["project", "delete", project]).ok();
    }
}

#[test]
fn ports_are_not_published_where_only_routers_lead() {
    if !is_ours() {
        return;
    }
    let daemon = crate::own_daemon();
    let (admin, docker) = (daemon.openstack(), daemon.docker());
    let network = made(&admin, &["network", "create", "moorings"]);
    let range = ["--subnet-range", "10.78.0.0/24", "moorings"];
    admin
        .run(
            &[
                &["subnet", "create", "--network", &network],
                range.as_slice(),
            ]
            .concat(),
        )
        .ok();
    let network = network.replace('-', "");
    let run = ["run", "-d", "--name", "moored", "--network", &network];
    let publish = ["-p", "80", "busybox", "sleep", "60"];
    let refused = docker.run(&[run.as_slice(), &publish].concat());
    assert!(
        refused
            .fails(125)
            .contains("ports cannot be published on network moorings"),
        "{}",
        refused.stderr
    );
    docker
        .run(&[run.as_slice(), &["busybox", "sleep", "60"]].concat())
        .ok();
    docker.run(&["rm", "-f", "moored"]).ok();
    admin.run(&["network", "delete", "moorings"]).ok();
}

#[test]
fn what_is_not_served_is_refused_by_name() {
    if !is_ours() {
        return;
    }
    let daemon = crate::own_daemon();
    let admin = daemon.openstack();
    let refused = admin.run(&["address", "scope", "create", "quayside"]);
    let said = refused.fails(1);
    assert!(said.contains("Address scopes are not served"), "{said}");
}
