//! What an operator says of nodes: services kept away from new servers, aggregates and zones; and what
//! projects are charged for. On a daemon of its own, whose only node is taken out of use.

use tests::openstack::OpenStack;

use super::is_ours;

/// The arguments that make a server without a network, and wait for it.
const CREATE: [&str; 8] = [
    "server",
    "create",
    "--wait",
    "--image",
    "busybox",
    "--flavor",
    "m1.tiny",
    "--no-network",
];

fn host(admin: &OpenStack) -> String {
    let services = admin.json(&["compute", "service", "list", "--service", "nova-compute"]);
    services[0]["Host"].as_str().unwrap().to_owned()
}

#[test]
fn a_disabled_service_gets_no_new_servers() {
    if !is_ours() {
        return;
    }
    let daemon = crate::own_daemon();
    let admin = daemon.openstack();
    let host = host(&admin);
    admin.run(&[CREATE.as_slice(), &["before"]].concat()).ok();
    let set = ["compute", "service", "set"];
    let service = [host.as_str(), "nova-compute"];
    let disable = ["--disable", "--disable-reason", "new keel"];
    admin
        .run(&[set.as_slice(), &disable, &service].concat())
        .ok();
    let shown = admin.json(&["compute", "service", "list", "--long"]);
    let of_compute = shown.as_array().unwrap().iter();
    let states: Vec<_> = of_compute
        .filter(|row| row["Binary"] == "nova-compute")
        .map(|row| (row["Status"].clone(), row["Disabled Reason"].clone()))
        .collect();
    assert_eq!(states, [("disabled".into(), "new keel".into())], "{shown}");

    let refused = admin.run(&[CREATE.as_slice(), &["during"]].concat());
    assert_ne!(refused.code, 0);
    let fault = admin.json(&["server", "show", "during"]);
    assert_eq!(fault["status"], "ERROR");
    assert!(fault["fault"].to_string().contains("cordoned"), "{fault}");
    // What runs there goes on, and starts again.
    daemon.docker().run(&["restart", "-t", "0", "before"]).ok();

    admin
        .run(&[set.as_slice(), &["--enable"], &service].concat())
        .ok();
    admin.run(&[CREATE.as_slice(), &["after"]].concat()).ok();
    admin
        .run(&[set.as_slice(), &["--down"], &service].concat())
        .ok();
    let shown = admin.json(&["hypervisor", "list"]);
    assert_eq!(shown[0]["State"], "down", "{shown}");
    admin
        .run(&[set.as_slice(), &["--up"], &service].concat())
        .ok();
    let services = admin.json(&["compute", "service", "list", "--service", "nova-compute"]);
    let id = services[0]["ID"].as_str().unwrap();
    let refused = admin.run(&["compute", "service", "delete", id]);
    assert!(
        refused.fails(1).contains("hosting instances"),
        "{}",
        refused.stderr
    );
}

#[test]
fn an_aggregate_makes_a_zone_that_servers_are_placed_in() {
    if !is_ours() {
        return;
    }
    let daemon = crate::own_daemon();
    let admin = daemon.openstack();
    let host = host(&admin);
    let zones = |admin: &OpenStack| {
        let listed = admin.json(&["availability", "zone", "list", "--compute"]);
        let listed = listed.as_array().unwrap().iter();
        let mut names: Vec<String> = listed
            .map(|row| row["Zone Name"].as_str().unwrap().to_owned())
            .collect();
        names.dedup();
        names
    };
    assert_eq!(zones(&admin), ["internal", "nova"]);
    let create = ["aggregate", "create", "--zone", "quayside", "moored"];
    let made = admin.json(&create);
    assert_eq!(made["availability_zone"], "quayside");
    assert!(admin.run(&create).fails(1).contains("already exists"));
    admin
        .run(&["aggregate", "add", "host", "moored", &host])
        .ok();
    let again = admin.run(&["aggregate", "add", "host", "moored", &host]);
    assert!(again.fails(1).contains("already has host"));
    assert_eq!(zones(&admin), ["internal", "quayside"]);
    let property = ["--property", "ssd=true", "moored"];
    admin
        .run(&[&["aggregate", "set"], property.as_slice()].concat())
        .ok();
    let shown = admin.json(&["aggregate", "show", "moored"]);
    assert_eq!(shown["properties"]["ssd"], "true", "{shown}");
    assert_eq!(shown["hosts"], serde_json::json!([host]), "{shown}");

    // A host is in one zone at most.
    let other = ["aggregate", "create", "--zone", "offshore", "other"];
    admin.run(&other).ok();
    let second = admin.run(&["aggregate", "add", "host", "other", &host]);
    assert!(
        second
            .fails(1)
            .contains("already in availability zone(s) ['quayside']"),
        "{}",
        second.stderr
    );

    let in_zone = |zone: &'static str, name: &'static str| {
        let args = ["--availability-zone", zone, name];
        [CREATE.as_slice(), &args].concat()
    };
    admin.run(&in_zone("quayside", "berthed")).ok();
    let shown = admin.json(&["server", "show", "berthed"]);
    assert_eq!(shown["OS-EXT-AZ:availability_zone"], "quayside");
    let refused = admin.run(&in_zone("nova", "adrift"));
    assert!(
        refused
            .fails(1)
            .contains("The requested availability zone is not available"),
        "{}",
        refused.stderr
    );

    // Its servers do not change zones.
    let moved = admin.run(&["aggregate", "remove", "host", "moored", &host]);
    assert!(
        moved.fails(1).contains("contain instances"),
        "{}",
        moved.stderr
    );
    admin.run(&["server", "delete", "--wait", "berthed"]).ok();
    let full = admin.run(&["aggregate", "delete", "moored"]);
    assert!(full.fails(1).contains("not empty"), "{}", full.stderr);
    admin
        .run(&["aggregate", "remove", "host", "moored", &host])
        .ok();
    admin.run(&["aggregate", "delete", "moored"]).ok();
    assert_eq!(zones(&admin), ["internal", "nova"]);
}

#[test]
fn usage_counts_servers_that_are_gone() {
    if !is_ours() {
        return;
    }
    let daemon = crate::own_daemon();
    let (admin, docker) = (daemon.openstack(), daemon.docker());
    // The names and states of servers that count.
    let used = |admin: &OpenStack| {
        let shown = admin.json(&["usage", "show", "--project", "admin"]);
        let servers = shown["Servers"].as_array().cloned().unwrap_or_default();
        let states: Vec<String> = servers
            .iter()
            .map(|one| format!("{} {}", one["name"], one["state"]).replace('"', ""))
            .collect();
        states.join(", ")
    };
    assert_eq!(used(&admin), "");
    // What has no flavor is in no quota, and not charged for.
    docker
        .run(&["run", "-d", "--name", "plain", "busybox", "sleep", "60"])
        .ok();
    assert_eq!(used(&admin), "");
    admin.run(&[CREATE.as_slice(), &["short"]].concat()).ok();
    assert_eq!(used(&admin), "short active");
    admin.run(&["server", "delete", "--wait", "short"]).ok();
    assert_eq!(used(&admin), "short terminated");
    admin.run(&[CREATE.as_slice(), &["next"]].concat()).ok();
    assert_eq!(used(&admin), "short terminated, next active");
    let listed = admin.json(&["usage", "list"]);
    assert!(listed[0]["CPU Hours"].as_f64().unwrap() > 0.0, "{listed}");
    let none = ["--start", "2020-01-01", "--end", "2020-02-01"];
    let shown = admin.run(&[["usage", "list"].as_slice(), &none, &["-f", "json"]].concat());
    assert_eq!(shown.ok().trim(), "[]");
    docker.run(&["rm", "-f", "plain"]).ok();
}
