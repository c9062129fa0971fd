//! The Docker API over TLS: for clients that show the operator's certificate, and for no others.

use std::net::TcpListener;

use tests::daemon::Daemon;
use tests::docker::Docker;
use tests::image::import_busybox;

/// A daemon with a port for `docker`, and the port's address.
fn daemon() -> (Daemon, String) {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap().to_string();
    drop(free);
    let daemon = Daemon::start_configured(&format!("docker-listen = '{address}'")).unwrap();
    (daemon, address)
}

#[test]
fn the_operators_certificate_opens_the_docker_api_and_no_other_does() {
    let (daemon, address) = daemon();
    import_busybox(&daemon.docker()).unwrap();
    let certificates = daemon.data_dir().join("docker-tls");
    let remote = daemon.docker().over_tls(&address, &certificates);
    let echo = ["run", "-i", "--rm", "busybox", "cat"];
    let answer = remote.run_with_input(&echo, b"through two ends");
    assert_eq!(answer.ok(), "through two ends");
    assert_eq!(remote.run(&["ps", "-aq"]).ok(), "");

    let nobody = daemon.scratch().join("nobody");
    std::fs::create_dir(&nobody).unwrap();
    std::fs::copy(certificates.join("ca.pem"), nobody.join("ca.pem")).unwrap();
    let stranger = daemon.docker().over_tls(&address, &nobody);
    assert_ne!(stranger.run(&["ps"]).code, 0, "without a certificate");

    let (other, _) = self::daemon();
    let foreign = daemon.docker().over_tls(&address, &nobody);
    for name in ["cert.pem", "key.pem"] {
        let from = other.data_dir().join("docker-tls").join(name);
        std::fs::copy(from, nobody.join(name)).unwrap();
    }
    assert_ne!(foreign.run(&["ps"]).code, 0, "with another authority's");

    let plain = Docker::at(&format!("tcp://{address}"), &nobody);
    assert_ne!(plain.run(&["ps"]).code, 0, "without TLS");
}
