//! Quotas: shown, set, held to.

use super::is_ours;

#[test]
fn a_project_gets_no_more_than_its_quota() {
    if !is_ours() {
        return;
    }
    let daemon = crate::own_daemon();
    let admin = daemon.openstack();
    admin.run(&["project", "create", "quota-project"]).ok();
    let role = [
        "role",
        "add",
        "--user",
        "admin",
        "--project",
        "quota-project",
        "member",
    ];
    admin.run(&role).ok();
    let member = admin.clone().with("--os-project-name", "quota-project");

    let set = [
        "quota",
        "set",
        "--routers",
        "1",
        "--server-groups",
        "1",
        "quota-project",
    ];
    admin.run(&set).ok();
    let shown = admin.json(&["quota", "show", "quota-project"]);
    let limit = |name: &str| {
        let mut rows = shown.as_array().unwrap().iter();
        let row = rows.find(|row| row["Resource"] == name).unwrap();
        row["Limit"].as_i64().unwrap()
    };
    assert_eq!((limit("routers"), limit("server-groups")), (1, 1));
    assert_eq!((limit("cores"), limit("networks")), (20, 100));

    member.run(&["router", "create", "first"]).ok();
    let second = member.run(&["router", "create", "second"]);
    assert!(
        second
            .fails(1)
            .contains("Quota exceeded for resources: ['router']"),
        "{}",
        second.stderr
    );
    let group = ["server", "group", "create", "--policy", "affinity"];
    member.run(&[group.as_slice(), &["one"]].concat()).ok();
    let second = member.run(&[group.as_slice(), &["two"]].concat());
    assert!(
        second.fails(1).contains("too many server groups"),
        "{}",
        second.stderr
    );
    member.run(&["server", "group", "delete", "one"]).ok();
    member
        .run(&["server", "group", "create", "--policy", "affinity", "two"])
        .ok();

    let limits = member.json(&["limits", "show", "--absolute"]);
    let used = limits.as_array().unwrap().iter();
    let used: Vec<_> = used
        .filter(|row| row["Name"] == "total_server_groups_used")
        .map(|row| row["Value"].clone())
        .collect();
    assert_eq!(used, [1], "{limits}");

    member.run(&["server", "group", "delete", "two"]).ok();
    member.run(&["router", "delete", "first"]).ok();
    admin.run(&["quota", "delete", "quota-project"]).ok();
    admin.run(&["project", "delete", "quota-project"]).ok();
}
