//! Whether every door is shut to whom it must be: every route of every service is tried without a
//! token, by a reader and by somebody of another project.
//!
//! The routes come from the services' own tables, so a new one is tried by itself. One that writes
//! needs an example in [`bodies`] to get past the check of its body; without one this fails.

mod bad_input;
mod bodies;
mod house;
mod things;

use axum::Router;
use http::{Method, StatusCode};

use self::bodies::example;
use self::house::{House, Who};
use crate::front::Front;
use crate::route::Route;
use crate::service::SERVICES;

const METHODS: [Method; 5] = [
    Method::GET,
    Method::POST,
    Method::PUT,
    Method::PATCH,
    Method::DELETE,
];

/// What is refused to everybody, with the reason why a container cannot have it.
const NOBODYS: &[&str] = &[
    "restore",
    "rescue",
    "unrescue",
    "changePassword",
    "resetNetwork",
    "trigger_crash_dump",
    "os-getVNCConsole",
    "os-getSPICEConsole",
    "os-getRDPConsole",
    "os-initialize_connection",
    "os-terminate_connection",
];

/// What everybody may do, whatever their role and wherever they act.
const EVERYBODYS: &[(&str, &str)] = &[
    ("revokeToken", "everybody ends tokens of their own"),
    ("removed", "nobody has what Nova took away"),
    ("createKeyPair", "everybody has key pairs of their own"),
    ("deleteKeyPair", "everybody has key pairs of their own"),
    ("os-show_image_metadata", "it shows"),
    (
        "showQuotaSetDefaults",
        "they are the same for every project",
    ),
];

/// One door: a path of a service with one method.
struct Door {
    method: Method,
    /// With the service's own part, and names in braces.
    path: String,
    operations: Vec<&'static str>,
    is_open: bool,
}

/// Every door of every service.
async fn doors(front: &Front) -> Vec<Door> {
    let mut doors = Vec::new();
    for service in SERVICES {
        for route in (service.routes)() {
            doors.push(door(service.path, route, front).await);
        }
    }
    doors
}

/// The door that a route is: its method is the one that it does not refuse.
async fn door(mounted: &str, route: Route, front: &Front) -> Door {
    let probe: Router = Router::new()
        .route(route.path, route.handler)
        .with_state(front.clone());
    let mut method = None;
    for tried in METHODS {
        let answer = house::send(&probe, &tried, &filled(route.path, |_| None), None, None).await;
        if answer.0 != StatusCode::METHOD_NOT_ALLOWED {
            method.get_or_insert(tried);
        }
    }
    Door {
        method: method.unwrap(),
        path: format!("{mounted}{}", route.path),
        operations: route.operations,
        is_open: route.is_open,
    }
}

/// A path with something in place of each name in braces; what `known` does not know is anything.
fn filled(path: &str, known: impl Fn(&str) -> Option<String>) -> String {
    let mut filled = String::new();
    let mut rest = path;
    while let Some((before, after)) = rest.split_once('{') {
        let (_, after) = after.split_once('}').unwrap();
        filled.push_str(before);
        // Of the collection that stands before it.
        let collection = filled.trim_end_matches('/').to_owned();
        let nobody = || "11111111-2222-4333-8444-555555555555".to_owned();
        filled.push_str(&known(&collection).unwrap_or_else(nobody));
        rest = after;
    }
    filled.push_str(rest);
    filled
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_gets_in_without_a_token() {
    let house = House::new().await;
    for door in doors(&house.front)
        .await
        .iter()
        .filter(|door| !door.is_open)
    {
        let path = filled(&door.path, |_| None);
        for token in [None, Some("gAAAAABnothing")] {
            let answer = house::send(&house.router, &door.method, &path, token, None).await;
            assert_eq!(answer.0, StatusCode::UNAUTHORIZED, "{} {path}", door.method);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_writes_nothing() {
    let house = House::new().await;
    let mut wrong = Vec::new();
    for door in doors(&house.front).await {
        if door.is_open || door.method == Method::GET {
            continue;
        }
        let path = filled(&door.path, |collection| house.known(collection));
        for operation in &door.operations {
            let (status, body) = house
                .ask(Who::Reader, &door.method, &path, example(operation, &path))
                .await;
            // What is not there cannot be refused to a reader.
            let is_gone = status == StatusCode::NOT_FOUND && door.path.contains('{');
            if status != StatusCode::FORBIDDEN && !is_gone && !is_excused(operation) {
                wrong.push(format!(
                    "{operation}: {} {path}: {status} {body}",
                    door.method
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "not refused:\n{}", wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_reaches_another_projects_things() {
    let house = House::new().await;
    let mut wrong = Vec::new();
    for door in doors(&house.front).await {
        let knows = |collection: &str| house.known_to_the_stranger(collection);
        let path = filled(&door.path, knows);
        // A path that leads to nothing but one's own project is no way to others' things.
        let is_own = path == filled(&door.path, |collection| house.away(collection));
        if door.is_open || is_own {
            continue;
        }
        for operation in &door.operations {
            let (status, body) = house
                .ask(
                    Who::Stranger,
                    &door.method,
                    &path,
                    example(operation, &path),
                )
                .await;
            let is_refused = matches!(status, StatusCode::FORBIDDEN | StatusCode::NOT_FOUND);
            if !is_refused && !is_excused(operation) {
                wrong.push(format!(
                    "{operation}: {} {path}: {status} {body}",
                    door.method
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "not refused:\n{}", wrong.join("\n"));
    // Nothing of what was tried did anything.
    assert_eq!(house.things(Who::Owner).await, house.before);
}

fn is_excused(operation: &str) -> bool {
    NOBODYS.contains(&operation) || EVERYBODYS.iter().any(|(known, _)| *known == operation)
}
