//! Lists and single things as the `openstack` command line shows them, where no other test looks at
//! them: every column that it prints is one that it finds in the answer.

use serde_json::Value;
use tests::openstack::OpenStack;

use super::{is_ours, json, run};

/// The row of a list whose column says this.
#[track_caller]
fn row(openstack: &OpenStack, command: &str, column: &str, wanted: &str) -> Value {
    let listed = json(openstack, command);
    let mut rows = listed.as_array().unwrap().iter();
    let found = rows.find(|row| row[column] == wanted);
    assert!(found.is_some(), "{command} has no {wanted}: {listed}");
    found.unwrap().clone()
}

#[test]
fn a_network_and_what_holds_on_it() {
    if !is_ours() {
        return;
    }
    let daemon = crate::own_daemon();
    let admin = daemon.openstack();
    let network = json(&admin, "network create lagoon");
    let subnet = json(
        &admin,
        "subnet create --network lagoon --subnet-range 10.35.0.0/24 --dns-nameserver 10.35.0.2 lagoon-v4",
    );
    let router = json(&admin, "router create --external-gateway public inlet");
    run(&admin, "router add subnet inlet lagoon-v4").ok();
    let port = json(
        &admin,
        "port create --network lagoon --fixed-ip ip-address=10.35.0.9 buoy",
    );
    let floating = json(&admin, "floating ip create --port buoy public");
    let group = json(&admin, "security group create reef");
    run(&admin, "security group rule create --protocol icmp reef").ok();

    let listed = row(&admin, "network list", "Name", "lagoon");
    assert_eq!(listed["ID"], network["id"]);
    assert_eq!(listed["Subnets"][0], subnet["id"]);
    assert_eq!(
        json(&admin, "network show lagoon")["subnets"][0],
        subnet["id"]
    );
    let listed = row(&admin, "subnet list --network lagoon", "Name", "lagoon-v4");
    assert_eq!(listed["Subnet"], "10.35.0.0/24");
    let shown = json(&admin, "subnet show lagoon-v4");
    assert_eq!(shown["gateway_ip"], "10.35.0.1");
    assert_eq!(shown["dns_nameservers"][0], "10.35.0.2");
    let listed = row(&admin, "router list", "Name", "inlet");
    assert_eq!(
        (&listed["ID"], &listed["Status"]),
        (&router["id"], &"ACTIVE".into())
    );
    let shown = json(&admin, "router show inlet");
    assert_eq!(shown["interfaces_info"][0]["ip_address"], "10.35.0.1");
    assert_eq!(shown["external_gateway_info"]["enable_snat"], true);
    let shown = json(&admin, "port show buoy");
    assert_eq!(shown["mac_address"], port["mac_address"]);
    assert_eq!(shown["fixed_ips"][0]["ip_address"], "10.35.0.9");
    let listed = row(&admin, "floating ip list", "Fixed IP Address", "10.35.0.9");
    assert_eq!(listed["ID"], floating["id"]);
    let address = floating["floating_ip_address"].as_str().unwrap();
    let shown = json(&admin, &format!("floating ip show {address}"));
    assert_eq!(shown["router_id"], router["id"]);
    assert_eq!(
        row(&admin, "security group list", "Name", "reef")["ID"],
        group["id"]
    );
    let rule = row(
        &admin,
        "security group rule list reef",
        "IP Protocol",
        "icmp",
    );
    assert_eq!(
        (&rule["Direction"], &rule["IP Range"]),
        (&"ingress".into(), &"0.0.0.0/0".into())
    );
    let shown = json(&admin, "security group show reef");
    assert_eq!(shown["rules"].as_array().unwrap().len(), 3, "{shown}");

    run(&admin, &format!("floating ip delete {address}")).ok();
    run(&admin, "port delete buoy").ok();
    run(&admin, "router remove subnet inlet lagoon-v4").ok();
    run(&admin, "subnet delete lagoon-v4").ok();
    run(&admin, "router delete inlet").ok();
    run(&admin, "network delete lagoon").ok();
    run(&admin, "security group delete reef").ok();
}

#[test]
fn projects_users_roles_and_their_quotas() {
    if !is_ours() {
        return;
    }
    let daemon = crate::own_daemon();
    let admin = daemon.openstack();
    let project = json(&admin, "project create --description new dockyard");
    run(&admin, "project set --description old dockyard").ok();
    assert_eq!(json(&admin, "project show dockyard")["description"], "old");
    assert_eq!(
        row(&admin, "project list", "Name", "dockyard")["ID"],
        project["id"]
    );
    let user = json(
        &admin,
        "user create --project dockyard --password rope rigger",
    );
    run(&admin, "user set --email rigger@dockyard rigger").ok();
    assert_eq!(json(&admin, "user show rigger")["email"], "rigger@dockyard");
    assert_eq!(row(&admin, "user list", "Name", "rigger")["ID"], user["id"]);
    let role = json(&admin, "role create foreman");
    assert_eq!(
        row(&admin, "role list", "Name", "foreman")["ID"],
        role["id"]
    );
    run(&admin, "role delete foreman").ok();
    assert_eq!(
        row(&admin, "domain list", "Name", "Default")["ID"],
        "default"
    );
    for service in ["identity", "image", "compute", "network", "block-storage"] {
        let listed = format!("endpoint list --service {service} --interface public");
        assert_eq!(
            row(&admin, &listed, "Service Type", service)["Enabled"],
            true
        );
    }

    run(&admin, "quota set --cores 7 --volumes 8 --ports 9 dockyard").ok();
    for (of, column, limit) in [
        ("compute", "Cores", 7),
        ("volume", "Volumes", 8),
        ("network", "Ports", 9),
    ] {
        let id = project["id"].as_str().unwrap();
        let listed = row(&admin, &format!("quota list --{of}"), "Project ID", id);
        assert_eq!(listed[column], limit, "{listed}");
    }
    let used = row(&admin, "quota show --usage dockyard", "Resource", "cores");
    assert_eq!((&used["Limit"], &used["In Use"]), (&7.into(), &0.into()));
    let flavor = json(&admin, "flavor show m1.nano");
    assert_eq!((&flavor["ram"], &flavor["vcpus"]), (&128.into(), &1.into()));

    run(&admin, "user delete rigger").ok();
    run(&admin, "quota delete dockyard").ok();
    run(&admin, "project delete dockyard").ok();
}
