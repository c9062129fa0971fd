//! A client of BuildKit's services, which shows its files in a session.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;
use bollard_buildkit_proto::fsutil::types::packet::PacketType;
use bollard_buildkit_proto::fsutil::types::{Packet, Stat};
use bollard_buildkit_proto::moby::buildkit::v1 as control;
use bollard_buildkit_proto::moby::buildkit::v1::control_client::ControlClient;
use bollard_buildkit_proto::moby::buildkit::v1::{
    Exporter, SolveRequest, StatusRequest, StatusResponse,
};
use bollard_buildkit_proto::moby::filesync::packet::file_sync_server::{FileSync, FileSyncServer};
use bollard_buildkit_proto::moby::sshforward::v1::ssh_server::{Ssh, SshServer};
use bollard_buildkit_proto::moby::sshforward::v1::{
    BytesMessage, CheckAgentRequest, CheckAgentResponse,
};
use futures_util::{Stream, StreamExt, stream};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinHandle;
use tokio_util::io::ReaderStream;
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Request, Response, Status, Streaming};

use crate::house::House;

const DIRECTORY: u32 = 1 << 31;
const SYMLINK: u32 = 1 << 27;

type Packets = Pin<Box<dyn Stream<Item = Result<Packet, Status>> + Send>>;

/// Takes a connection over for HTTP/2.
async fn upgrade(house: &House, path: &str, headers: &str) -> UnixStream {
    let mut stream = house.connect().await;
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n{headers}\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
    assert!(head.to_lowercase().contains("upgrade: h2c"), "{head}");
    stream
}

/// A client's side of `/grpc`.
pub(super) async fn grpc(house: &House) -> Channel {
    let stream = Arc::new(Mutex::new(Some(upgrade(house, "/grpc", "").await)));
    let connect = tower::service_fn(move |_| {
        let stream = Arc::clone(&stream);
        async move {
            let stream = stream.lock().await.take();
            stream
                .map(TokioIo::new)
                .ok_or_else(|| std::io::Error::other("there is one connection only"))
        }
    });
    let endpoint = Endpoint::from_static("http://daemon");
    endpoint.connect_with_connector(connect).await.unwrap()
}

/// A file, as a client shows it.
#[derive(Clone)]
pub(super) struct Shown {
    pub(super) stat: Stat,
    pub(super) content: Vec<u8>,
}

pub(super) fn shown(path: &str, mode: u32, content: &str) -> Shown {
    Shown {
        stat: Stat {
            path: path.to_owned(),
            mode,
            size: i64::try_from(content.len()).unwrap(),
            mod_time: 1_500_000_000_000_000_000,
            ..Stat::default()
        },
        content: content.as_bytes().to_vec(),
    }
}

pub(super) fn link(path: &str, target: &str) -> Shown {
    let mut link = shown(path, SYMLINK | 0o777, "");
    target.clone_into(&mut link.stat.linkname);
    link
}

/// How a client behaves once its files are told.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    Honest,
    /// Its files are shorter than it said.
    Short,
    /// It sends what nobody asked for.
    Unasked,
    /// It says that it cannot go on.
    Fails,
    /// It leaves.
    Leaves,
}

/// Directories of a client, by name.
#[derive(Clone)]
pub(super) struct Files {
    pub(super) directories: HashMap<&'static str, Vec<Shown>>,
    pub(super) manner: Manner,
}

fn packet(kind: PacketType) -> Packet {
    Packet {
        r#type: kind.into(),
        ..Packet::default()
    }
}

impl Files {
    pub(super) fn of(dockerfile: &str, context: Vec<Shown>) -> Self {
        let dockerfile = vec![shown("Dockerfile", 0o644, dockerfile)];
        Self {
            directories: HashMap::from([("dockerfile", dockerfile), ("context", context)]),
            manner: Manner::Honest,
        }
    }

    /// The files of a directory that this request asks for.
    fn chosen(&self, request: &Request<Streaming<Packet>>) -> Vec<Shown> {
        let all = |key: &str| -> Vec<String> {
            let values = request.metadata().get_all(key).into_iter();
            values
                .map(|value| value.to_str().unwrap().to_owned())
                .collect()
        };
        let only = all("followpaths");
        let except = all("exclude-patterns");
        let directory = self.directories[all("dir-name")[0].as_str()].iter();
        let is_chosen = |file: &&Shown| {
            (only.is_empty() || only.contains(&file.stat.path)) && !except.contains(&file.stat.path)
        };
        directory.filter(is_chosen).cloned().collect()
    }
}

#[async_trait]
impl FileSync for Files {
    type DiffCopyStream = Packets;

    async fn diff_copy(
        &self,
        request: Request<Streaming<Packet>>,
    ) -> Result<Response<Packets>, Status> {
        let files = self.chosen(&request);
        let is_context = request.metadata().get("followpaths").is_none();
        let manner = if is_context {
            self.manner
        } else {
            Manner::Honest
        };
        let mut wanted = request.into_inner();
        let (sender, receiver) = mpsc::channel(4);
        tokio::spawn(async move {
            for file in &files {
                let stat = Some(file.stat.clone());
                let told = Packet {
                    stat,
                    ..packet(PacketType::PacketStat)
                };
                sender.send(Ok(told)).await?;
            }
            sender.send(Ok(packet(PacketType::PacketStat))).await?;
            while let Ok(Some(request)) = wanted.message().await {
                let id = request.id;
                let piece = |data: &[u8]| {
                    Ok(Packet {
                        id,
                        data: data.to_vec(),
                        ..packet(PacketType::PacketData)
                    })
                };
                match (request.r#type(), manner) {
                    (PacketType::PacketFin, _) => {
                        sender.send(Ok(packet(PacketType::PacketFin))).await?;
                    }
                    (_, Manner::Honest) => {
                        let file = &files[id as usize];
                        for part in file.content.chunks(1000) {
                            sender.send(piece(part)).await?;
                        }
                        sender.send(piece(&[])).await?;
                    }
                    (_, Manner::Short) => sender.send(piece(&[])).await?,
                    (_, Manner::Unasked) => {
                        let told = Packet {
                            id: 4_000_000,
                            ..packet(PacketType::PacketData)
                        };
                        sender.send(Ok(told)).await?;
                    }
                    (_, Manner::Fails) => {
                        let data = b"disk on fire".to_vec();
                        let told = Packet {
                            data,
                            ..packet(PacketType::PacketErr)
                        };
                        sender.send(Ok(told)).await?;
                    }
                    (_, Manner::Leaves) => break,
                }
            }
            Ok::<_, mpsc::error::SendError<_>>(())
        });
        let packets = stream::unfold(receiver, |mut receiver| async {
            receiver.recv().await.map(|packet| (packet, receiver))
        });
        Ok(Response::new(Box::pin(packets)))
    }

    type TarStreamStream = Packets;

    async fn tar_stream(&self, _: Request<Streaming<Packet>>) -> Result<Response<Packets>, Status> {
        Err(Status::unimplemented("no tar"))
    }
}

/// An agent for SSH that is offered, and not there.
struct NoAgent;

#[async_trait]
impl Ssh for NoAgent {
    async fn check_agent(
        &self,
        _: Request<CheckAgentRequest>,
    ) -> Result<Response<CheckAgentResponse>, Status> {
        Err(Status::unknown("unset ssh forward key default"))
    }

    type ForwardAgentStream = Pin<Box<dyn Stream<Item = Result<BytesMessage, Status>> + Send>>;

    async fn forward_agent(
        &self,
        _: Request<Streaming<BytesMessage>>,
    ) -> Result<Response<Self::ForwardAgentStream>, Status> {
        Err(Status::unimplemented("no agent"))
    }
}

/// A session of a client, which shows these files.
pub(super) async fn session(house: &House, id: &str, files: Files) -> JoinHandle<()> {
    let headers = format!(
        "X-Docker-Expose-Session-Uuid: {id}\r\n\
         X-Docker-Expose-Session-Grpc-Method: /moby.filesync.v1.FileSync/DiffCopy\r\n\
         X-Docker-Expose-Session-Grpc-Method: /moby.sshforward.v1.SSH/ForwardAgent\r\n"
    );
    let stream = upgrade(house, "/session", &headers).await;
    tokio::spawn(async move {
        let incoming = stream::once(async { Ok::<_, std::io::Error>(stream) });
        let server = Server::builder()
            .add_service(FileSyncServer::new(files))
            .add_service(SshServer::new(NoAgent));
        server.serve_with_incoming(incoming).await.unwrap();
    })
}

/// The same inside the connection on which builds are asked for.
pub(super) async fn session_inside(channel: Channel, id: &str, files: Files) -> JoinHandle<()> {
    let (ours, theirs) = tokio::io::duplex(4096);
    let serving = tokio::spawn(async move {
        let incoming = stream::once(async { Ok::<_, std::io::Error>(ours) });
        let server = Server::builder().add_service(FileSyncServer::new(files));
        server.serve_with_incoming(incoming).await.unwrap();
    });
    let (from_server, mut to_server) = tokio::io::split(theirs);
    let pieces = ReaderStream::new(from_server).map(|bytes| control::BytesMessage {
        data: bytes.unwrap().to_vec(),
    });
    let mut request = Request::new(pieces);
    let head = request.metadata_mut();
    head.insert("x-docker-expose-session-uuid", id.parse().unwrap());
    let method = "/moby.filesync.v1.FileSync/DiffCopy".parse().unwrap();
    head.insert("x-docker-expose-session-grpc-method", method);
    let answer = ControlClient::new(channel).session(request).await;
    let mut pieces = answer.unwrap().into_inner();
    tokio::spawn(async move {
        while let Ok(Some(piece)) = pieces.message().await {
            to_server.write_all(&piece.data).await.unwrap();
        }
    });
    serving
}

pub(super) fn solve(name: &str, attributes: &[(&str, &str)]) -> SolveRequest {
    let attributes = attributes
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    SolveRequest {
        r#ref: name.to_owned(),
        session: name.to_owned(),
        frontend: "dockerfile.v0".to_owned(),
        frontend_attrs: attributes.collect(),
        exporters: vec![Exporter {
            r#type: "moby".to_owned(),
            attrs: HashMap::from([("name".to_owned(), format!("{name}:1"))]),
        }],
        ..SolveRequest::default()
    }
}

/// All that is told of a build.
pub(super) async fn listen(channel: Channel, name: &str) -> Vec<StatusResponse> {
    let request = StatusRequest {
        r#ref: name.to_owned(),
    };
    let answer = ControlClient::new(channel).status(request).await;
    let mut statuses = answer.unwrap().into_inner();
    let mut told = Vec::new();
    while let Some(status) = statuses.message().await.unwrap() {
        told.push(status);
    }
    told
}

/// Names of steps that ended, with their errors.
pub(super) fn ended(told: &[StatusResponse]) -> Vec<(String, String)> {
    let vertexes = told.iter().flat_map(|status| &status.vertexes);
    let ended = vertexes.filter(|vertex| vertex.completed.is_some());
    ended
        .map(|vertex| (vertex.name.clone(), vertex.error.clone()))
        .collect()
}

/// Files in every form: more than can be asked for at once, larger than a message, empty, links.
pub(super) fn many() -> Vec<Shown> {
    let mut files = vec![
        shown("bulk", 0o600, &"content of bulk\n".repeat(200_000)),
        shown("dir", DIRECTORY | 0o750, ""),
        shown("dir/empty", 0o644, ""),
        link("dir/link", "../../../etc/passwd"),
        shown("ignored", 0o644, "content of ignored"),
    ];
    for number in 0..200 {
        let path = format!("many-{number:03}");
        files.push(shown(&path, 0o644, &format!("content of {path}")));
    }
    let mut other = shown("other", 0o600, "");
    "bulk".clone_into(&mut other.stat.linkname);
    files.push(other);
    files.push(shown(".dockerignore", 0o644, "ignored\n"));
    files
}
