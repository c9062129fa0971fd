//! Users, projects, roles and tokens.

use serde_json::json;
use tests::openstack::OpenStack;

use super::is_ours;

#[test]
fn the_operator_gets_a_token_from_the_file_that_the_daemon_wrote() {
    if !is_ours() {
        return;
    }
    let daemon = crate::own_daemon();
    let openstack = daemon.openstack();
    let token = openstack.json(&["token", "issue"]);
    assert!(
        token["id"].as_str().unwrap().starts_with("gAAAAA"),
        "{token}"
    );
    let catalogue = openstack.json(&["catalog", "list"]);
    assert!(
        catalogue
            .as_array()
            .unwrap()
            .iter()
            .any(|service| service["Type"] == "identity"),
        "{catalogue}"
    );
    let roles = openstack.json(&["role", "assignment", "list", "--names", "--effective"]);
    let of_admin = |role: &str| {
        roles.as_array().unwrap().iter().any(|one| {
            one["User"] == "admin@Default"
                && one["Project"] == "admin@Default"
                && one["Role"] == role
        })
    };
    assert!(
        of_admin("admin") && of_admin("member") && of_admin("reader"),
        "{roles}"
    );
}

#[test]
fn a_member_acts_in_their_project_until_the_role_is_taken_away() {
    if !is_ours() {
        return;
    }
    let daemon = crate::own_daemon();
    let admin = daemon.openstack();
    let project = admin.json(&["project", "create", "harbour"]);
    admin
        .run(&["user", "create", "--password", "rope", "mate"])
        .ok();
    let mate = admin.user("mate", "rope", "harbour");
    assert!(mate.run(&["token", "issue"]).fails(1).contains("HTTP 401"));
    let grant = ["--user", "mate", "--project", "harbour", "member"];
    admin
        .run(&[&["role", "add"], grant.as_slice()].concat())
        .ok();
    let token = mate.json(&["token", "issue"]);
    assert_eq!(token["project_id"], project["id"]);
    let refused = mate.run(&["user", "create", "stowaway"]);
    assert!(refused.fails(1).contains("403"), "{}", refused.stderr);
    admin
        .run(&[&["role", "remove"], grant.as_slice()].concat())
        .ok();
    assert!(mate.run(&["token", "issue"]).fails(1).contains("HTTP 401"));
    admin.run(&["user", "delete", "mate"]).ok();
    admin.run(&["project", "delete", "harbour"]).ok();
}

#[test]
fn an_application_credential_acts_for_its_user() {
    if !is_ours() {
        return;
    }
    let daemon = crate::own_daemon();
    let admin = daemon.openstack();
    let made = admin.json(&[
        "application",
        "credential",
        "create",
        "--role",
        "reader",
        "lookout",
    ]);
    let text = |field: &str| {
        made[field]
            .as_str()
            .or_else(|| made[field.to_lowercase()].as_str())
            .unwrap()
            .to_owned()
    };
    let url = format!("http://{}/identity/v3", daemon.listen());
    // One word: a secret may begin with a dash.
    let secret = format!("--os-application-credential-secret={}", text("Secret"));
    let lookout = [
        "--os-cloud",
        "",
        "--os-auth-type",
        "v3applicationcredential",
        "--os-auth-url",
        &url,
        "--os-application-credential-id",
        &text("ID"),
        &secret,
    ];
    let token = admin.run(&[lookout.as_slice(), &["token", "issue", "--format", "json"]].concat());
    assert!(token.ok().contains("gAAAAA"));
    let refused = admin.run(&[lookout.as_slice(), &["project", "create", "x"]].concat());
    assert!(refused.fails(1).contains("403"), "{}", refused.stderr);
    admin
        .run(&["application", "credential", "delete", "lookout"])
        .ok();
}

#[test]
fn names_are_told_apart_by_domain_and_taken_once_in_each() {
    if !is_ours() {
        return;
    }
    let daemon = crate::own_daemon();
    let admin = daemon.openstack();
    admin.run(&["domain", "create", "north"]).ok();
    admin
        .run(&["user", "create", "--domain", "north", "admin"])
        .ok();
    let twice = admin.run(&["user", "create", "--domain", "north", "admin"]);
    assert!(
        twice.fails(1).contains("ConflictException: 409"),
        "{}",
        twice.stderr
    );
    let users = admin.json(&["user", "list", "--domain", "north"]);
    assert_eq!(users.as_array().unwrap().len(), 1);
    assert_eq!(users[0]["Name"], json!("admin"));
    let enabled = admin.run(&["domain", "delete", "north"]);
    assert!(
        enabled.fails(1).contains("disable it first"),
        "{}",
        enabled.stderr
    );
    admin.run(&["domain", "set", "--disable", "north"]).ok();
    admin.run(&["domain", "delete", "north"]).ok();
}

#[test]
fn a_key_pair_for_ec2_is_its_users_until_it_is_deleted() {
    if !is_ours() {
        return;
    }
    let daemon = crate::own_daemon();
    let admin = daemon.openstack();
    let made = admin.json(&["ec2", "credentials", "create"]);
    let access = made["access"].as_str().unwrap();
    assert!(!made["secret"].as_str().unwrap().is_empty(), "{made}");
    let shown = admin.json(&["ec2", "credentials", "show", access]);
    assert_eq!(shown["secret"], made["secret"]);
    assert_eq!(shown["project_id"], made["project_id"]);
    let listed = admin.json(&["ec2", "credentials", "list"]);
    let is_listed = |listed: &serde_json::Value| {
        let mut all = listed.as_array().unwrap().iter();
        all.any(|one| one["Access"] == access)
    };
    assert!(is_listed(&listed), "{listed}");
    admin.run(&["ec2", "credentials", "delete", access]).ok();
    let listed = admin.json(&["ec2", "credentials", "list"]);
    assert!(!is_listed(&listed), "{listed}");
}

#[test]
fn a_trust_lends_a_role_until_it_is_taken_back() {
    if !is_ours() {
        return;
    }
    let daemon = crate::own_daemon();
    let admin = daemon.openstack();
    let id_of = |shown: serde_json::Value| shown["id"].as_str().unwrap().to_owned();
    let project = id_of(admin.json(&["project", "create", "convoy"]));
    let user = |name: &str| id_of(admin.json(&["user", "create", "--password", "rope", name]));
    let people = [user("trustor"), user("trustee")];
    let grant = ["--user", "trustor", "--project", "convoy", "member"];
    admin
        .run(&[&["role", "add"], grant.as_slice()].concat())
        .ok();
    let role = id_of(admin.json(&["role", "show", "reader"]));
    // Whoever is no admin names all by identity: the client cannot look others up.
    let trustor = admin.user("trustor", "rope", "convoy");
    let lent = ["--project", &project, "--role", &role, "--impersonate"];
    let made = trustor.json(
        &[
            &["trust", "create"],
            lent.as_slice(),
            &people.each_ref().map(String::as_str),
        ]
        .concat(),
    );
    let id = made["id"].as_str().unwrap();
    let shown = trustor.json(&["trust", "show", id]);
    assert_eq!(shown["roles"][0]["name"], "reader", "{shown}");
    assert_eq!(shown["is_impersonation"], true, "{shown}");

    let directory = tempfile::tempdir().unwrap();
    let cloud = json!({ "clouds": { "longshore": {
        "auth_type": "v3password",
        "identity_api_version": "3",
        "auth": {
            "auth_url": format!("http://{}/identity/v3", daemon.listen()),
            "username": "trustee",
            "user_domain_name": "Default",
            "password": "rope",
            "trust_id": id,
        },
    } } });
    // JSON is YAML.
    std::fs::write(directory.path().join("clouds.yaml"), cloud.to_string()).unwrap();
    let by_trust = OpenStack::operator(directory.path());
    let token = by_trust.json(&["token", "issue"]);
    assert_eq!(token["user_id"], people[0], "{token}");
    assert_eq!(token["project_id"], project, "{token}");
    by_trust.run(&["server", "list"]).ok();
    let refused = by_trust.run(&["volume", "create", "--size", "1", "hold"]);
    assert!(refused.fails(1).contains("403"), "{}", refused.stderr);

    trustor.run(&["trust", "delete", id]).ok();
    assert!(by_trust.run(&["token", "issue"]).fails(1).contains("401"));
    for user in &people {
        admin.run(&["user", "delete", user]).ok();
    }
    admin.run(&["project", "delete", &project]).ok();
}
