//! JSON that is none, of the wrong shape, of the wrong content type, or too large.

use tests::daemon::Kind;

use super::{Alone, Refused, shown};

#[test]
fn a_wrong_body_of_create_names_the_field() {
    let mut alone = Alone::new();
    let create = |body, words| Refused("POST", "/containers/create?name=bad", body, 400, words);
    alone.refuses(&[
        create("{", "unexpected EOF"),
        create("[]", "array"),
        create("7", "number"),
        create("null", "config cannot be empty"),
        create("{}", "config cannot be empty"),
        create(" ", "EOF"),
        create("nonsense", "invalid JSON"),
        create(r#"{"Image":7}"#, "Image of type string"),
        create(r#"{"Image":"busybox","Cmd":{"a":1}}"#, "Cmd of type"),
        create(r#"{"Image":"busybox","Env":"A=1"}"#, "Env of type []string"),
        create(
            r#"{"Image":"busybox","Labels":["a"]}"#,
            "array into Go struct field",
        ),
        create(r#"{"Image":"busybox","Labels":{"a":1}}"#, "of type string"),
        create(
            r#"{"Image":"busybox","HostConfig":[]}"#,
            "HostConfig of type",
        ),
        create(
            r#"{"Image":"busybox","HostConfig":{"Memory":"64m"}}"#,
            "HostConfig.Memory of type int64",
        ),
        create(
            r#"{"Image":"busybox","HostConfig":{"Memory":99999999999999999999}}"#,
            "HostConfig.Memory of type int64",
        ),
        create(
            r#"{"Image":"busybox","HostConfig":{"Memory":-1}}"#,
            "Minimum memory limit allowed is 6MB",
        ),
        create(
            r#"{"Image":"busybox","HostConfig":{"Privileged":"yes"}}"#,
            "HostConfig.Privileged of type bool",
        ),
        create(
            r#"{"Image":"busybox","HostConfig":{"Binds":{}}}"#,
            "HostConfig.Binds of type []string",
        ),
        create(
            r#"{"Image":"busybox","HostConfig":{"PortBindings":[]}}"#,
            "HostConfig.PortBindings of type",
        ),
        create(
            r#"{"Image":"busybox","HostConfig":{"RestartPolicy":"always"}}"#,
            "HostConfig.RestartPolicy of type",
        ),
        create(
            r#"{"Image":"busybox","HostConfig":{"RestartPolicy":{"Name":"sometimes"}}}"#,
            "invalid restart policy",
        ),
        create(
            r#"{"Image":"busybox","HostConfig":{"LogConfig":{"Type":"nosuch"}}}"#,
            "nosuch",
        ),
        create(
            r#"{"Image":"busybox","StopSignal":"NOSUCH"}"#,
            "invalid signal: NOSUCH",
        ),
        create(r#"{"Image":"UPPER"}"#, "must be lowercase"),
        Refused(
            "POST",
            "/containers/create?name=bad",
            r#"{"Image":"busybox:nosuch"}"#,
            404,
            "No such image: busybox:nosuch",
        ),
    ]);
}

#[test]
fn wrong_bodies_of_other_operations_name_the_field() {
    let mut alone = Alone::new();
    let post = |path, body, words| Refused("POST", path, body, 400, words);
    alone.refuses(&[
        post("/containers/up/exec", "{", "unexpected EOF"),
        post("/containers/up/exec", "[]", "array"),
        post("/containers/up/exec", "{}", "No exec command specified"),
        post(
            "/containers/up/exec",
            r#"{"Cmd":"true"}"#,
            "Cmd of type []string",
        ),
        post(
            "/containers/up/exec",
            r#"{"Cmd":["true"],"Tty":"yes"}"#,
            "Tty of type bool",
        ),
        post("/containers/up/update", "{", "unexpected EOF"),
        post(
            "/containers/up/update",
            r#"{"Memory":"x"}"#,
            "Memory of type int64",
        ),
        post("/containers/up/update", r#"{"Memory":1}"#, "6MB"),
        post(
            "/containers/here/start",
            r#"{"Image":"x"}"#,
            "non-empty request body",
        ),
        post("/volumes/create", "{", "unexpected EOF"),
        post("/volumes/create", "[]", "array"),
        post("/volumes/create", r#"{"Name":7}"#, "Name of type string"),
        post(
            "/volumes/create",
            r#"{"Name":"../x"}"#,
            "invalid characters",
        ),
        post(
            "/volumes/create",
            r#"{"Name":"bad","DriverOpts":[]}"#,
            "DriverOpts of type",
        ),
        post(
            "/volumes/create",
            r#"{"Name":"bad","Labels":{"a":1}}"#,
            "of type string",
        ),
        post("/networks/create", "{", "unexpected EOF"),
        post("/networks/create", r#"{"Name":7}"#, "Name of type string"),
        post("/networks/create", r#"{"Name":""}"#, "invalid name"),
        post(
            "/networks/create",
            r#"{"Name":"bad","IPAM":[]}"#,
            "IPAM of type",
        ),
        post(
            "/networks/create",
            r#"{"Name":"bad","Internal":"x"}"#,
            "Internal of type bool",
        ),
        post(
            "/networks/create",
            r#"{"Name":"bad","IPAM":{"Config":[{"Subnet":"10.99.0.0/33"}]}}"#,
            "invalid subnet 10.99.0.0/33",
        ),
        post(
            "/networks/bridge/connect",
            r#"{"Container":7}"#,
            "Container of type string",
        ),
        Refused(
            "POST",
            "/networks/bridge/connect",
            r#"{"Container":"nosuch"}"#,
            404,
            "nosuch",
        ),
        Refused(
            "POST",
            "/containers/here/exec",
            r#"{"Cmd":["true"]}"#,
            409,
            "is not running",
        ),
        Refused(
            "POST",
            "/containers/nosuch/exec",
            r#"{"Cmd":["true"]}"#,
            404,
            "nosuch",
        ),
        Refused(
            "POST",
            "/exec/nosuch/start",
            "{}",
            404,
            "No such exec instance",
        ),
    ]);
    let name = format!(r#"{{"Name":"{}"}}"#, "x".repeat(300));
    alone.refuses(&[post("/volumes/create", &name, "too long")]);
}

#[test]
fn unknown_fields_do_not_matter() {
    let mut alone = Alone::new();
    let body = br#"{"Image":"busybox","Nosuch":{"a":[1]},"HostConfig":{"Nosuch":7}}"#;
    let json = "application/json; charset=utf-8";
    let reply = alone
        .api
        .raw("POST", "/containers/create?name=bad", json, body)
        .unwrap();
    assert_eq!(reply.status, 201, "{}", shown(&reply));
    alone.api.expect("DELETE", "/containers/bad", None).unwrap();
    alone.works();
}

#[test]
fn a_body_must_say_that_it_is_json_and_be_of_a_sane_size() {
    let mut alone = Alone::new();
    let body = br#"{"Image":"busybox"}"#;
    for content_type in ["text/plain", "application/jsonx", ";;"] {
        let reply = alone
            .api
            .raw("POST", "/containers/create?name=bad", content_type, body)
            .unwrap();
        assert!(
            alone.is_so(&reply, 400, "must be 'application/json'"),
            "{content_type}: {}",
            shown(&reply)
        );
    }
    if alone.daemon.kind() == Kind::Longshore {
        // dockerd reads any amount.
        let mut huge = br#"{"Image":""#.to_vec();
        huge.resize(64 * 1024 * 1024, b'x');
        let reply = alone
            .api
            .raw(
                "POST",
                "/containers/create?name=bad",
                "application/json",
                &huge,
            )
            .unwrap();
        assert!(alone.is_so(&reply, 413, "larger than"), "{}", shown(&reply));
    }
    alone.works();
}
