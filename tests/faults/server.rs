//! The daemon killed while servers are made: each is there at last, whole or broken, and none leaves
//! anything.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tests::api::Api;
use tests::daemon::{Daemon, Kind};
use tests::image::import_busybox;

/// How often the daemon is killed.
const CRASHES: u32 = 6;
/// Servers of one request.
const SERVERS: usize = 3;

/// The operator of a cloud, with a token of the daemon that runs now.
fn operator(daemon: &Daemon) -> Api {
    let rc = std::fs::read_to_string(daemon.data_dir().join("openrc")).unwrap();
    let password = rc
        .lines()
        .find_map(|line| line.strip_prefix("export OS_PASSWORD="))
        .unwrap()
        .trim_matches(['\'', '"']);
    let domain = json!({ "name": "Default" });
    let user = json!({ "name": "admin", "domain": domain, "password": password });
    let asked = json!({ "auth": {
        "identity": { "methods": ["password"], "password": { "user": user } },
        "scope": { "project": { "name": "admin", "domain": domain } },
    }});
    let mut api = Api::tcp(daemon.listen());
    let reply = api
        .expect("POST", "/identity/v3/auth/tokens", Some(&asked))
        .unwrap();
    let token = reply.header("x-subject-token").unwrap().to_owned();
    Api::tcp(daemon.listen()).with("X-Auth-Token", &token)
}

/// What is in a list of an API.
fn list(api: &mut Api, path: &str, name: &str) -> Vec<Value> {
    let reply = api.expect("GET", path, None).unwrap();
    reply.json().unwrap()[name].as_array().unwrap().clone()
}

/// Asks until a list is as it should be. What does not become so fails by the time limit of tests.
fn wait_for(api: &mut Api, path: &str, name: &str, is_so: impl Fn(&[Value]) -> bool) -> Vec<Value> {
    loop {
        let now = list(api, path, name);
        if is_so(&now) {
            return now;
        }
        std::thread::yield_now();
    }
}

#[test]
fn the_daemon_is_killed_while_servers_are_made() {
    let mut daemon = Daemon::start_kind(Kind::Longshore).unwrap();
    let docker = daemon.docker();
    import_busybox(&docker).unwrap();
    let servers = "/compute/v2.1/servers";
    let detail = "/compute/v2.1/servers/detail";
    for crash in 0..CRASHES {
        let mut api = operator(&daemon);
        let image = list(&mut api, "/image/v2/images?name=busybox", "images")[0]["id"].clone();
        let server = json!({ "server": {
            "name": format!("fleet-{crash}"),
            "imageRef": image,
            "flavorRef": "42",
            "min_count": SERVERS,
        }});
        api.expect("POST", servers, Some(&server)).unwrap();
        // Each time the making is a little further.
        for _ in 0..crash * 2 {
            list(&mut api, servers, "servers");
        }
        daemon.crash().unwrap();
        daemon.up().unwrap();

        let mut api = operator(&daemon);
        let is_made = |server: &Value| server["status"] == "ACTIVE" || server["status"] == "ERROR";
        let made = wait_for(&mut api, detail, "servers", |all| all.iter().all(is_made));
        assert_eq!(made.len(), SERVERS, "what was accepted is there: {made:?}");
        let of_docker: BTreeSet<String> = docker
            .run(&["ps", "-q", "--no-trunc"])
            .ok()
            .lines()
            .map(|id| id[..32].to_owned())
            .collect();
        for server in &made {
            let id = server["id"].as_str().unwrap().replace('-', "");
            let is_active = server["status"] == "ACTIVE";
            assert_eq!(of_docker.contains(&id), is_active, "{server}");
            let path = format!("{servers}/{}", server["id"].as_str().unwrap());
            api.expect("DELETE", &path, None).unwrap();
        }
        wait_for(&mut api, servers, "servers", <[Value]>::is_empty);
        let ports = list(&mut api, "/network/v2.0/ports", "ports");
        assert!(ports.is_empty(), "{ports:?}");
        assert_eq!(docker.run(&["ps", "-aq"]).ok(), "");
    }
    daemon.down().unwrap();
    let after = daemon.snapshot().unwrap();
    assert!(after.is_empty(), "{after:?}");
}
