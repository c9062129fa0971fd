//! Key pairs: made here, or brought.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use super::is_ours;

/// What OpenSSH's own program says of a key.
fn ssh_keygen(args: &[&str]) -> Option<String> {
    let output = Command::new("ssh-keygen").args(args).output().ok()?;
    assert!(output.status.success(), "{output:?}");
    Some(String::from_utf8(output.stdout).unwrap())
}

#[test]
fn both_halves_of_a_key_pair_are_what_openssh_reads() {
    if !is_ours() {
        return;
    }
    let daemon = crate::own_daemon();
    let admin = daemon.openstack();
    let path = daemon.scratch().join("hawser");
    let path = path.to_str().unwrap();
    admin
        .run(&["keypair", "create", "--private-key", path, "hawser"])
        .ok();
    let shown = admin.json(&["keypair", "show", "hawser"]);
    let key = admin
        .run(&["keypair", "show", "--public-key", "hawser"])
        .ok();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
    // Not every machine has OpenSSH; its formats are held by a test beside the code, too.
    if let Some(of_private) = ssh_keygen(&["-y", "-f", path]) {
        let words = |text: &str| text.split(' ').nth(1).unwrap().trim().to_owned();
        assert_eq!(words(&of_private), words(&key));
        let fingerprint = ssh_keygen(&["-l", "-E", "md5", "-f", path]).unwrap();
        let expected = format!("MD5:{}", shown["fingerprint"].as_str().unwrap());
        assert!(fingerprint.contains(&expected), "{fingerprint}");
    }
    let again = admin.run(&["keypair", "create", "hawser"]);
    assert!(again.fails(1).contains("409"), "{}", again.stderr);
    let junk = daemon.scratch().join("junk.pub");
    std::fs::write(&junk, "ssh-rsa JUNK").unwrap();
    let junk = [
        "keypair",
        "create",
        "--public-key",
        junk.to_str().unwrap(),
        "x",
    ];
    assert!(admin.run(&junk).fails(1).contains("400"));
    admin.run(&["keypair", "delete", "hawser"]).ok();
    let gone = admin.run(&["keypair", "show", "hawser"]);
    assert!(gone.fails(1).contains("hawser"), "{}", gone.stderr);
}
