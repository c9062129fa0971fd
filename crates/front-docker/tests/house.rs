//! A whole cloud in one process over the simulated engine, behind a real socket, and a client.

use std::path::PathBuf;
use std::sync::Arc;

use actions::Cloud;
use agent::{Agent, Announcement};
use bytes::Bytes;
use controllers::{Controllers, Strategy};
use edge::server::{Listener, serve};
use engine::simulated::Simulated;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use local::ThisNode;
use model::Id;
use model::node::NodeSpec;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio_util::sync::CancellationToken;

/// The image that every house has, imported through the API.
pub(crate) const IMAGE: &str = "demo:1";

/// A daemon without a host.
pub(crate) struct House {
    directory: tempfile::TempDir,
    shutdown: CancellationToken,
    pub(crate) engine: Arc<Simulated>,
    _agent: Agent,
    _controllers: Controllers,
}

impl Drop for House {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

/// An answer, read whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: http::HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    /// The body as JSON; `null` without one.
    pub(crate) fn json(&self) -> Value {
        if self.body.is_empty() {
            return Value::Null;
        }
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {:?}", self.body))
    }

    /// The JSON documents of a streamed body.
    pub(crate) fn lines(&self) -> Vec<Value> {
        let documents = serde_json::Deserializer::from_slice(&self.body).into_iter();
        documents.collect::<Result<_, _>>().unwrap()
    }

    /// The message of an error.
    pub(crate) fn message(&self) -> String {
        self.json()["message"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }
}

impl House {
    pub(crate) async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let images = image::Store::open(&directory.path().join("images")).unwrap();
        let store = store::Store::memory();
        let engine = Arc::new(Simulated::new());
        let cloud = Cloud::new(
            store.clone(),
            images,
            Arc::new(ThisNode::new(engine.clone())),
        );
        let controllers = controllers::spawn_all(&store, Strategy::default());
        let spec = NodeSpec {
            cpu_milli: 2000,
            memory_bytes: 4 << 30,
            pid_max: 32_768,
            kernel: "6.18.0".to_owned(),
            architecture: "x86_64".to_owned(),
            cgroup_version: 1,
            boot_id: "boot".to_owned(),
            ..NodeSpec::default()
        };
        let announcement = Announcement {
            id: Id::random(),
            name: "node".to_owned(),
            spec,
        };
        let agent = Agent::start(store, engine.clone(), announcement)
            .await
            .unwrap();
        actions::network::ensure_predefined(&cloud, actions::network::PredefinedRanges::default())
            .await
            .unwrap();
        let settings = front_docker::Settings {
            data_dir: directory.path().to_owned(),
            registry: "127.0.0.1:7070".to_owned(),
            metrics: edge::metrics::Metrics::default(),
        };
        let listener = Listener::unix(&directory.path().join("docker.sock"), 0o660)
            .await
            .unwrap();
        let shutdown = CancellationToken::new();
        drop(tokio::spawn(serve(
            listener,
            front_docker::router(cloud, settings),
            shutdown.clone(),
        )));
        let house = Self {
            directory,
            shutdown,
            engine,
            _agent: agent,
            _controllers: controllers,
        };
        // The default network is made by the node in its own time.
        while house.engine.networks().is_empty() {
            tokio::task::yield_now().await;
        }
        // An archive of nothing: programs of the simulated engine need no files.
        let path = "/images/create?fromSrc=-&repo=demo:1&changes=ENV%20PATH%3D/bin&changes=CMD%20%5B%22true%22%5D";
        let imported = house
            .send("POST", path, "application/x-tar", vec![0; 1024])
            .await;
        assert_eq!(imported.status, 200, "{imported:?}");
        house
    }

    /// Layers in the image store.
    pub(crate) fn stored_layers(&self) -> usize {
        let layers = self.directory.path().join("images/layers");
        std::fs::read_dir(layers).unwrap().count()
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("docker.sock")
    }

    pub(crate) async fn connect(&self) -> UnixStream {
        UnixStream::connect(self.socket()).await.unwrap()
    }

    /// Sends a request and reads its answer whole.
    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        content_type: &str,
        body: impl Into<Bytes>,
    ) -> Answer {
        let (mut sender, connection) = handshake(TokioIo::new(self.connect().await)).await.unwrap();
        let connection = tokio::spawn(connection);
        let mut request = http::Request::builder()
            .method(method)
            .uri(path)
            .header("Host", "docker");
        if !content_type.is_empty() {
            request = request.header("Content-Type", content_type);
        }
        let request = request.body(Full::new(body.into())).unwrap();
        let (head, body) = sender.send_request(request).await.unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        connection.abort();
        Answer {
            status: head.status.as_u16(),
            headers: head.headers,
            body,
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, "", Bytes::new()).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, "", Bytes::new()).await
    }

    /// Posts a JSON document; `null` posts nothing.
    pub(crate) async fn post(&self, path: &str, document: Value) -> Answer {
        match document {
            Value::Null => self.send("POST", path, "", Bytes::new()).await,
            document => {
                self.send("POST", path, "application/json", document.to_string())
                    .await
            }
        }
    }

    /// Makes a container and answers its identifier.
    pub(crate) async fn create(&self, name: &str, command: &[&str], further: Value) -> String {
        let mut document = json!({ "Image": IMAGE, "Cmd": command });
        for (field, value) in further.as_object().unwrap() {
            document[field] = value.clone();
        }
        let created = self
            .post(&format!("/containers/create?name={name}"), document)
            .await;
        assert_eq!(created.status, 201, "{created:?}");
        created.json()["Id"].as_str().unwrap().to_owned()
    }

    /// Makes a container and starts it.
    pub(crate) async fn run(&self, name: &str, command: &[&str], further: Value) -> String {
        let id = self.create(name, command, further).await;
        let started = self
            .post(&format!("/containers/{id}/start"), Value::Null)
            .await;
        assert_eq!(started.status, 204, "{started:?}");
        id
    }

    /// Takes a connection over, as the client does: with `Upgrade`. Answers the head too.
    pub(crate) async fn hijack(&self, path: &str, document: Value) -> (String, UnixStream) {
        let body = if document.is_null() {
            String::new()
        } else {
            document.to_string()
        };
        let mut stream = self.connect().await;
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            assert_eq!(
                stream.read(&mut byte).await.unwrap(),
                1,
                "{}",
                String::from_utf8_lossy(&head)
            );
            head.extend(byte);
        }
        (String::from_utf8(head).unwrap(), stream)
    }
}

/// The payloads of a framed stream, by stream.
pub(crate) fn unframe(mut bytes: &[u8]) -> (String, String) {
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    while let [stream, 0, 0, 0, a, b, c, d, rest @ ..] = bytes {
        let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
        match stream {
            1 => stdout.extend(&rest[..length]),
            2 => stderr.extend(&rest[..length]),
            other => panic!("there is no stream {other}"),
        }
        bytes = &rest[length..];
    }
    assert!(bytes.is_empty(), "{bytes:?}");
    (
        String::from_utf8(stdout).unwrap(),
        String::from_utf8(stderr).unwrap(),
    )
}

/// All that comes until the other side closes.
pub(crate) async fn read_all(mut stream: UnixStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    bytes
}
