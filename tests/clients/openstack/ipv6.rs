//! Servers with IPv6, on one network and from one to another.

use super::{boot, inside, is_ours, json, run};

/// What the owner of a hardware address makes of it on its network (RFC 4291, appendix A).
const ADDRESS: &str = "fd00:61::f816:3eff:feaa:bcc";

#[test]
fn servers_answer_over_ipv6_on_their_network_and_behind_a_router() {
    if !is_ours() {
        return;
    }
    let daemon = crate::own_daemon();
    let (openstack, docker) = (daemon.openstack(), daemon.docker());
    for line in [
        "network create fairway",
        "subnet create --network fairway --ip-version 6 --subnet-range fd00:61::/64 \
         --ipv6-ra-mode slaac --ipv6-address-mode slaac fairway-v6",
        "network create basin",
        "subnet create --network basin --ip-version 6 --subnet-range fd00:62::/64 basin-v6",
        "router create sluice",
        "router add subnet sluice fairway-v6",
        "router add subnet sluice basin-v6",
        "security group create hush",
        "security group create hail",
        "security group rule create --ethertype IPv6 --protocol tcp --dst-port 80 hail",
    ] {
        run(&openstack, line).ok();
    }
    let mooring = "port create --network fairway --mac-address fa:16:3e:aa:0b:cc --security-group hush mooring";
    let mooring = json(&openstack, mooring);
    assert_eq!(mooring["fixed_ips"][0]["ip_address"], ADDRESS, "{mooring}");
    boot(&openstack, "pinnace", "--port mooring");
    boot(&openstack, "wherry", "--network fairway");
    boot(&openstack, "punt", "--network basin");
    let shown = inside(&docker, "pinnace", "ip -6 -o address show dev eth0");
    assert!(shown.contains(ADDRESS), "{shown}");

    inside(&docker, "pinnace", "httpd -p '[::]:80' -h /etc");
    let ask = format!("printf 'GET /hostname HTTP/1.0\\r\\n\\r\\n' | nc -w 2 {ADDRESS} 80");
    for name in ["wherry", "punt"] {
        // Nobody is let in but by a rule, and its group has none.
        let refused = docker.run(&["exec", name, "sh", "-c", &ask]);
        assert!(!refused.stdout.contains("pinnace"), "{refused:?}");
    }
    run(&openstack, "server add security group pinnace hail").ok();
    for name in ["wherry", "punt"] {
        let answer = inside(&docker, name, &ask);
        assert!(answer.ends_with("pinnace"), "{answer}");
    }

    run(&openstack, "server delete --wait pinnace wherry punt").ok();
    for line in [
        "port delete mooring",
        "router remove subnet sluice fairway-v6",
        "router remove subnet sluice basin-v6",
        "router delete sluice",
        "network delete fairway basin",
        "security group delete hail hush",
    ] {
        run(&openstack, line).ok();
    }
}
