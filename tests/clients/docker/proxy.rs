//! Pulls by way of a proxy.

use tests::daemon::{Daemon, Kind};
use tests::proxy::Proxy;
use tests::registry::Registry;

use crate::daemon;

#[test]
fn a_registry_behind_a_proxy_is_asked_through_it() {
    let shared = daemon();
    if shared.kind() != Kind::Longshore {
        return;
    }
    let registry = Registry::start().unwrap();
    let docker = shared.docker();
    let name = format!("{}/team/far:1", registry.name());
    docker.run(&["tag", "busybox", &name]).ok();
    docker.run(&["push", &name]).ok();
    docker.run(&["rmi", &name]).ok();

    let proxy = Proxy::start(&registry.name()).unwrap();
    let settings = |no: &str| {
        format!(
            "[registries]\ninsecure = ['far.test:5000']\nno-proxy = '{no}'\n\
             http-proxy = 'http://user:secret@{at}'\nhttps-proxy = 'http://{at}'\n",
            at = proxy.address()
        )
    };
    let behind = Daemon::start_configured(&settings("")).unwrap();
    let run = ["run", "--rm", "far.test:5000/team/far:1", "echo", "came"];
    assert_eq!(behind.docker().run(&run).ok(), "came");
    let asked = proxy.asked();
    assert!(asked[0].starts_with("CONNECT far.test:5000 "), "{asked:?}");
    let manifest = "GET http://far.test:5000/v2/";
    assert!(
        asked.iter().any(|line| line.starts_with(manifest)),
        "{asked:?}"
    );
    let password = asked
        .iter()
        .any(|line| line.ends_with("Basic dXNlcjpzZWNyZXQ="));
    assert!(password, "{asked:?}");
    // What is on this machine is asked without.
    behind.docker().run(&["pull", &name]).ok();
    assert!(
        !proxy
            .asked()
            .iter()
            .any(|line| line.contains(&registry.name()))
    );

    let straight = Daemon::start_configured(&settings("far.test")).unwrap();
    let before = proxy.asked().len();
    let refused = straight.docker().run(&["pull", "far.test:5000/team/far:1"]);
    assert_ne!(refused.code, 0, "{refused:?}");
    assert_eq!(proxy.asked().len(), before);
}
