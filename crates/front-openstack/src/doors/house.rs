//! A whole cloud over the simulated engine, with a project that has one of everything, and its people.

use std::collections::BTreeMap;
use std::sync::Arc;

use actions::Cloud;
use agent::{Agent, Announcement};
use axum::Router;
use axum::body::Body;
use controllers::{Controllers, Strategy};
use engine::simulated::Simulated;
use http::{Method, Request, StatusCode, header};
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;
use local::ThisNode;
use model::Id;
use model::node::NodeSpec;
use serde_json::{Value, json};

use super::things::{SNAPSHOTS, THINGS, VOLUMES};
use crate::Settings;
use crate::front::Front;

/// The password of everybody.
const PASSWORD: &str = "rope";

/// What Nova's newer shapes do not have.
const ENDED: [&str; 6] = [
    "/compute/v2.1/os-snapshots",
    "/compute/v2.1/os-volumes",
    "/compute/v2.1/os-floating-ip",
    "/compute/v2.1/os-security-group",
    "/compute/v2.1/os-networks",
    "/compute/v2.1/os-tenant-networks",
];

/// Paths of the service of volumes go on with the project.
const VOLUMES_OF: &str = "/volume/v3";

/// Somebody who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Who {
    /// Runs the installation.
    Admin,
    /// Member of the project with one of everything.
    Owner,
    /// Reader in it.
    Reader,
    /// Member of another project.
    Stranger,
}

pub(super) struct House {
    pub(super) front: Front,
    pub(super) router: Router,
    /// What the owner's lists held when everything had been made.
    pub(super) before: Vec<Value>,
    tokens: BTreeMap<Who, String>,
    /// Identities of things, by their collections' paths.
    known: BTreeMap<String, String>,
    /// The project of the stranger.
    away: String,
    _directory: tempfile::TempDir,
    _agent: Agent,
    _controllers: Controllers,
}

impl House {
    pub(super) async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let images = image::Store::open(&directory.path().join("images")).unwrap();
        let store = store::Store::memory();
        let engine = Arc::new(Simulated::new());
        let nodes = Arc::new(ThisNode::new(engine.clone()));
        let cloud = Cloud::new(store.clone(), images, nodes);
        let controllers = controllers::spawn_all(&store, Strategy::default());
        let spec = NodeSpec {
            cpu_milli: 2000,
            memory_bytes: 4 << 30,
            pid_max: 32_768,
            cgroup_version: 2,
            boot_id: "boot".to_owned(),
            ..NodeSpec::default()
        };
        let announcement = Announcement {
            id: Id::random(),
            name: "node".to_owned(),
            spec,
        };
        let agent = Agent::start(store, engine, announcement).await.unwrap();
        let ranges = actions::network::PredefinedRanges::default();
        actions::network::ensure_predefined(&cloud, ranges)
            .await
            .unwrap();
        let settings = Settings {
            url: "http://localhost".to_owned(),
        };
        let services = crate::catalogue(&settings);
        actions::identity::first_start::ensure(&cloud, &services, PASSWORD)
            .await
            .unwrap();
        let mut house = Self {
            front: Front {
                cloud: cloud.clone(),
                settings: Arc::new(settings.clone()),
            },
            router: crate::router(cloud, settings),
            before: Vec::new(),
            tokens: BTreeMap::new(),
            known: BTreeMap::new(),
            away: String::new(),
            _directory: directory,
            _agent: agent,
            _controllers: controllers,
        };
        house.people().await;
        house.make().await;
        house
    }

    /// Makes two projects and the people in them.
    async fn people(&mut self) {
        let token = self.token("admin", "admin").await;
        self.tokens.insert(Who::Admin, token);
        let roles = self.get(Who::Admin, "/identity/v3/roles").await;
        let role = |name: &str| {
            let mut roles = roles["roles"].as_array().unwrap().iter();
            let role = roles.find(|role| role["name"] == name).unwrap();
            role["id"].as_str().unwrap().to_owned()
        };
        let home = self
            .made(
                "/identity/v3/projects",
                json!({ "project": { "name": "home" } }),
            )
            .await;
        let away = self
            .made(
                "/identity/v3/projects",
                json!({ "project": { "name": "away" } }),
            )
            .await;
        for (who, name, project, in_project, as_role) in [
            (Who::Owner, "owner", "home", &home, "member"),
            (Who::Reader, "looker", "home", &home, "reader"),
            (Who::Stranger, "stranger", "away", &away, "member"),
        ] {
            let user = json!({ "user": { "name": name, "password": PASSWORD } });
            let user = self.made("/identity/v3/users", user).await;
            let path = format!(
                "/identity/v3/projects/{in_project}/users/{user}/roles/{}",
                role(as_role)
            );
            let granted = self.ask(Who::Admin, &Method::PUT, &path, None).await;
            assert_eq!(granted.0, StatusCode::NO_CONTENT, "{granted:?}");
            let token = self.token(name, project).await;
            self.tokens.insert(who, token);
            if who == Who::Owner {
                self.known.insert("/identity/v3/users".to_owned(), user);
            }
        }
        self.away = away;
        for projects in [
            "/identity/v3/projects",
            "/network/v2.0/quotas",
            "/compute/v2.1/os-quota-sets",
            VOLUMES_OF,
        ] {
            self.known.insert(projects.to_owned(), home.clone());
        }
    }

    /// Makes one of everything.
    async fn make(&mut self) {
        for thing in THINGS {
            self.ready().await;
            let collection = self.replaced(thing.collection);
            let body = serde_json::from_str(thing.body).unwrap();
            let made = self
                .ask(thing.by, &Method::POST, &collection, Some(body))
                .await;
            assert!(made.0.is_success(), "{collection}: {made:?}");
            let mut inner = &made.1;
            if let Some(object) = inner.as_object().filter(|object| object.len() == 1) {
                inner = object.values().next().unwrap();
            }
            let id = inner[thing.key].as_str().unwrap().to_owned();
            if collection == "/image/v2/images" {
                self.fill(&id).await;
            }
            self.known.insert(collection, id);
        }
        self.ready().await;
        self.before = self.things(Who::Owner).await;
    }

    /// Gives an image its data: a root file system with one directory.
    async fn fill(&self, image: &str) {
        let path = format!("/image/v2/images/{image}/file");
        let mut root = tar::Builder::new(Vec::new());
        let mut directory = tar::Header::new_ustar();
        directory.set_entry_type(tar::EntryType::Directory);
        directory.set_size(0);
        directory.set_mode(0o755);
        root.append_data(&mut directory, "etc", &[][..]).unwrap();
        let request = Request::put(path)
            .header("X-Auth-Token", &self.tokens[&Who::Owner])
            .header(header::CONTENT_TYPE, "application/octet-stream")
            .body(Body::from(root.into_inner().unwrap()))
            .unwrap();
        let router = TowerToHyperService::new(self.router.clone());
        let answer = router.call(request).await.unwrap();
        assert_eq!(answer.status(), StatusCode::NO_CONTENT);
    }

    /// Waits until what was made can be used.
    async fn ready(&self) {
        for (collection, name) in [
            ("/compute/v2.1/servers", "server"),
            (VOLUMES, "volume"),
            (SNAPSHOTS, "snapshot"),
        ] {
            let collection = self.replaced(collection);
            let Some(id) = self.known.get(&collection) else {
                continue;
            };
            for attempt in 0.. {
                let thing = self.get(Who::Owner, &format!("{collection}/{id}")).await;
                let status = thing[name]["status"].as_str().unwrap();
                if matches!(status, "ACTIVE" | "available" | "in-use") {
                    break;
                }
                assert!(attempt < 1000, "{thing}");
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        }
    }

    /// A text with identities in place of their collections' paths: `<network/v2.0/networks>`.
    pub(super) fn replaced(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (collection, id) in &self.known {
            text = text.replace(&format!("<{}>", &collection[1..]), id);
        }
        text
    }

    /// The lists of all collections with things.
    pub(super) async fn things(&self, who: Who) -> Vec<Value> {
        let mut lists = Vec::new();
        for thing in THINGS {
            lists.push(self.get(who, &self.replaced(thing.collection)).await);
        }
        lists
    }

    /// The identity of the thing that is in a collection.
    pub(super) fn known(&self, collection: &str) -> Option<String> {
        self.known.get(collection).cloned()
    }

    /// The stranger's project, where a path goes on with it.
    pub(super) fn away(&self, collection: &str) -> Option<String> {
        (collection == VOLUMES_OF).then(|| self.away.clone())
    }

    /// As [`House::known`], in the stranger's paths.
    pub(super) fn known_to_the_stranger(&self, collection: &str) -> Option<String> {
        let home = &self.known[VOLUMES_OF];
        let owners = || self.known(&collection.replace(&self.away, home));
        self.away(collection).or_else(owners)
    }

    /// What somebody is answered.
    pub(super) async fn ask(
        &self,
        who: Who,
        method: &Method,
        path: &str,
        body: Option<Value>,
    ) -> (StatusCode, Value) {
        let body =
            body.map(|body| serde_json::from_str(&self.replaced(&body.to_string())).unwrap());
        send(&self.router, method, path, Some(&self.tokens[&who]), body).await
    }

    async fn get(&self, who: Who, path: &str) -> Value {
        let answer = self.ask(who, &Method::GET, path, None).await;
        assert_eq!(answer.0, StatusCode::OK, "{path}: {answer:?}");
        answer.1
    }

    /// Makes something as the admin and answers its identity.
    async fn made(&self, path: &str, body: Value) -> String {
        let made = self.ask(Who::Admin, &Method::POST, path, Some(body)).await;
        assert_eq!(made.0, StatusCode::CREATED, "{made:?}");
        let object = made.1.as_object().unwrap().values().next().unwrap().clone();
        object["id"].as_str().unwrap().to_owned()
    }

    /// A token by password.
    async fn token(&self, user: &str, project: &str) -> String {
        let domain = json!({ "id": "default" });
        let user = json!({ "name": user, "password": PASSWORD, "domain": domain });
        let auth = json!({ "auth": {
            "identity": { "methods": ["password"], "password": { "user": user } },
            "scope": { "project": { "name": project, "domain": domain } },
        }});
        let request = request(&Method::POST, "/identity/v3/auth/tokens", None, Some(auth));
        let router = TowerToHyperService::new(self.router.clone());
        let answer = router.call(request).await.unwrap();
        assert_eq!(answer.status(), StatusCode::CREATED);
        let token = answer.headers()["x-subject-token"].to_str().unwrap();
        token.to_owned()
    }
}

fn request(method: &Method, path: &str, token: Option<&str>, body: Option<Value>) -> Request<Body> {
    let mut request = Request::builder().method(method.clone()).uri(path);
    // The newest shapes refuse most, and have every operation that has not ended.
    let has_ended = ENDED.iter().any(|old| path.starts_with(old));
    let version = if has_ended { "2.35" } else { "2.90" };
    request = request.header("OpenStack-API-Version", format!("compute {version}"));
    if let Some(token) = token {
        request = request.header("X-Auth-Token", token);
    }
    let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
    let kind = match path.rsplit_once('/') {
        Some((before, "file" | "stage")) if before.starts_with("/image") => {
            "application/octet-stream"
        }
        _ if *method == Method::PATCH && path.starts_with("/image") => {
            "application/openstack-images-v2.1-json-patch"
        }
        _ => "application/json",
    };
    request
        .header(header::CONTENT_TYPE, kind)
        .body(body)
        .unwrap()
}

/// What a router answers to a request: the status, and the body where it is JSON.
pub(super) async fn send(
    router: &Router,
    method: &Method,
    path: &str,
    token: Option<&str>,
    body: Option<Value>,
) -> (StatusCode, Value) {
    let router = TowerToHyperService::new(router.clone());
    let request = request(method, path, token, body);
    let (head, body) = router.call(request).await.unwrap().into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    (head.status, body)
}
