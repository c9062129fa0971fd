//! Who may what: users of projects, application credentials, nobody; and that it ends with the user.

use serde_json::json;
use tests::api::Api;
use tests::distribution::{Registry, code};

use super::registry;

/// The status of a list of tags.
fn pulls(registry: &Registry, repository: &str) -> u16 {
    let mut api = registry
        .api(&format!("repository:{repository}:pull"))
        .unwrap();
    let path = format!("/v2/{repository}/tags/list");
    api.call("GET", &path, None).unwrap().status
}

/// The status of a push of a small blob.
fn pushes(registry: &Registry, repository: &str) -> u16 {
    let mut api = registry
        .api(&format!("repository:{repository}:pull,push"))
        .unwrap();
    let path = format!("/v2/{repository}/blobs/uploads/");
    api.call("POST", &path, None).unwrap().status
}

#[test]
fn readers_pull_members_push_and_others_learn_nothing() {
    let Some((daemon, operator)) = registry() else {
        return;
    };
    let openstack = daemon.openstack();
    openstack.run(&["project", "create", "dock"]).ok();
    for (user, role) in [("r-reader", "reader"), ("r-member", "member")] {
        openstack
            .run(&["user", "create", "--password", "pw", user])
            .ok();
        openstack
            .run(&["role", "add", "--project", "dock", "--user", user, role])
            .ok();
    }
    let nobody = Registry::new(daemon.listen());
    let (reader, member) = (nobody.user("r-reader", "pw"), nobody.user("r-member", "pw"));
    member.push_blob("dock/app", b"cargo").unwrap();

    assert_eq!(pulls(&reader, "dock/app"), 200);
    assert_eq!(pulls(&nobody, "dock/app"), 401);
    assert_eq!(pushes(&reader, "dock/app"), 403);
    assert_eq!(pushes(&nobody, "dock/app"), 401);
    assert_eq!(pushes(&member, "dock/other"), 202);
    // Whether somebody else's project or repository is there is not told.
    for repository in ["admin/app", "no-such/app"] {
        assert_eq!(pulls(&member, repository), 403, "{repository}");
    }
    assert_eq!(
        pushes(&operator, "dock/app"),
        202,
        "an admin may everything"
    );
    assert_eq!(
        nobody.user("r-member", "wrong").token("").unwrap().status,
        401
    );
    assert_eq!(nobody.user("nobody", "pw").token("").unwrap().status, 401);

    // A public repository is everybody's to pull from, and nobody's to push to.
    let visibility = "/v2/dock/app/_longshore/visibility";
    let mut api = reader.api("repository:dock/app:pull,push").unwrap();
    let public = json!({ "visibility": "public" });
    assert_eq!(
        api.call("PUT", visibility, Some(&public)).unwrap().status,
        403
    );
    let mut api = member.api("repository:dock/app:pull,push").unwrap();
    assert_eq!(
        api.call("PUT", visibility, Some(&public)).unwrap().status,
        200
    );
    assert_eq!(pulls(&nobody, "dock/app"), 200);
    let bare = Api::tcp(daemon.listen()).call("GET", "/v2/dock/app/tags/list", None);
    assert_eq!(bare.unwrap().status, 200, "without a token, too");
    assert_eq!(pushes(&nobody, "dock/app"), 401);
    assert_eq!(
        api.call("GET", visibility, None).unwrap().json().unwrap(),
        public
    );

    // The catalogue shows what its reader may pull.
    let mut api = reader.api("registry:catalog:*").unwrap();
    let listed = api
        .call("GET", "/v2/_catalog", None)
        .unwrap()
        .json()
        .unwrap();
    assert_eq!(listed["repositories"], json!(["dock/app"]));

    // So does the search, which nobody may ask as well.
    let search = |registry: &Registry, text: &str| {
        let mut api = registry.api("registry:catalog:*").unwrap();
        assert_eq!(api.call("GET", "/v1/_ping", None).unwrap().status, 200);
        let path = format!("/v1/search?q={text}&n=5");
        let found = api.call("GET", &path, None).unwrap().json().unwrap();
        let names = found["results"].as_array().unwrap().iter();
        names
            .map(|found| found["name"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(search(&reader, "ap"), ["dock/app"]);
    assert_eq!(search(&nobody, "dock"), ["dock/app"]);
    assert!(search(&nobody, "once").is_empty());

    // A token is for what it was asked for, and worth nothing once its user is not.
    let mut api = member.api("repository:dock/app:pull").unwrap();
    let short = api
        .call("POST", "/v2/dock/app/blobs/uploads/", None)
        .unwrap();
    assert_eq!((short.status, code(&short).as_str()), (401, "UNAUTHORIZED"));
    let challenge = short.header("www-authenticate").unwrap();
    assert!(
        challenge.contains("scope=\"repository:dock/app:pull,push\""),
        "{challenge}"
    );
    assert!(
        challenge.contains("error=\"insufficient_scope\""),
        "{challenge}"
    );
    let mut push = member.api("repository:dock/app:pull,push").unwrap();
    openstack
        .run(&[
            "role",
            "remove",
            "--project",
            "dock",
            "--user",
            "r-member",
            "member",
        ])
        .ok();
    let refused = push
        .call("POST", "/v2/dock/app/blobs/uploads/", None)
        .unwrap();
    assert_eq!((refused.status, code(&refused).as_str()), (403, "DENIED"));
    openstack
        .run(&["user", "set", "--disable", "r-member"])
        .ok();
    let refused = push.call("GET", "/v2/", None).unwrap();
    assert_eq!(
        (refused.status, code(&refused).as_str()),
        (401, "UNAUTHORIZED")
    );
}

#[test]
fn an_application_credential_acts_in_its_project() {
    let Some((daemon, _)) = registry() else {
        return;
    };
    let made = daemon.openstack().json(&[
        "application",
        "credential",
        "create",
        "--role",
        "reader",
        "for-registry",
    ]);
    // How the command line spells its columns has changed before.
    let text = |name: &str| {
        let fields = made.as_object().unwrap();
        let found = fields.iter().find(|(key, _)| key.to_lowercase() == name);
        found.unwrap().1.as_str().unwrap().to_owned()
    };
    let credential = Registry::new(daemon.listen()).user(&text("id"), &text("secret"));
    assert_eq!(pulls(&credential, "admin/none"), 404);
    assert_eq!(pushes(&credential, "admin/none"), 403);
    assert_eq!(pulls(&credential, "service/none"), 403);
    daemon
        .openstack()
        .run(&["application", "credential", "delete", "for-registry"])
        .ok();
    assert_eq!(credential.token("").unwrap().status, 401);
}

#[test]
fn a_form_gets_a_token_as_oauth_has_it() {
    let Some((daemon, _)) = registry() else {
        return;
    };
    let mut api = Api::tcp(daemon.listen());
    let kind = "application/x-www-form-urlencoded";
    for (form, status, error) in [
        (
            "grant_type=password&username=admin&password=wrong",
            400,
            "invalid_grant",
        ),
        (
            "grant_type=refresh_token&refresh_token=x",
            400,
            "unsupported_grant_type",
        ),
        ("grant_type=password&username=admin", 400, "invalid_request"),
        ("", 400, "invalid_request"),
    ] {
        let reply = api.raw("POST", "/v2/token", kind, form.as_bytes()).unwrap();
        assert_eq!(reply.status, status, "{form}");
        assert_eq!(reply.json().unwrap()["error"], error, "{form}");
    }
}
