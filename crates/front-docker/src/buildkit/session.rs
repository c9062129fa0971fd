//! Sessions: clients that builds may ask for files, secrets and credentials, over a connection on which
//! they are the ones who serve.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use actions::build::{Asker, Context};
use actions::distribution::Credentials;
use async_trait::async_trait;
use bollard_buildkit_proto::fsutil::types::Packet;
use bollard_buildkit_proto::moby::buildkit::secrets::v1::GetSecretRequest;
use bollard_buildkit_proto::moby::buildkit::secrets::v1::secrets_client::SecretsClient;
use bollard_buildkit_proto::moby::filesync::packet::file_sync_client::FileSyncClient;
use bollard_buildkit_proto::moby::filesync::v1::CredentialsRequest;
use bollard_buildkit_proto::moby::filesync::v1::auth_client::AuthClient;
use bollard_buildkit_proto::moby::sshforward::v1::ssh_client::SshClient;
use bollard_buildkit_proto::moby::sshforward::v1::{BytesMessage, CheckAgentRequest};
use bollard_buildkit_proto::moby::upload::v1::upload_client::UploadClient;
use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, Uri};
use model::instance::{Failure, FailureKind};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::io::StreamReader;
use tonic::metadata::{AsciiMetadataKey, MetadataMap};
use tonic::{Code, Request, Status, Streaming};

use crate::error::ApiError;

const ID: &str = "x-docker-expose-session-uuid";
const METHOD: &str = "x-docker-expose-session-grpc-method";

const DIFF_COPY: &str = "/moby.filesync.v1.FileSync/DiffCopy";
const CREDENTIALS: &str = "/moby.filesync.v1.Auth/Credentials";
const GET_SECRET: &str = "/moby.buildkit.secrets.v1.Secrets/GetSecret";
const FORWARD_AGENT: &str = "/moby.sshforward.v1.SSH/ForwardAgent";

/// How long a build waits for the session that it names: the client opens both at once.
const PATIENCE: Duration = Duration::from_secs(6);

/// A secret is read whole: larger ones are none. BuildKit's limit.
const MOST_SECRET_BYTES: usize = 500 * 1024;

/// Requests that wait to be sent in one exchange of files.
const WAITING_PACKETS: usize = 256;

/// Bytes of an agent's that are read at once.
const CHUNK: usize = 32 * 1024;

/// What the docker client calls Docker Hub where it asks for credentials.
const DOCKER_HUB: &str = "registry-1.docker.io";

type Channel = edge::h2c::Channel<tonic::body::Body>;

/// What a client says of the session that it opens.
#[derive(Clone, Debug)]
pub(super) struct Take {
    id: String,
    methods: Vec<String>,
}

impl Take {
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, ApiError> {
        let text = |value: &http::HeaderValue| value.to_str().map(str::to_owned).ok();
        let id = headers.get(ID).and_then(text).filter(|id| !id.is_empty());
        let id = id.ok_or_else(|| ApiError::invalid(format!("a session needs a header {ID}")))?;
        let methods = headers.get_all(METHOD).iter().filter_map(text).collect();
        Ok(Self { id, methods })
    }
}

/// The sessions that are open, by id; `None` of one that is about to be.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    open: Arc<Mutex<HashMap<String, Option<Arc<Session>>>>>,
    changed: watch::Sender<()>,
}

/// The place of a session among the others, which is free again when this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    sessions: Arc<Mutex<HashMap<String, Option<Arc<Session>>>>>,
    id: String,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.remove(&self.id);
    }
}

impl Sessions {
    fn sessions(&self) -> MutexGuard<'_, HashMap<String, Option<Arc<Session>>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn reserve(&self, take: &Take) -> Result<Place, ApiError> {
        let mut sessions = self.sessions();
        if sessions.contains_key(&take.id) {
            return Err(ApiError::conflict(format!(
                "session {} already exists",
                take.id
            )));
        }
        sessions.insert(take.id.clone(), None);
        Ok(Place {
            sessions: Arc::clone(&self.open),
            id: take.id.clone(),
        })
    }

    /// Keeps a session open as long as its connection is.
    pub(super) async fn keep<C>(&self, place: Place, take: Take, connection: C)
    where
        C: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        match edge::h2c::connect(connection).await {
            Ok((channel, carry)) => {
                let opened = self.open(place, Session::new(take, channel));
                carry.await;
                drop(opened);
            }
            Err(error) => tracing::debug!(%error, "a session speaks no HTTP/2"),
        }
    }

    fn open(&self, place: Place, session: Session) -> Place {
        self.sessions()
            .insert(place.id.clone(), Some(Arc::new(session)));
        self.changed.send_replace(());
        place
    }

    /// The session of this id, as soon as it is open.
    pub(super) async fn find(&self, id: &str) -> Result<Arc<Session>, Status> {
        let mut changed = self.changed.subscribe();
        let found = async {
            loop {
                changed.mark_unchanged();
                let session = self.sessions().get(id).cloned().flatten();
                if let Some(session) = session {
                    return Some(session);
                }
                // The sender lives as long as the front end.
                changed.changed().await.ok()?;
            }
        };
        let found = tokio::time::timeout(PATIENCE, found).await.ok().flatten();
        found.ok_or_else(|| Status::not_found(format!("no active session for {id}")))
    }
}

/// A client that can be asked.
#[derive(Debug)]
pub(super) struct Session {
    methods: Vec<String>,
    channel: Channel,
}

/// An exchange of files: what the client sends, and where to send it what is wanted.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) packets: Streaming<Packet>,
    pub(super) wanted: mpsc::Sender<Packet>,
}

/// Which files of a directory a client is to send.
#[derive(Clone, Debug, Default)]
pub(super) struct Choice {
    /// The name under which the client shows it.
    pub(super) directory: String,
    /// Only these paths and what links at them lead to; empty is all.
    pub(super) only: Vec<String>,
    /// What these patterns match is left out.
    pub(super) except: Vec<String>,
}

/// Where requests of gRPC say that they go; the connection is there already.
fn origin() -> Uri {
    Uri::from_static("http://session")
}

impl Session {
    fn new(take: Take, channel: Channel) -> Self {
        Self {
            methods: take.methods,
            channel,
        }
    }

    fn has(&self, method: &str) -> bool {
        let mut methods = self.methods.iter();
        methods.any(|known| known.eq_ignore_ascii_case(method))
    }

    /// An archive that the client sends at this path.
    pub(super) async fn archive(&self, path: &str) -> Result<Context, Status> {
        let mut request = Request::new(stream::empty());
        put(request.metadata_mut(), "urlpath", &[path.to_owned()])?;
        let mut client = UploadClient::with_origin(self.channel.clone(), origin());
        let pieces = client.pull(request).await?.into_inner();
        let pieces = stream::unfold(pieces, |mut pieces: Pieces| async {
            let piece = pieces.message().await.transpose()?;
            let piece = piece
                .map(|piece| Bytes::from(piece.data))
                .map_err(|status| io::Error::other(status.message().to_owned()));
            Some((piece, pieces))
        });
        Ok(Box::new(StreamReader::new(Box::pin(pieces))))
    }

    /// Begins to take files from the client.
    pub(super) async fn exchange(&self, choice: &Choice) -> Result<Exchange, Status> {
        if !self.has(DIFF_COPY) {
            return Err(Status::failed_precondition(
                "the client's session shows no files: there is no local build context",
            ));
        }
        let (wanted, waiting) = mpsc::channel(WAITING_PACKETS);
        let packets = stream::unfold(waiting, |mut waiting: mpsc::Receiver<Packet>| async {
            waiting.recv().await.map(|packet| (packet, waiting))
        });
        let mut request = Request::new(packets);
        let metadata = request.metadata_mut();
        put(
            metadata,
            "dir-name",
            std::slice::from_ref(&choice.directory),
        )?;
        put(metadata, "followpaths", &choice.only)?;
        put(metadata, "exclude-patterns", &choice.except)?;
        let mut client = FileSyncClient::with_origin(self.channel.clone(), origin());
        let packets = client.diff_copy(request).await?.into_inner();
        Ok(Exchange { packets, wanted })
    }
}

/// Bytes of an archive, as they come.
type Pieces = Streaming<bollard_buildkit_proto::moby::upload::v1::BytesMessage>;

/// Adds values; where one has other signs than ASCII's all of them are encoded.
fn put(metadata: &mut MetadataMap, key: &'static str, values: &[String]) -> Result<(), Status> {
    let is_plain = |value: &String| value.bytes().all(|byte| (0x20..0x7f).contains(&byte));
    let are_plain = values.iter().all(is_plain);
    for value in values {
        let encoded = if are_plain {
            value.clone()
        } else {
            let every = percent_encoding::NON_ALPHANUMERIC;
            percent_encoding::utf8_percent_encode(value, every).to_string()
        };
        let value = encoded.parse().map_err(|_| {
            Status::invalid_argument(format!("{key} {value:?} cannot be told to the client"))
        })?;
        metadata.append(key, value);
    }
    if !are_plain {
        let key = format!("{key}-encoded");
        let key = AsciiMetadataKey::from_bytes(key.as_bytes());
        let key = key.map_err(|error| Status::internal(error.to_string()))?;
        metadata.insert(key, tonic::metadata::MetadataValue::from_static("1"));
    }
    Ok(())
}

/// What a client answers who has no such thing, or does not know the question.
fn none_or<T>(status: &Status, what: &str) -> Result<Option<T>, Failure> {
    match status.code() {
        Code::NotFound | Code::Unimplemented => Ok(None),
        _ => Err(Failure {
            kind: FailureKind::Invalid,
            message: format!("ask the client for {what}: {}", status.message()),
        }),
    }
}

#[async_trait]
impl Asker for Session {
    async fn credentials(&self, registry: &str) -> Result<Option<Credentials>, Failure> {
        if !self.has(CREDENTIALS) {
            return Ok(None);
        }
        let host = match registry {
            "docker.io" => DOCKER_HUB,
            host => host,
        };
        let mut client = AuthClient::with_origin(self.channel.clone(), origin());
        let request = CredentialsRequest {
            host: host.to_owned(),
        };
        let answer = match client.credentials(request).await {
            Ok(answer) => answer.into_inner(),
            Err(status) => return none_or(&status, &format!("the credentials of {registry}")),
        };
        Ok(match (answer.username.as_str(), answer.secret) {
            (_, secret) if secret.is_empty() => None,
            ("", secret) => Some(Credentials::IdentityToken(secret)),
            (user, password) => Some(Credentials::Password {
                user: user.to_owned(),
                password,
            }),
        })
    }

    async fn secret(&self, id: &str) -> Result<Option<Bytes>, Failure> {
        if !self.has(GET_SECRET) {
            return Ok(None);
        }
        let mut client = SecretsClient::with_origin(self.channel.clone(), origin())
            .max_decoding_message_size(2 * MOST_SECRET_BYTES);
        let request = GetSecretRequest {
            id: id.to_owned(),
            ..GetSecretRequest::default()
        };
        match client.get_secret(request).await {
            Ok(answer) => {
                let data = answer.into_inner().data;
                if data.len() > MOST_SECRET_BYTES {
                    return Err(Failure {
                        kind: FailureKind::Invalid,
                        message: format!("secret {id} is larger than {MOST_SECRET_BYTES} bytes"),
                    });
                }
                Ok(Some(data.into()))
            }
            Err(status) => none_or(&status, &format!("secret {id}")),
        }
    }

    async fn agent(&self, id: &str, socket: UnixListener) -> Result<Option<JoinSet<()>>, Failure> {
        if !self.has(FORWARD_AGENT) {
            return Ok(None);
        }
        let mut client = SshClient::with_origin(self.channel.clone(), origin());
        let request = CheckAgentRequest { id: id.to_owned() };
        // buildx offers to forward agents also where it has none, and says so in words only.
        if let Err(status) = client.check_agent(request).await {
            tracing::debug!(id, %status, "a client has no such agent for SSH");
            return Ok(None);
        }
        let id = id.to_owned();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((connection, _)) = socket.accept().await {
                let (client, id) = (client.clone(), id.clone());
                open.spawn(async move {
                    if let Err(status) = forward(client, &id, connection).await {
                        tracing::debug!(%status, "an agent for SSH broke off");
                    }
                });
                // Those that are through are forgotten.
                while open.try_join_next().is_some() {}
            }
        });
        Ok(Some(tasks))
    }
}

/// Carries the bytes of one connection to the client's agent and back.
async fn forward(
    mut client: SshClient<Channel>,
    id: &str,
    connection: UnixStream,
) -> Result<(), Status> {
    let (from, mut to) = connection.into_split();
    let messages = stream::unfold(from, |mut from| async {
        let mut data = vec![0; CHUNK];
        let count = from.read(&mut data).await.ok().filter(|count| *count > 0)?;
        data.truncate(count);
        Some((BytesMessage { data }, from))
    });
    let mut request = Request::new(messages);
    put(
        request.metadata_mut(),
        "buildkit.ssh.id",
        std::slice::from_ref(&id.to_owned()),
    )?;
    let mut answers = client.forward_agent(request).await?.into_inner();
    while let Some(message) = answers.message().await? {
        if to.write_all(&message.data).await.is_err() {
            break;
        }
    }
    Ok(())
}
