//! A registry that does as it is told, on loopback: it breaks off, sends the wrong things, is busy,
//! points elsewhere, and remembers what it was asked.

use std::sync::{Arc, Mutex};

use image::platform::Platform;
use image::reference::Reference;
use image::registry::{Credentials, Registries, Settings};
use image::{PullError, PullRequest, PullStep, Pulled};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::samples::{Sample, digest};

/// Bodies that are longer wait at the gate.
const LARGE: usize = 300_000;

/// What somebody asked.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) path: String,
    head: String,
    /// How often this path was asked for before.
    pub(crate) before: usize,
}

impl Asked {
    /// A header; the names are lower-case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then_some(value)
        })
    }
}

/// What it is answered.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    /// The connection breaks after so many bytes of the body.
    breaks_after: Option<usize>,
}

impl Reply {
    pub(crate) fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: body.into(),
            breaks_after: None,
        }
    }

    pub(crate) fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    pub(crate) const fn breaking_after(mut self, bytes: usize) -> Self {
        self.breaks_after = Some(bytes);
        self
    }
}

/// What a registry answers to whom.
type Script = Arc<dyn Fn(&Asked) -> Option<Reply> + Send + Sync>;

/// A registry with a script: where that has no answer, it does as registries do.
pub(crate) struct Server {
    address: String,
    asked: Arc<Mutex<Vec<Asked>>>,
    /// The second half of a large body waits here.
    pub(crate) gate: Arc<tokio::sync::Semaphore>,
}

/// What a registry has: blobs by digest, manifests by tag and digest.
#[derive(Clone, Default)]
pub(crate) struct Content {
    pub(crate) blobs: Vec<Vec<u8>>,
    /// Media type, text, tags.
    pub(crate) manifests: Vec<(String, String, Vec<String>)>,
}

pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const CONFIG: &str = "application/vnd.oci.image.config.v1+json";

impl Content {
    /// An image under a tag.
    pub(crate) fn with(mut self, sample: &Sample, tag: &str) -> Self {
        let manifest = manifest(sample);
        self.blobs
            .extend(sample.layers.iter().map(|layer| layer.packed.clone()));
        self.blobs.push(sample.config_text());
        self.manifests.push((
            MANIFEST.to_owned(),
            manifest.to_string(),
            vec![tag.to_owned()],
        ));
        self
    }

    fn reply(&self, asked: &Asked) -> Reply {
        let last = asked.path.rsplit('/').next().unwrap_or_default();
        if asked.path.contains("/manifests/") {
            let found = self.manifests.iter().find(|(_, text, tags)| {
                digest(text.as_bytes()) == last || tags.iter().any(|tag| tag == last)
            });
            return match found {
                Some((media_type, text, _)) => Reply::new(200, text.as_bytes())
                    .with("Content-Type", media_type)
                    .with("Docker-Content-Digest", digest(text.as_bytes())),
                None => refusal(404, "MANIFEST_UNKNOWN"),
            };
        }
        if asked.path.contains("/blobs/") {
            let Some(blob) = self.blobs.iter().find(|blob| digest(blob) == last) else {
                return refusal(404, "BLOB_UNKNOWN");
            };
            let from = asked.header("range").and_then(|range| {
                range
                    .strip_prefix("bytes=")?
                    .strip_suffix('-')?
                    .parse()
                    .ok()
            });
            return match from {
                Some(from) => Reply::new(206, &blob[from..]).with(
                    "Content-Range",
                    format!("bytes {from}-{}/{}", blob.len() - 1, blob.len()),
                ),
                None => Reply::new(200, blob.clone()),
            };
        }
        Reply::new(200, "{}")
    }
}

/// An error in the envelope of registries.
pub(crate) fn refusal(status: u16, code: &str) -> Reply {
    let body = json!({ "errors": [{ "code": code, "message": code.to_lowercase() }] });
    Reply::new(status, body.to_string())
}

pub(crate) fn manifest(sample: &Sample) -> Value {
    let config = sample.config_text();
    let layers: Vec<Value> = sample
        .layers
        .iter()
        .map(|layer| {
            json!({
                "mediaType": crate::samples::GZIP_LAYER,
                "digest": digest(&layer.packed), "size": layer.packed.len(),
            })
        })
        .collect();
    json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "layers": layers,
        "config": { "mediaType": CONFIG, "digest": digest(&config), "size": config.len() },
    })
}

impl Server {
    pub(crate) async fn start(
        content: Content,
        script: impl Fn(&Asked) -> Option<Reply> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let gate = Arc::new(tokio::sync::Semaphore::new(
            tokio::sync::Semaphore::MAX_PERMITS,
        ));
        let script: Script =
            Arc::new(move |asked| script(asked).or_else(|| Some(content.reply(asked))));
        let (log, door) = (Arc::clone(&asked), Arc::clone(&gate));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(
                    stream,
                    Arc::clone(&script),
                    Arc::clone(&log),
                    Arc::clone(&door),
                ));
            }
        });
        Self {
            address,
            asked,
            gate,
        }
    }

    /// Host and port.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// What was asked of paths with this in them.
    pub(crate) fn asked(&self, part: &str) -> Vec<Asked> {
        let asked = self.asked.lock().unwrap();
        asked
            .iter()
            .filter(|asked| asked.path.contains(part))
            .cloned()
            .collect()
    }

    pub(crate) fn reference(&self, name: &str) -> Reference {
        Reference::parse(&format!("{}/{name}", self.address)).unwrap()
    }
}

async fn answer(
    mut stream: TcpStream,
    script: Script,
    log: Arc<Mutex<Vec<Asked>>>,
    gate: Arc<tokio::sync::Semaphore>,
) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
        // What does not begin as HTTP does is a greeting of TLS.
        if head[0] == 0x16 {
            return;
        }
    }
    let head = String::from_utf8(head).unwrap();
    let mut words = head.split(' ');
    let (method, path) = (words.next().unwrap(), words.next().unwrap());
    let asked = {
        let mut log = log.lock().unwrap();
        let asked = Asked {
            method: method.to_owned(),
            path: path.to_owned(),
            head: head.clone(),
            before: log.iter().filter(|asked| asked.path == path).count(),
        };
        log.push(asked.clone());
        asked
    };
    let reply = script(&asked).unwrap();
    let mut text = format!(
        "HTTP/1.1 {} X\r\nConnection: close\r\nContent-Length: {}\r\n",
        reply.status,
        reply.body.len()
    );
    for (name, value) in &reply.headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str("\r\n");
    drop(stream.write_all(text.as_bytes()).await);
    if method == "HEAD" {
        return;
    }
    let whole = reply.body.len();
    let length = reply.breaks_after.unwrap_or(whole).min(whole);
    let (first, rest) = reply.body[..length].split_at(length / 2);
    drop(stream.write_all(first).await);
    if whole > LARGE {
        gate.acquire().await.unwrap().forget();
    }
    drop(stream.write_all(rest).await);
}

/// Registries that are asked again at once.
pub(crate) fn registries() -> Registries {
    Registries::new(Settings {
        attempts: 3,
        first_delay: std::time::Duration::ZERO,
        ..Settings::default()
    })
}

/// Pulls without a password.
pub(crate) async fn pull(
    store: &image::Store,
    server: &Server,
    name: &str,
) -> Result<Pulled, PullError> {
    pull_as(store, server, name, None, None).await.0
}

/// Pulls, and answers what was told on the way.
pub(crate) async fn pull_as(
    store: &image::Store,
    server: &Server,
    name: &str,
    credentials: Option<Credentials>,
    platform: Option<Platform>,
) -> (Result<Pulled, PullError>, Vec<PullStep>) {
    let request = PullRequest {
        reference: server.reference(name),
        platform,
        credentials,
    };
    let steps = Mutex::new(Vec::new());
    let tell = |step| steps.lock().unwrap().push(step);
    let pulled = store.pull(&registries(), &request, &tell).await;
    (pulled, steps.into_inner().unwrap())
}
