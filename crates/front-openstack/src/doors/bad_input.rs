//! Whether what makes no sense is refused, and breaks nothing: each part of a good body in turn is
//! left out, doubled in meaning, or something that no client sends; each query is asked so.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::bodies::{FULL, example};
use super::house::{House, Who};
use super::{Door, doors, filled};

/// What may stand in the place of any value.
fn nonsense() -> Vec<Value> {
    let deep = (0..100).fold(json!(0), |inner, _| json!([inner]));
    vec![
        json!(null),
        json!(true),
        json!(-1),
        json!(0),
        json!(1.5),
        json!(1e308),
        json!(u64::MAX),
        json!(""),
        json!("x".repeat(70_000)),
        json!("\u{0}"),
        json!("../../\u{202e}%00"),
        json!([]),
        json!([null]),
        json!({}),
        json!({ "": { "x": null } }),
        deep,
    ]
}

/// Query strings of which no service understands much.
const QUERIES: &[&str] = &[
    "limit=-1",
    "limit=0",
    "limit=99999999999999999999",
    "limit=x&limit=1",
    "marker=nobody",
    "marker=",
    "sort_key=__class__&sort_dir=sideways",
    "sort=name:sideways,:asc",
    "sort_keys=%00&sort_dirs=x",
    "fields=%ff&fields=",
    "page_reverse=maybe",
    "name=%00%ff",
    "name=in:%22",
    "id=%F0%9F%A6%80",
    "changes-since=yesterday",
    "created_at=gt:never",
    "size_min=x&size_max=-1",
    "all_tenants=2&deleted=maybe&ip=(&ip6=[",
    "status=__&host=&metadata={'a'",
    "&&==&=x&%",
];

/// All paths to a value within a document, the document's own first.
fn places(document: &Value, at: &str, found: &mut Vec<String>) {
    found.push(at.to_owned());
    let below: Vec<(String, &Value)> = match document {
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| (name.replace('~', "~0").replace('/', "~1"), value))
            .collect(),
        Value::Array(values) => (0..)
            .map(|index: usize| index.to_string())
            .zip(values)
            .collect(),
        _ => Vec::new(),
    };
    for (name, value) in below {
        places(value, &format!("{at}/{name}"), found);
    }
}

/// The document with one part changed at a time.
fn changed(document: &Value) -> Vec<Value> {
    let mut places_of = Vec::new();
    places(document, "", &mut places_of);
    let mut all = Vec::new();
    for place in &places_of {
        for value in nonsense() {
            let mut one = document.clone();
            *one.pointer_mut(place).unwrap() = value;
            all.push(one);
        }
        let mut one = document.clone();
        match one.pointer_mut(place).unwrap() {
            Value::Object(fields) => {
                fields.insert("no_such_field".to_owned(), json!({ "x": 1 }));
            }
            Value::Array(values) => values.extend(values.clone()),
            _ => continue,
        }
        all.push(one);
        if let Some(Value::Object(fields)) = document.pointer(place) {
            for name in fields.keys() {
                let mut one = document.clone();
                let fields = one.pointer_mut(place).and_then(Value::as_object_mut);
                fields.unwrap().remove(name);
                all.push(one);
            }
        }
    }
    all
}

/// Asked by who may do most, and in the project that has the things.
fn by_both<T>(asked: &T) -> [(&T, Who); 2] {
    [(asked, Who::Admin), (asked, Who::Owner)]
}

/// What is wrong with an answer, if anything is.
fn fault(door: &Door, status: StatusCode, body: &Value) -> Option<&'static str> {
    if status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED {
        return Some("it broke");
    }
    // Glance's clients take whatever text there is.
    if status.is_success() || !status.is_client_error() || door.path.starts_with("/image") {
        return None;
    }
    let envelope = body.as_object().and_then(|outer| outer.values().next());
    let message = envelope.and_then(|inner| inner.get("message"));
    let is_clear = message
        .and_then(Value::as_str)
        .is_some_and(|text| !text.is_empty());
    (!is_clear).then_some("it does not say why")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_makes_no_sense_in_a_body_is_refused_and_breaks_nothing() {
    let house = House::new().await;
    let mut wrong = Vec::new();
    for door in doors(&house.front).await {
        let path = filled(&door.path, |collection| house.known(collection));
        for operation in &door.operations {
            let full = FULL.iter().filter(|(name, _)| name == operation);
            let full = full.map(|(_, body)| serde_json::from_str(body).unwrap());
            for good in example(operation, &path).into_iter().chain(full) {
                for (bad, who) in changed(&good).iter().flat_map(by_both) {
                    let asked = house.ask(who, &door.method, &path, Some(bad.clone()));
                    let (status, body) = asked.await;
                    if let Some(fault) = fault(&door, status, &body) {
                        let mut sent = bad.to_string();
                        sent.truncate(300);
                        wrong.push(format!("{operation}: {fault}: {status} {body}: {sent}"));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
    // What was taken is shown, too.
    house.things(Who::Owner).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_makes_no_sense_in_a_query_breaks_nothing() {
    let house = House::new().await;
    let mut wrong = Vec::new();
    for door in doors(&house.front).await {
        if door.method != Method::GET {
            continue;
        }
        let path = filled(&door.path, |collection| house.known(collection));
        for (query, who) in QUERIES.iter().flat_map(by_both) {
            let path = format!("{path}?{query}");
            let (status, body) = house.ask(who, &door.method, &path, None).await;
            if let Some(fault) = fault(&door, status, &body) {
                wrong.push(format!("{path}: {fault}: {status} {body}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
}
