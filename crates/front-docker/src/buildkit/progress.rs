//! How a build goes, in BuildKit's words: steps that begin and end, and what they say.

use std::collections::{BTreeMap, BTreeSet};

use actions::build::{Event, Line};
use bollard_buildkit_proto::google::protobuf::Timestamp;
use bollard_buildkit_proto::moby::buildkit::v1::{
    StatusResponse, Vertex, VertexLog, VertexStatus, VertexWarning,
};
use model::stream::Stream;
use ring::digest::{SHA256, digest};

use super::job::Job;

/// What a client shows of steps that were under way when another failed.
pub(super) const CANCELED: &str = "context canceled";

fn now() -> Timestamp {
    let now = jiff::Timestamp::now();
    Timestamp {
        seconds: now.as_second(),
        nanos: now.subsec_nanosecond(),
    }
}

/// Tells the client of one job.
#[derive(Debug)]
pub(super) struct Progress<'a> {
    job: &'a Job,
    /// Steps of the builder that go on.
    open: BTreeMap<usize, Vertex>,
    /// Numbers of our own steps, after which the next is called.
    own: usize,
}

/// A step of our own.
#[derive(Clone, Debug)]
pub(super) struct Own(Vertex);

impl<'a> Progress<'a> {
    pub(super) const fn new(job: &'a Job) -> Self {
        Self {
            job,
            open: BTreeMap::new(),
            own: 0,
        }
    }

    fn vertex(&self, key: &str, name: String) -> Vertex {
        let hashed = digest(&SHA256, format!("{} {key}", self.job.name).as_bytes());
        Vertex {
            digest: format!("sha256:{}", hex::encode(hashed)),
            name,
            started: Some(now()),
            ..Vertex::default()
        }
    }

    /// A step of our own begins.
    pub(super) async fn begin(&mut self, name: impl Into<String>) -> Own {
        self.own += 1;
        let vertex = self.vertex(&format!("own {}", self.own), name.into());
        self.job.tell(of_vertex(vertex.clone())).await;
        Own(vertex)
    }

    /// Something that it says about itself, done at once: `naming to NAME`.
    pub(super) async fn note(&self, own: &Own, what: String) {
        let at = Some(now());
        let status = VertexStatus {
            id: what,
            vertex: own.0.digest.clone(),
            timestamp: at,
            started: at,
            completed: at,
            ..VertexStatus::default()
        };
        self.job.tell(of_status(status)).await;
    }

    pub(super) async fn warn(&self, own: &Own, words: &str) {
        let warning = VertexWarning {
            vertex: own.0.digest.clone(),
            level: 1,
            short: words.trim().as_bytes().to_vec(),
            ..VertexWarning::default()
        };
        let status = StatusResponse {
            warnings: vec![warning],
            ..StatusResponse::default()
        };
        self.job.tell(status).await;
    }

    /// It ended, with an error or without.
    pub(super) async fn end(&self, own: Own, error: Option<&str>) {
        let vertex = Vertex {
            completed: Some(now()),
            error: error.unwrap_or_default().to_owned(),
            ..own.0
        };
        self.job.tell(of_vertex(vertex)).await;
    }

    /// Something of the builder's; what is no step's is a warning of `around`.
    pub(super) async fn tell(&mut self, event: Event, around: &Own) {
        let Event { step, line } = event;
        match line {
            Line::Begun(name) => {
                let vertex = self.vertex(&format!("step {step}"), name);
                self.open.insert(step, vertex.clone());
                self.job.tell(of_vertex(vertex)).await;
            }
            Line::Reused => {
                if let Some(vertex) = self.open.get_mut(&step) {
                    vertex.cached = true;
                }
            }
            Line::Output(stream, bytes) => {
                if let Some(vertex) = self.open.get(&step) {
                    let status = of_log(vertex, stream, bytes.to_vec());
                    self.job.tell(status).await;
                }
            }
            Line::Ended => self.close(step, String::new()).await,
            Line::Failed(error) => self.close(step, error).await,
            Line::Note(words) if step == 0 => self.warn(around, &words).await,
            // The classic protocol's way to tell the same.
            Line::Note(_) | Line::Stage(_) => {}
        }
    }

    async fn close(&mut self, step: usize, error: String) {
        if let Some(mut vertex) = self.open.remove(&step) {
            vertex.completed = Some(now());
            vertex.error = error;
            self.job.tell(of_vertex(vertex)).await;
        }
    }

    /// The builder is through: what is under way is no more.
    pub(super) async fn close_all(&mut self) {
        let steps: BTreeSet<usize> = self.open.keys().copied().collect();
        for step in steps {
            self.close(step, CANCELED.to_owned()).await;
        }
    }
}

fn of_vertex(vertex: Vertex) -> StatusResponse {
    StatusResponse {
        vertexes: vec![vertex],
        ..StatusResponse::default()
    }
}

fn of_status(status: VertexStatus) -> StatusResponse {
    StatusResponse {
        statuses: vec![status],
        ..StatusResponse::default()
    }
}

fn of_log(vertex: &Vertex, stream: Stream, msg: Vec<u8>) -> StatusResponse {
    let log = VertexLog {
        vertex: vertex.digest.clone(),
        timestamp: Some(now()),
        stream: match stream {
            Stream::Stdout => 1,
            Stream::Stderr => 2,
        },
        msg,
    };
    StatusResponse {
        logs: vec![log],
        ..StatusResponse::default()
    }
}

/// So many bytes of the context have come.
pub(super) fn transferred(own: &Own, bytes: u64, is_all: bool) -> StatusResponse {
    let at = Some(now());
    of_status(VertexStatus {
        id: "transferring context:".to_owned(),
        vertex: own.0.digest.clone(),
        current: i64::try_from(bytes).unwrap_or(i64::MAX),
        timestamp: at,
        started: own.0.started,
        completed: if is_all { at } else { None },
        ..VertexStatus::default()
    })
}
