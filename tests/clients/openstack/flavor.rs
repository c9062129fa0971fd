//! Flavors: which there are from the start, and who may use which.

use super::is_ours;

#[test]
fn a_private_flavor_is_seen_by_who_was_let_in() {
    if !is_ours() {
        return;
    }
    let daemon = crate::own_daemon();
    let admin = daemon.openstack();
    let names = |openstack: &tests::openstack::OpenStack| {
        let listed = openstack.json(&["flavor", "list"]);
        let listed = listed.as_array().unwrap().iter();
        let names: Vec<String> = listed
            .map(|one| one["Name"].as_str().unwrap().to_owned())
            .collect();
        names
    };
    assert!(names(&admin).contains(&"m1.tiny".to_owned()));
    admin.run(&["project", "create", "flavor-project"]).ok();
    admin
        .run(&["user", "create", "--password", "rope", "flavor-user"])
        .ok();
    let grant = ["--user", "flavor-user", "--project", "flavor-project"];
    admin
        .run(&[&["role", "add", "member"], grant.as_slice()].concat())
        .ok();
    let user = admin.user("flavor-user", "rope", "flavor-project");

    let create = [
        "flavor",
        "create",
        "--private",
        "--ram",
        "64",
        "--disk",
        "1",
    ];
    let property = ["--property", "hw:cpu_policy=shared", "m1.private"];
    let made = admin.json(&[create.as_slice(), &property].concat());
    assert_eq!(made["ram"], 64);
    assert_eq!(made["properties"]["hw:cpu_policy"], "shared");
    assert!(!names(&user).contains(&"m1.private".to_owned()));
    let let_in = ["flavor", "set", "m1.private", "--project", "flavor-project"];
    admin.run(&let_in).ok();
    assert!(names(&user).contains(&"m1.private".to_owned()));

    let again = ["flavor", "create", "--ram", "64", "m1.private"];
    assert!(admin.run(&again).fails(1).contains("already exists"));
    let refused = user.run(&["flavor", "create", "--ram", "64", "m1.mine"]);
    assert!(refused.fails(1).contains("403"), "{}", refused.stderr);
    admin.run(&["flavor", "delete", "m1.private"]).ok();
    assert!(!names(&user).contains(&"m1.private".to_owned()));
    admin.run(&["user", "delete", "flavor-user"]).ok();
    admin.run(&["project", "delete", "flavor-project"]).ok();
}
