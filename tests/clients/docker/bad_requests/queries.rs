//! Paths, versions, names, numbers and filters that mean nothing.

use super::{Alone, Refused};

#[test]
fn unknown_paths_methods_and_versions_are_refused() {
    let mut alone = Alone::new();
    let not_found = |method, path| Refused(method, path, "", 404, "page not found");
    alone.refuses(&[
        not_found("GET", "/nosuch"),
        not_found("GET", "/v1.41/nosuch"),
        not_found("GET", "/"),
        not_found("GET", "/v1.41"),
        not_found("GET", "/containers"),
        not_found("GET", "/containers/here/nosuch"),
        not_found("POST", "/containers/json"),
        not_found("PUT", "/containers/create"),
        not_found("PATCH", "/containers/here/json"),
        Refused(
            "GET",
            "/v1.10/containers/json",
            "",
            400,
            "client version 1.10 is too old",
        ),
        Refused(
            "GET",
            "/v9.99/containers/json",
            "",
            400,
            "client version 9.99 is too new",
        ),
    ]);
}

#[test]
fn names_are_checked_and_unknown_ones_are_named() {
    let mut alone = Alone::new();
    let body = r#"{"Image":"busybox"}"#;
    let create = |path, status, words| Refused("POST", path, body, status, words);
    let missing = |method, path, words| Refused(method, path, "", 404, words);
    let allowed = "only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed";
    alone.refuses(&[
        create("/containers/create?name=b%20d", 400, allowed),
        create("/containers/create?name=b%2Fd", 400, allowed),
        create("/containers/create?name=..", 400, allowed),
        create("/containers/create?name=-x", 400, allowed),
        create("/containers/create?name=%00x", 400, allowed),
        create("/containers/create?name=%FF", 400, allowed),
        create(
            "/containers/create?name=here",
            409,
            "is already in use by container",
        ),
        create(
            "/containers/create?name=/here",
            409,
            "is already in use by container",
        ),
        Refused(
            "POST",
            "/containers/here/rename?name=up",
            "",
            409,
            "is already in use",
        ),
        Refused(
            "POST",
            "/containers/here/rename?name=b%20d",
            "",
            400,
            allowed,
        ),
        Refused(
            "POST",
            "/containers/here/rename?name=",
            "",
            400,
            "may be empty",
        ),
        Refused(
            "DELETE",
            "/containers/up",
            "",
            409,
            "stop the container before",
        ),
        Refused(
            "POST",
            "/images/busybox/tag?repo=UPPER",
            "",
            400,
            "must be lowercase",
        ),
        Refused("DELETE", "/networks/bridge", "", 403, "pre-defined network"),
        missing(
            "GET",
            "/containers/nosuch/json",
            "No such container: nosuch",
        ),
        missing(
            "POST",
            "/containers/nosuch/attach?stream=1",
            "No such container: nosuch",
        ),
        missing("DELETE", "/containers/nosuch", "No such container: nosuch"),
        missing(
            "GET",
            "/containers/nosuch/stats?stream=0",
            "No such container: nosuch",
        ),
        missing(
            "GET",
            "/containers/nosuch/export",
            "No such container: nosuch",
        ),
        missing("GET", "/exec/nosuch/json", "No such exec instance"),
        missing("GET", "/images/nosuch/json", "No such image: nosuch"),
        missing("GET", "/images/get?names=nosuch", "No such image: nosuch"),
        missing("DELETE", "/images/nosuch", "No such image: nosuch"),
        missing("POST", "/images/nosuch/tag?repo=x", "No such image: nosuch"),
        missing("GET", "/volumes/nosuch", "no such volume"),
        missing("GET", "/networks/nosuch", "network nosuch not found"),
    ]);
}

#[test]
fn numbers_are_read_whole() {
    let mut alone = Alone::new();
    let post = |path, words| Refused("POST", path, "", 400, words);
    let get = |path, words| Refused("GET", path, "", 400, words);
    alone.refuses(&[
        get("/containers/json?limit=x", "parsing \\\"x\\\""),
        get(
            "/containers/json?limit=99999999999999999999",
            "99999999999999999999",
        ),
        get(
            "/containers/here/logs",
            "you must choose at least one stream",
        ),
        get("/containers/here/logs?stdout=1&since=abc", "abc"),
        get("/events?since=2&until=abc", "abc"),
        post("/containers/up/stop?t=abc", "parsing \\\"abc\\\""),
        post(
            "/containers/up/stop?t=99999999999999999999",
            "99999999999999999999",
        ),
        post("/containers/up/restart?t=abc", "parsing \\\"abc\\\""),
        post(
            "/containers/up/kill?signal=NOSUCH",
            "invalid signal: NOSUCH",
        ),
        post("/containers/up/kill?signal=99", "signal"),
        post("/containers/up/resize?h=abc&w=80", "invalid syntax"),
        post("/containers/up/resize", "invalid syntax"),
        Refused(
            "POST",
            "/containers/here/resize?h=10&w=80",
            "",
            409,
            "is not running",
        ),
        Refused("POST", "/containers/here/kill", "", 409, "is not running"),
        Refused("POST", "/containers/here/pause", "", 409, "is not running"),
        Refused("GET", "/containers/here/top", "", 409, "is not running"),
    ]);
    // What is no count of lines means all of them.
    for tail in ["-5", "abc", "99999999999999999999"] {
        let path = format!("/containers/here/logs?stdout=1&tail={tail}");
        alone.api.expect("GET", &path, None).unwrap();
    }
    alone.works();
}

#[test]
fn filters_are_checked() {
    let mut alone = Alone::new();
    let get = |path, words| Refused("GET", path, "", 400, words);
    let post = |path, words| Refused("POST", path, "", 400, words);
    alone.refuses(&[
        get("/containers/json?filters=%7B", "invalid filter"),
        get("/containers/json?filters=x", "invalid filter"),
        get("/containers/json?filters=%5B%5D", "invalid filter"),
        get(
            "/containers/json?filters=%7B%22name%22%3A7%7D",
            "invalid filter",
        ),
        get(
            "/containers/json?filters=%7B%22nosuch%22%3A%5B%22a%22%5D%7D",
            "invalid filter 'nosuch'",
        ),
        get(
            "/containers/json?filters=%7B%22status%22%3A%5B%22nosuch%22%5D%7D",
            "nosuch",
        ),
        get(
            "/containers/json?filters=%7B%22exited%22%3A%5B%22x%22%5D%7D",
            "parsing \\\"x\\\"",
        ),
        get("/images/json?filters=%7B", "invalid filter"),
        get(
            "/images/json?filters=%7B%22dangling%22%3A%5B%22x%22%5D%7D",
            "invalid filter 'dangling=[x]'",
        ),
        get("/volumes?filters=%7B", "filter"),
        get("/networks?filters=%7B", "invalid filter"),
        get("/events?until=1&filters=%7B", "invalid filter"),
        post("/containers/prune?filters=%7B", "invalid filter"),
        post("/images/prune?filters=%7B", "invalid filter"),
        post("/volumes/prune?filters=%7B", "invalid filter"),
        post("/networks/prune?filters=%7B", "invalid filter"),
    ]);
}
