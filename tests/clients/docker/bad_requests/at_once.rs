//! The same request from many at once: one is granted, the others are told.

use std::sync::Barrier;

use tests::api::Api;
use tests::daemon::Daemon;

use super::{Alone, sleeper};

/// Sends one request from each of `count` connections at once. Answers the statuses, sorted.
fn at_once<'a>(
    daemon: &Daemon,
    count: usize,
    request: impl Fn(usize) -> (&'a str, String) + Sync,
) -> Vec<u16> {
    let barrier = Barrier::new(count);
    let mut statuses: Vec<u16> = std::thread::scope(|scope| {
        let callers: Vec<_> = (0..count)
            .map(|number| {
                let (barrier, request) = (&barrier, &request);
                scope.spawn(move || {
                    let mut api = Api::new(&daemon.socket());
                    let (method, path) = request(number);
                    let body = path.contains("create").then(sleeper);
                    barrier.wait();
                    api.call(method, &path, body.as_ref()).unwrap().status
                })
            })
            .collect();
        callers
            .into_iter()
            .map(|caller| caller.join().unwrap())
            .collect()
    });
    statuses.sort_unstable();
    statuses
}

#[test]
fn one_of_many_creates_starts_and_removes_is_granted() {
    let alone = Alone::new();
    let daemon = &alone.daemon;
    let statuses = at_once(daemon, 8, |_| {
        ("POST", "/containers/create?name=same".to_owned())
    });
    assert_eq!(statuses, [201, 409, 409, 409, 409, 409, 409, 409]);
    let statuses = at_once(daemon, 4, |_| ("POST", "/containers/same/start".to_owned()));
    assert_eq!(statuses, [204, 304, 304, 304]);
    assert_eq!(
        daemon
            .docker()
            .inspect("same", "{{.RestartCount}} {{.State.Running}}"),
        "0 true"
    );
    let statuses = at_once(daemon, 4, |_| {
        ("DELETE", "/containers/same?force=1".to_owned())
    });
    assert_eq!(statuses.first(), Some(&204));
    assert!(
        statuses
            .iter()
            .all(|status| [204, 404, 409].contains(status)),
        "{statuses:?}"
    );
    alone.works();
}

#[test]
fn a_start_and_a_removal_at_once_both_end() {
    let mut alone = Alone::new();
    for _ in 0..8 {
        alone
            .api
            .expect("POST", "/containers/create?name=same", Some(&sleeper()))
            .unwrap();
        let statuses = at_once(&alone.daemon, 2, |number| match number {
            0 => ("POST", "/containers/same/start".to_owned()),
            _ => ("DELETE", "/containers/same?force=1".to_owned()),
        });
        assert_eq!(statuses.first(), Some(&204), "it is removed");
        assert!([204, 404, 409].contains(&statuses[1]), "{statuses:?}");
        let gone = alone
            .api
            .call("GET", "/containers/same/json", None)
            .unwrap();
        assert_eq!(gone.status, 404);
    }
    alone.works();
}
