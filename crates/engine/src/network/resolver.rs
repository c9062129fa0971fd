//! The embedded resolver of one sandbox: 127.0.0.11 inside, a task of the daemon behind it.
//!
//! Its sockets are opened inside the sandbox's namespace, on a port of their own; rules inside
//! lead port 53 there, so a program inside may still listen on port 53 itself. Names of the
//! networks that the sandbox is on are answered from [`super::names`]; other questions go to the
//! node's servers, asked from the node, or to the user's, asked from inside. Answers of others
//! pass through as they are; this file caches nothing. [`super::sandbox`] starts one.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, PTR};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use model::Id;
use rand::seq::SliceRandom;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UdpSocket};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::error::NetworkError;
use super::files::{RESOLVER, Resolv};
use super::names::Names;
use super::namespace;
use super::nftables::Transaction;

/// Where it listens, inside. Below the ports that the kernel gives out by itself, and free of
/// well-known services.
const PORT: u16 = 30053;
/// Seconds for which an answer about an instance may be kept.
const TTL: u32 = 600;
/// How long one server may think.
const TIMEOUT: Duration = Duration::from_secs(4);
/// How long a connection may be silent.
const IDLE: Duration = Duration::from_secs(10);
/// The most servers asked for one question (resolv.conf(5), `MAXNS`).
const SERVERS: usize = 3;
/// The most questions of one sandbox that wait for other servers.
const WAITING: usize = 256;
/// The most connections of one sandbox.
const CONNECTIONS: usize = 64;

/// Leads port 53 here, in the network namespace of the calling thread.
fn lead() -> Result<(), NetworkError> {
    const TABLE: &str = "longshore_resolver";
    const CHAIN: &str = "local";
    const TCP: u8 = 6;
    const UDP: u8 = 17;
    let mut transaction = Transaction::new();
    transaction.add_output_translation(TABLE, CHAIN);
    for protocol in [UDP, TCP] {
        transaction.add_port_change(TABLE, CHAIN, RESOLVER, protocol, 53, PORT);
    }
    transaction
        .commit()
        .map_err(|errno| NetworkError::Namespace {
            attempt: "lead questions for names in",
            source: errno.into(),
        })
}

/// What a sandbox may ask for.
#[derive(Clone, Debug, Default)]
pub(super) struct Scope {
    /// Networks whose names it knows, in the order they are searched.
    pub(super) networks: Vec<ScopeNetwork>,
    /// Servers of the user's, asked from inside; none is the node's.
    pub(super) servers: Vec<IpAddr>,
    /// It has a way out, so questions about the world are answered.
    pub(super) leads_out: bool,
}

/// A network whose names a sandbox knows.
#[derive(Clone, Debug)]
pub(super) struct ScopeNetwork {
    pub(super) id: Id,
    pub(super) name: String,
    /// Its own names for others, in lower case, and theirs.
    pub(super) links: Vec<(String, String)>,
}

impl Scope {
    /// Addresses of a name: the first network that knows it, as itself or as `name.network`.
    fn addresses(&self, names: &Names, asked: &str) -> Option<Vec<IpAddr>> {
        self.networks.iter().find_map(|network| {
            let of = |name: &str| {
                let linked = network
                    .links
                    .iter()
                    .find(|(alias, _)| alias.eq_ignore_ascii_case(name));
                names.addresses(network.id, linked.map_or(name, |(_, other)| other))
            };
            of(asked).or_else(|| {
                let (name, suffix) =
                    asked.split_at_checked(asked.len().checked_sub(network.name.len())?)?;
                let name = name.strip_suffix('.')?;
                suffix
                    .eq_ignore_ascii_case(&network.name)
                    .then(|| of(name))
                    .flatten()
            })
        })
    }

    /// The name of an address, with its network's.
    fn name(&self, names: &Names, address: IpAddr) -> Option<String> {
        self.networks.iter().find_map(|network| {
            Some(format!(
                "{}.{}.",
                names.name(network.id, address)?,
                network.name
            ))
        })
    }

    /// The answer to a question about an instance; `None` where it is about the world.
    fn answer(&self, names: &Names, request: &Message) -> Option<Message> {
        let [query] = request.queries.as_slice() else {
            return None;
        };
        let records = if query.query_type == RecordType::PTR {
            let network = query.name.parse_arpa_name().ok()?;
            let name = Name::from_ascii(self.name(names, network.addr())?).ok()?;
            vec![RData::PTR(PTR(name))]
        } else {
            let asked = query.name.to_ascii();
            let mut addresses = self.addresses(names, asked.strip_suffix('.').unwrap_or(&asked))?;
            addresses.shuffle(&mut rand::rng());
            addresses
                .into_iter()
                .filter_map(|address| match (address, query.query_type) {
                    (IpAddr::V4(v4), RecordType::A) => Some(RData::A(A(v4))),
                    (IpAddr::V6(v6), RecordType::AAAA) => Some(RData::AAAA(AAAA(v6))),
                    _ => None,
                })
                .collect()
        };
        Some(reply(request, query, records))
    }
}

fn reply(request: &Message, query: &Query, records: Vec<RData>) -> Message {
    let mut message = Message::response(request.metadata.id, request.metadata.op_code);
    message.metadata.recursion_desired = request.metadata.recursion_desired;
    message.metadata.recursion_available = true;
    message.metadata.authoritative = true;
    message.add_query(query.clone());
    message.add_answers(
        records
            .into_iter()
            .map(|data| Record::from_rdata(query.name.clone(), TTL, data)),
    );
    message
}

/// What a connection can carry, and a datagram cannot.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Transport {
    Udp,
    Tcp,
}

#[derive(Debug)]
struct Shared {
    scope: RwLock<Scope>,
    names: Arc<RwLock<Names>>,
    netns: OwnedFd,
    waiting: Semaphore,
    /// When a want of servers was last reported.
    reported: Mutex<Option<std::time::Instant>>,
}

/// A resolver at work; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct Resolver {
    shared: Arc<Shared>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Resolver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Resolver {
    /// Opens the sockets inside `netns`, leads port 53 to them unless that was done before, and
    /// answers from now on.
    pub(super) fn start(
        netns: BorrowedFd<'_>,
        scope: Scope,
        names: &Arc<RwLock<Names>>,
        runtime: &Handle,
        rules_stand: bool,
    ) -> Result<Self, NetworkError> {
        let failed = |source| NetworkError::Namespace {
            attempt: "listen for names in",
            source,
        };
        let (udp, tcp) = namespace::within(netns, || {
            let place = SocketAddr::from((RESOLVER, PORT));
            let udp = std::net::UdpSocket::bind(place).map_err(failed)?;
            let tcp = std::net::TcpListener::bind(place).map_err(failed)?;
            udp.set_nonblocking(true)
                .and_then(|()| tcp.set_nonblocking(true))
                .map_err(failed)?;
            if !rules_stand {
                lead()?;
            }
            Ok((udp, tcp))
        })?;
        let netns =
            rustix::io::fcntl_dupfd_cloexec(netns, 0).map_err(|errno| failed(errno.into()))?;
        let shared = Arc::new(Shared {
            scope: RwLock::new(scope),
            names: Arc::clone(names),
            netns,
            waiting: Semaphore::new(WAITING),
            reported: Mutex::default(),
        });
        let _guard = runtime.enter();
        let udp = UdpSocket::from_std(udp).map_err(failed)?;
        let tcp = TcpListener::from_std(tcp).map_err(failed)?;
        let task = runtime.spawn(serve(Arc::clone(&shared), udp, tcp));
        Ok(Self { shared, task })
    }

    /// Changes what may be asked for.
    pub(super) fn set_scope(&self, scope: Scope) {
        *self
            .shared
            .scope
            .write()
            .unwrap_or_else(PoisonError::into_inner) = scope;
    }
}

async fn serve(shared: Arc<Shared>, udp: UdpSocket, tcp: TcpListener) {
    let udp = Arc::new(udp);
    let mut questions = JoinSet::new();
    let mut connections = JoinSet::new();
    let mut buffer = vec![0; 4096];
    loop {
        tokio::select! {
            received = udp.recv_from(&mut buffer) => {
                // An answer that could not be delivered comes back as an error of the socket.
                let Ok((length, client)) = received else { continue };
                let request = &buffer[..length];
                match shared.local(request, Transport::Udp) {
                    Local::Answer(answer) => drop(udp.send_to(&answer, client).await),
                    Local::Ignore => {}
                    // Clients ask again by themselves; more than this waiting is a flood.
                    Local::Forward if questions.len() >= WAITING => {}
                    Local::Forward => {
                        let (shared, udp, request) = (Arc::clone(&shared), Arc::clone(&udp), request.to_vec());
                        questions.spawn(async move {
                            let answer = shared.forward(&request, Transport::Udp).await;
                            drop(udp.send_to(&answer, client).await);
                        });
                    }
                }
            }
            accepted = tcp.accept(), if connections.len() < CONNECTIONS => match accepted {
                Ok((stream, _)) => {
                    let shared = Arc::clone(&shared);
                    connections.spawn(async move { drop(converse(&shared, stream).await) });
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            },
            Some(_) = questions.join_next() => {}
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Answers the questions of one connection, in order (RFC 1035, section 4.2.2).
async fn converse(shared: &Shared, mut stream: TcpStream) -> io::Result<()> {
    loop {
        let request = tokio::time::timeout(IDLE, read_message(&mut stream)).await??;
        let answer = match shared.local(&request, Transport::Tcp) {
            Local::Answer(answer) => answer,
            Local::Ignore => return Ok(()),
            Local::Forward => shared.forward(&request, Transport::Tcp).await,
        };
        tokio::time::timeout(IDLE, write_message(&mut stream, &answer)).await??;
    }
}

async fn read_message(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let length = stream.read_u16().await?;
    let mut message = vec![0; length.into()];
    stream.read_exact(&mut message).await?;
    Ok(message)
}

async fn write_message(stream: &mut TcpStream, message: &[u8]) -> io::Result<()> {
    let length =
        u16::try_from(message.len()).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
    let mut framed = Vec::with_capacity(2 + message.len());
    framed.extend(length.to_be_bytes());
    framed.extend(message);
    stream.write_all(&framed).await
}

/// What becomes of a question.
enum Local {
    Answer(Vec<u8>),
    Forward,
    /// It is none.
    Ignore,
}

impl Shared {
    fn local(&self, request: &[u8], transport: Transport) -> Local {
        let Ok(message) = Message::from_vec(request) else {
            return Local::Ignore;
        };
        if message.metadata.message_type != MessageType::Query {
            return Local::Ignore;
        }
        if message.metadata.op_code != OpCode::Query {
            let id = message.metadata.id;
            let refusal = Message::error_msg(id, message.metadata.op_code, ResponseCode::NotImp);
            return refusal.to_vec().map_or(Local::Ignore, Local::Answer);
        }
        let scope = self.scope.read().unwrap_or_else(PoisonError::into_inner);
        let names = self.names.read().unwrap_or_else(PoisonError::into_inner);
        let Some(answer) = scope.answer(&names, &message) else {
            return Local::Forward;
        };
        let Ok(bytes) = answer.to_vec() else {
            return Local::Ignore;
        };
        if transport == Transport::Udp && bytes.len() > message.max_payload().into() {
            return answer
                .truncate()
                .to_vec()
                .map_or(Local::Ignore, Local::Answer);
        }
        Local::Answer(bytes)
    }

    /// Asks other servers, one after the other, and answers what the first says that knows.
    async fn forward(&self, request: &[u8], transport: Transport) -> Vec<u8> {
        let (servers, inside) = {
            let scope = self.scope.read().unwrap_or_else(PoisonError::into_inner);
            if !scope.servers.is_empty() {
                (scope.servers.clone(), true)
            } else if scope.leads_out {
                (
                    Resolv::parse(&std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default())
                        .addresses(),
                    false,
                )
            } else {
                (Vec::new(), false)
            }
        };
        let Ok(_permit) = self.waiting.acquire().await else {
            return failure(request);
        };
        for server in servers.into_iter().take(SERVERS) {
            let server = SocketAddr::new(server, 53);
            match tokio::time::timeout(TIMEOUT, self.ask(request, server, inside, transport)).await
            {
                Ok(Ok(answer)) if !gives_up(&answer) => return answer,
                Ok(Ok(_)) => {}
                Ok(Err(error)) => self.report(server, &error),
                Err(_) => self.report(server, &io::ErrorKind::TimedOut.into()),
            }
        }
        failure(request)
    }

    async fn ask(
        &self,
        request: &[u8],
        server: SocketAddr,
        inside: bool,
        transport: Transport,
    ) -> io::Result<Vec<u8>> {
        match transport {
            Transport::Tcp => {
                let mut stream = self.tcp_socket(server, inside)?.connect(server).await?;
                write_message(&mut stream, request).await?;
                read_message(&mut stream).await
            }
            Transport::Udp => {
                let socket = self.udp_socket(server, inside)?;
                socket.connect(server).await?;
                socket.send(request).await?;
                let mut buffer = vec![0; 65535];
                loop {
                    let length = socket.recv(&mut buffer).await?;
                    // Anything else was sent by someone who guesses.
                    if length >= 12 && buffer[..2] == request[..2] {
                        buffer.truncate(length);
                        return Ok(buffer);
                    }
                }
            }
        }
    }

    fn udp_socket(&self, server: SocketAddr, inside: bool) -> io::Result<UdpSocket> {
        let any = unspecified(server);
        let socket = self.at(inside, || std::net::UdpSocket::bind(any))?;
        socket.set_nonblocking(true)?;
        UdpSocket::from_std(socket)
    }

    fn tcp_socket(&self, server: SocketAddr, inside: bool) -> io::Result<TcpSocket> {
        self.at(inside, || {
            if server.is_ipv4() {
                TcpSocket::new_v4()
            } else {
                TcpSocket::new_v6()
            }
        })
    }

    /// Opens a socket on the node or inside.
    fn at<T: Send>(
        &self,
        inside: bool,
        open: impl FnOnce() -> io::Result<T> + Send,
    ) -> io::Result<T> {
        use std::os::fd::AsFd as _;
        if !inside {
            return open();
        }
        namespace::within(self.netns.as_fd(), || Ok(open())).map_err(io::Error::other)?
    }

    /// Says once in a while that a server does not answer, so that a flood is no flood of lines.
    fn report(&self, server: SocketAddr, error: &io::Error) {
        let mut reported = self.reported.lock().unwrap_or_else(PoisonError::into_inner);
        if reported.is_none_or(|at| at.elapsed() > Duration::from_secs(60)) {
            *reported = Some(std::time::Instant::now());
            tracing::warn!(%server, %error, "name server does not answer");
        }
    }
}

fn unspecified(server: SocketAddr) -> SocketAddr {
    if server.is_ipv4() {
        (Ipv4Addr::UNSPECIFIED, 0).into()
    } else {
        (std::net::Ipv6Addr::UNSPECIFIED, 0).into()
    }
}

/// The server has no answer, and another might (RFC 1035, section 4.1.1: RCODE).
fn gives_up(answer: &[u8]) -> bool {
    const SERVER_FAILURE: u8 = 2;
    const REFUSED: u8 = 5;
    answer
        .get(3)
        .is_none_or(|flags| matches!(flags & 0x0f, SERVER_FAILURE | REFUSED))
}

/// That nobody answered.
fn failure(request: &[u8]) -> Vec<u8> {
    let Ok(request) = Message::from_vec(request) else {
        return Vec::new();
    };
    let mut message =
        Message::error_msg(request.metadata.id, OpCode::Query, ResponseCode::ServFail);
    message.metadata.recursion_desired = request.metadata.recursion_desired;
    message.metadata.recursion_available = true;
    message.add_queries(request.queries);
    message.to_vec().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(network: Id) -> Scope {
        let links = vec![("db".to_owned(), "postgres".to_owned())];
        Scope {
            networks: vec![ScopeNetwork {
                id: network,
                name: "back.end".to_owned(),
                links,
            }],
            servers: Vec::new(),
            leads_out: false,
        }
    }

    fn ask(scope: &Scope, names: &Names, name: &str, kind: RecordType) -> Option<Vec<RData>> {
        let mut request = Message::query();
        request.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
        let answer = scope.answer(names, &request)?;
        assert_eq!(answer.metadata.id, request.metadata.id);
        Some(
            answer
                .answers
                .into_iter()
                .map(|record| record.data)
                .collect(),
        )
    }

    #[test]
    fn names_links_and_addresses_are_answered_and_the_rest_is_not() {
        let (network, instance) = (Id::random(), Id::random());
        let mut names = Names::default();
        let address: Ipv4Addr = "10.0.0.2".parse().unwrap();
        names.enter(
            network,
            instance,
            &["postgres".to_owned()],
            vec![address.into()],
        );
        let scope = scope(network);
        let expected = Some(vec![RData::A(A(address))]);
        for name in [
            "postgres.",
            "PostgreS.",
            "db.",
            "postgres.back.end.",
            "db.BACK.end.",
        ] {
            assert_eq!(ask(&scope, &names, name, RecordType::A), expected, "{name}");
        }
        // The name exists, so nobody else is asked about it.
        assert_eq!(
            ask(&scope, &names, "postgres.", RecordType::AAAA),
            Some(vec![])
        );
        for name in [
            "postgre.",
            "postgres.end.",
            "back.end.",
            "postgresback.end.",
            ".",
        ] {
            assert_eq!(ask(&scope, &names, name, RecordType::A), None, "{name}");
        }
        let reverse = ask(&scope, &names, "2.0.0.10.in-addr.arpa.", RecordType::PTR).unwrap();
        assert_eq!(
            reverse,
            [RData::PTR(PTR(
                Name::from_ascii("postgres.back.end.").unwrap()
            ))]
        );
        assert_eq!(
            ask(&scope, &names, "3.0.0.10.in-addr.arpa.", RecordType::PTR),
            None
        );
    }

    #[test]
    fn a_failure_repeats_the_question() {
        let mut request = Message::query();
        request.add_query(Query::query(
            Name::from_ascii("x.example.").unwrap(),
            RecordType::A,
        ));
        let bytes = failure(&request.to_vec().unwrap());
        assert!(gives_up(&bytes));
        let answer = Message::from_vec(&bytes).unwrap();
        assert_eq!(
            (answer.metadata.id, answer.queries),
            (request.metadata.id, request.queries)
        );
    }
}
