//! `docker search`: our own registry by itself or by its name, as the operator, as nobody and as a user.

use serde_json::json;

use tests::daemon::{Daemon, Kind};

#[test]
fn a_search_finds_what_who_asks_may_pull() {
    if Kind::wanted() == Kind::Dockerd {
        // It has no registry.
        return;
    }
    // Of its own: what it makes public, everybody's catalogue shows.
    let daemon = Daemon::start().unwrap();
    let registry = daemon.registry().unwrap();
    let docker = daemon.docker();
    for repository in ["admin/sought-closed", "admin/sought-open"] {
        registry.push_blob(repository, b"sought").unwrap();
    }
    let mut api = registry
        .api("repository:admin/sought-open:pull,push")
        .unwrap();
    let public = json!({ "visibility": "public" });
    let path = "/v2/admin/sought-open/_longshore/visibility";
    api.expect("PUT", path, Some(&public)).unwrap();
    let found = |args: &[&str]| {
        let search = ["search", "--format", "{{.Name}} {{.Description}}"];
        let told = docker.run(&[&search, args].concat()).ok();
        told.lines()
            .map(|line| line.trim_end().to_owned())
            .collect::<Vec<_>>()
    };
    let (closed, open) = ("admin/sought-closed", "admin/sought-open public");
    let own = daemon.listen();

    // The socket is the operator's, and is told names that can be pulled.
    let all = [format!("{own}/{closed}"), format!("{own}/{open}")];
    assert_eq!(found(&["sought"]), all);
    assert_eq!(found(&["--limit", "1", "sought"]), all[..1]);
    for filter in ["is-official=true", "stars=1", "is-automated=true"] {
        assert!(
            found(&["--filter", filter, "sought"]).is_empty(),
            "{filter}"
        );
    }
    assert_eq!(found(&["--filter", "is-official=false", "sought"]), all);
    let refused = docker.run(&["search", "--limit", "101", "sought"]);
    assert!(
        refused.fails(1).contains("outside the range"),
        "{refused:?}"
    );

    // By its name it is a registry as others are.
    let named = format!("{own}/sought");
    assert_eq!(found(&[&named]), [open]);
    let login = ["login", "-u", "admin", "--password-stdin", own];
    let password = daemon.operator_password().unwrap();
    let home = tempfile::tempdir().unwrap();
    let somebody = tests::docker::Docker::new(&daemon.socket(), home.path());
    somebody.run_with_input(&login, password.as_bytes()).ok();
    let told = somebody.run(&["search", "--format", "{{.Name}}", &named]);
    assert_eq!(told.ok(), "admin/sought-closed\nadmin/sought-open");
}
