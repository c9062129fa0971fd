//! Requests that no client sends: the answer says what is wrong, and nothing is half-made.
//!
//! The status is the one of moby's current release. dockerd 20.10 answers some wrong bodies and
//! queries with 500; that is taken from it alone.

mod archives;
mod at_once;
mod builds;
mod documents;
mod queries;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use serde_json::json;
use tests::api::{Api, Reply};
use tests::daemon::{Daemon, Kind};

/// A daemon with the containers `here`, which never ran, and `up`, which runs; one test at a time.
struct Alone {
    daemon: Arc<Daemon>,
    api: Api,
    before: Vec<String>,
    _turn: MutexGuard<'static, ()>,
}

impl Alone {
    fn new() -> Self {
        static SHARED: Mutex<Weak<Daemon>> = Mutex::new(Weak::new());
        static TURN: Mutex<()> = Mutex::new(());
        let daemon = {
            let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
            shared.upgrade().unwrap_or_else(|| {
                let daemon = Arc::new(crate::own_daemon());
                *shared = Arc::downgrade(&daemon);
                daemon
            })
        };
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let mut api = Api::new(&daemon.socket());
        for name in ["here", "up"] {
            let path = format!("/containers/{name}?force=1");
            api.call("DELETE", &path, None).unwrap();
            let path = format!("/containers/create?name={name}");
            api.expect("POST", &path, Some(&sleeper())).unwrap();
        }
        api.expect("POST", "/containers/up/start", None).unwrap();
        let before = listed(&daemon);
        Self {
            daemon,
            api,
            before,
            _turn: turn,
        }
    }

    /// Sends each request and checks its answer; then that nothing came of any.
    #[track_caller]
    fn refuses(&mut self, requests: &[Refused<'_>]) {
        let mut wrong = Vec::new();
        for request in requests {
            let Refused(method, path, body, status, words) = *request;
            let content_type = if body.is_empty() {
                ""
            } else {
                "application/json"
            };
            let reply = self
                .api
                .raw(method, path, content_type, body.as_bytes())
                .unwrap();
            if !self.is_so(&reply, status, words) {
                wrong.push(format!("{method} {path} {body}: {}", shown(&reply)));
            }
        }
        assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
        self.works();
    }

    /// Whether an answer has this status, and a message with these words in any case.
    fn is_so(&self, reply: &Reply, status: u16, words: &str) -> bool {
        let is_old = self.daemon.kind() == Kind::Dockerd;
        let is_status = reply.status == status || is_old && reply.status == 500;
        is_status && (is_old || shown(reply).to_lowercase().contains(&words.to_lowercase()))
    }

    /// Everything is as it was, and a container runs.
    #[track_caller]
    fn works(&self) {
        assert_eq!(listed(&self.daemon), self.before, "nothing is half-made");
        let docker = self.daemon.docker();
        let answer = docker.run(&["run", "--rm", "busybox", "echo", "works"]);
        assert_eq!(answer.ok(), "works");
        assert_eq!(docker.inspect("up", "{{.State.Running}}"), "true");
    }
}

/// A request that must be refused: method, path, body, status, and words of the message.
#[derive(Clone, Copy)]
struct Refused<'a>(&'a str, &'a str, &'a str, u16, &'a str);

/// A body of `POST /containers/create` for one that runs until it is killed.
fn sleeper() -> serde_json::Value {
    json!({ "Image": "busybox", "Cmd": ["sleep", "3600"] })
}

/// Containers, images, volumes and networks, as the command line lists them.
fn listed(daemon: &Daemon) -> Vec<String> {
    let docker = daemon.docker();
    [
        &["ps", "-aq", "--no-trunc"][..],
        &["images", "-aq", "--no-trunc"],
        &["volume", "ls", "-q"],
        &["network", "ls", "-q", "--no-trunc"],
    ]
    .map(|args| docker.run(args).ok())
    .to_vec()
}

/// Status and body, for a message.
fn shown(reply: &Reply) -> String {
    format!("{} {}", reply.status, String::from_utf8_lossy(&reply.body))
}
