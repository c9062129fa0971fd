//! The cloud's APIs over HTTPS, with a certificate of the operator's.

use std::process::Command;

use serde_json::Value;
use tests::daemon::Daemon;

#[test]
fn clients_that_know_its_authority_are_told_secure_addresses() {
    let dir = tempfile::tempdir().unwrap();
    let (certificate, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
        ])
        .args(["-nodes", "-days", "2", "-subj", "/CN=cloud"])
        .args(["-addext", "subjectAltName=IP:127.0.0.1"])
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let daemon = Daemon::start_configured(&format!(
        "tls-certificate = {certificate:?}\ntls-key = {key:?}"
    ))
    .unwrap();
    let operator = daemon.openstack();
    let trusting = operator
        .clone()
        .with("--os-cacert", certificate.to_str().unwrap());
    let shown = trusting.json(&["catalog", "show", "compute"]);
    let endpoints = shown["endpoints"].as_array().unwrap();
    let is_secure = |endpoint: &Value| endpoint["url"].as_str().unwrap().starts_with("https://");
    assert!(
        !endpoints.is_empty() && endpoints.iter().all(is_secure),
        "{shown}"
    );
    let refused = operator.run(&["catalog", "list"]);
    assert!(
        refused.stderr.contains("certificate verify failed"),
        "{refused:?}"
    );
}
