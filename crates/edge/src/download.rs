//! Downloads by HTTP and HTTPS, from places that the caller allows: every address is asked about before
//! anything is sent to it, also those that another server points to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::body::Body;
use http::header::{HOST, LOCATION, USER_AGENT};
use http::{Request, StatusCode, Uri};
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// How often another place may be pointed to.
const MOST_REDIRECTS: usize = 5;
/// How long a server may take to be connected to, and then to answer.
pub(crate) const ANSWERS_WITHIN: Duration = Duration::from_secs(30);

/// Why nothing could be downloaded.
#[derive(Debug, thiserror::Error)]
pub enum DownloadError {
    /// It is no address of a file at a server.
    #[error("{uri} is no http or https address; nothing else can be downloaded from")]
    Address {
        /// What was given, or pointed to.
        uri: String,
    },
    /// The caller does not allow it.
    #[error("nothing may be downloaded from {uri}")]
    NotAllowed {
        /// What was given, or pointed to.
        uri: String,
    },
    /// The name is not known.
    #[error("look up {host}")]
    LookUp {
        /// The name.
        host: String,
        /// Why.
        source: std::io::Error,
    },
    /// There is no connection.
    #[error("connect to {address}")]
    Connect {
        /// Where to.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The server is not who it should be, by its certificate, or does not speak TLS.
    #[error("speak TLS with {host}")]
    Tls {
        /// The name.
        host: String,
        /// Why not.
        source: std::io::Error,
    },
    /// A server points from an encrypted place to one that is not.
    #[error("{uri} leads away from encryption")]
    Unencrypted {
        /// Where it points to.
        uri: String,
    },
    /// The server does not speak HTTP.
    #[error("ask {address} for {uri}")]
    Ask {
        /// Where.
        address: SocketAddr,
        /// For what.
        uri: String,
        /// Why.
        source: hyper::Error,
    },
    /// The server takes too long.
    #[error("{uri} did not answer within {} seconds", ANSWERS_WITHIN.as_secs())]
    TimedOut {
        /// For what.
        uri: String,
    },
    /// The server has another answer than the file.
    #[error("{uri} was answered with {status}")]
    Status {
        /// For what.
        uri: String,
        /// The answer.
        status: StatusCode,
    },
    /// One server points to the next.
    #[error("{uri} leads nowhere, by more than {MOST_REDIRECTS} redirections")]
    Redirects {
        /// The last one.
        uri: String,
    },
}

/// A server, before anything is sent to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Server<'a> {
    /// What it is called in the address of the file, in lower case.
    pub host: &'a str,
    /// The port.
    pub port: u16,
    /// An address that the name has.
    pub address: IpAddr,
    /// It is this machine.
    pub is_own: bool,
}

/// The server and the port that an address is about.
///
/// # Errors
/// [`DownloadError::Address`].
pub fn place(uri: &str) -> Result<(String, u16), DownloadError> {
    let wrong = || DownloadError::Address {
        uri: uri.to_owned(),
    };
    let parsed: Uri = uri.parse().map_err(|_| wrong())?;
    let host = parsed.host().filter(|host| !host.is_empty());
    let usual_port = match parsed.scheme_str() {
        Some("http") => 80,
        Some("https") => 443,
        _ => return Err(wrong()),
    };
    let host = host.ok_or_else(wrong)?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let port = parsed.port_u16().unwrap_or(usual_port);
    Ok((host.to_ascii_lowercase(), port))
}

/// Whether an address is spoken to with TLS.
fn is_encrypted(uri: &str) -> bool {
    uri.get(..6)
        .is_some_and(|scheme| scheme.eq_ignore_ascii_case("https:"))
}

/// TLS with the authorities that the host trusts.
fn tls() -> TlsConnector {
    static TLS: OnceLock<TlsConnector> = OnceLock::new();
    let connector = TLS.get_or_init(|| {
        let found = rustls_native_certs::load_native_certs();
        for error in found.errors {
            tracing::warn!(%error, "read the host's certificate authorities");
        }
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(found.certs);
        trusting(roots)
    });
    connector.clone()
}

fn trusting(roots: RootCertStore) -> TlsConnector {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    #[expect(clippy::expect_used, reason = "the provider has both versions of TLS")]
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring has TLS 1.2 and 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth();
    TlsConnector::from(Arc::new(config))
}

/// The file at an address. `may` says of each server whether it may be asked.
///
/// # Errors
/// Whatever keeps the file from coming; what breaks off later is an error of the reader.
pub async fn get(
    uri: &str,
    may: impl Fn(Server<'_>) -> bool,
) -> Result<impl AsyncRead + Send + Unpin + 'static, DownloadError> {
    get_with(uri, may, &tls).await
}

/// As [`get`], with this TLS.
async fn get_with(
    uri: &str,
    may: impl Fn(Server<'_>) -> bool,
    tls: &(dyn Fn() -> TlsConnector + Sync),
) -> Result<impl AsyncRead + Send + Unpin + 'static, DownloadError> {
    let mut uri = uri.to_owned();
    for _ in 0..=MOST_REDIRECTS {
        let asked = timeout(ANSWERS_WITHIN, ask(&uri, &may, tls)).await;
        let response = asked.map_err(|_| DownloadError::TimedOut { uri: uri.clone() })??;
        let status = response.status();
        if status == StatusCode::OK {
            return Ok(crate::body::reader(Body::new(response.into_body())));
        }
        let location = response
            .headers()
            .get(LOCATION)
            .filter(|_| status.is_redirection());
        let Some(location) = location else {
            return Err(DownloadError::Status { uri, status });
        };
        let location = String::from_utf8_lossy(location.as_bytes());
        let next = joined(&uri, &location);
        if is_encrypted(&uri) && !is_encrypted(&next) {
            return Err(DownloadError::Unencrypted { uri: next });
        }
        uri = next;
    }
    Err(DownloadError::Redirects { uri })
}

/// The address that a server points to, which may be a path of its own only.
fn joined(uri: &str, location: &str) -> String {
    let is_path = location.starts_with('/') && !location.starts_with("//");
    match uri.parse::<Uri>() {
        Ok(from) if is_path => {
            let authority = from.authority().map_or("", |authority| authority.as_str());
            let scheme = from.scheme_str().unwrap_or("http");
            format!("{scheme}://{authority}{location}")
        }
        _ => location.to_owned(),
    }
}

/// A connection to a server, and its address; `None` where it may not be asked at any of those it has.
pub(crate) async fn connect(
    host: &str,
    port: u16,
    may: &impl Fn(Server<'_>) -> bool,
) -> Result<Option<(TcpStream, SocketAddr)>, DownloadError> {
    let found = lookup_host((host, port)).await;
    let found = found.map_err(|source| DownloadError::LookUp {
        host: host.to_owned(),
        source,
    })?;
    // The address that is allowed is the one that is connected to: a name could mean another one by
    // then.
    let allowed = found.into_iter().find(|address| {
        may(Server {
            host,
            port,
            address: address.ip(),
            is_own: is_own(*address),
        })
    });
    let Some(address) = allowed else {
        return Ok(None);
    };
    let stream = TcpStream::connect(address)
        .await
        .map_err(|source| DownloadError::Connect { address, source })?;
    Ok(Some((stream, address)))
}

async fn ask(
    uri: &str,
    may: &impl Fn(Server<'_>) -> bool,
    tls: &(dyn Fn() -> TlsConnector + Sync),
) -> Result<http::Response<hyper::body::Incoming>, DownloadError> {
    let (host, port) = place(uri)?;
    let not_allowed = || DownloadError::NotAllowed {
        uri: uri.to_owned(),
    };
    let (stream, address) = connect(&host, port, may).await?.ok_or_else(not_allowed)?;
    let failed = |source| DownloadError::Ask {
        address,
        uri: uri.to_owned(),
        source,
    };
    let request = request(uri)?;
    if !is_encrypted(uri) {
        return send(stream, request).await.map_err(failed);
    }
    let not_trusted = |source| DownloadError::Tls {
        host: host.clone(),
        source,
    };
    let name = ServerName::try_from(host.clone())
        .map_err(std::io::Error::other)
        .map_err(not_trusted)?;
    let stream = tls().connect(name, stream).await.map_err(not_trusted)?;
    send(stream, request).await.map_err(failed)
}

/// Asks on a connection of its own.
async fn send(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    request: Request<Body>,
) -> Result<http::Response<hyper::body::Incoming>, hyper::Error> {
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await?;
    // It ends with the answer's body.
    drop(tokio::spawn(connection));
    sender.send_request(request).await
}

/// Whether an address is this machine's: whoever asks it is seen to come from there. Nothing is sent.
fn is_own(address: SocketAddr) -> bool {
    let any: IpAddr = match address {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let from = UdpSocket::bind((any, 0)).and_then(|socket| {
        socket.connect(address)?;
        socket.local_addr()
    });
    from.is_ok_and(|from| from.ip() == address.ip())
}

fn request(uri: &str) -> Result<Request<Body>, DownloadError> {
    let wrong = || DownloadError::Address {
        uri: uri.to_owned(),
    };
    let parsed: Uri = uri.parse().map_err(|_| wrong())?;
    let authority = parsed.authority().ok_or_else(wrong)?;
    // Who signs in by the address is not passed on.
    let host = authority.as_str().rsplit('@').next().unwrap_or_default();
    let path = parsed.path_and_query().map_or("/", |path| path.as_str());
    Request::get(path)
        .header(HOST, host)
        .header(USER_AGENT, concat!("longshore/", env!("CARGO_PKG_VERSION")))
        .body(Body::empty())
        .map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::PrivateKeyDer;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// A server that gives each answer to one connection.
    async fn server(answers: Vec<String>) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(tokio::spawn(async move {
            for answer in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut asked = [0; 1024];
                let _read = stream.read(&mut asked).await.unwrap();
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        }));
        address
    }

    async fn text(uri: &str, may: impl Fn(Server<'_>) -> bool) -> Result<String, DownloadError> {
        let mut text = String::new();
        get(uri, may)
            .await?
            .read_to_string(&mut text)
            .await
            .unwrap();
        Ok(text)
    }

    #[tokio::test]
    async fn a_file_comes_from_where_another_server_points_to() {
        let file = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfile".to_owned();
        let last = server(vec![file]).await;
        let moved = "HTTP/1.1 302 Found\r\nlocation: /there\r\ncontent-length: 0\r\n\r\n";
        let away =
            format!("HTTP/1.1 302 Found\r\nlocation: http://{last}/x\r\ncontent-length: 0\r\n\r\n");
        let first = server(vec![moved.to_owned(), away.clone(), away]).await;
        let uri = format!("http://{first}/here");
        assert_eq!(text(&uri, |_| true).await.unwrap(), "file");
        let refused = text(&uri, |server| server.port == first.port()).await;
        assert!(matches!(refused, Err(DownloadError::NotAllowed { .. })));
    }

    #[tokio::test]
    async fn what_is_no_file_is_refused() {
        let answer = "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".to_owned();
        let address = server(vec![answer]).await;
        let missing = text(&format!("http://{address}/"), |_| true).await;
        assert!(matches!(missing, Err(DownloadError::Status { .. })));
        for uri in ["ftp://example.org/", "file:///etc/passwd", "/x", "http://"] {
            let refused = text(uri, |_| true).await;
            assert!(
                matches!(refused, Err(DownloadError::Address { .. })),
                "{uri}"
            );
        }
    }

    #[test]
    fn this_machine_is_known_by_its_addresses() {
        assert!(is_own("127.0.0.1:80".parse().unwrap()));
        assert!(is_own("[::1]:80".parse().unwrap()));
        assert!(!is_own("192.0.2.1:80".parse().unwrap()));
    }

    #[test]
    fn a_place_is_a_name_and_a_port() {
        assert_eq!(
            place("http://A.example/x").unwrap(),
            ("a.example".to_owned(), 80)
        );
        assert_eq!(place("http://[::1]:81/").unwrap(), ("::1".to_owned(), 81));
        assert_eq!(place("HTTPS://a/").unwrap(), ("a".to_owned(), 443));
    }

    #[tokio::test]
    async fn a_server_is_believed_by_its_certificate_only_and_encryption_is_not_left() {
        let own = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
        let certificate = own.cert.der().clone();
        let key = PrivateKeyDer::try_from(own.signing_key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone()], key)
            .unwrap();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let uri = format!("https://{}/file", listener.local_addr().unwrap());
        drop(tokio::spawn(async move {
            for answer in [
                "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfile",
                "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:9/\r\ncontent-length: 0\r\n\r\n",
                "",
            ] {
                let (stream, _) = listener.accept().await.unwrap();
                // Who does not believe it leaves.
                let Ok(mut stream) = acceptor.accept(stream).await else {
                    continue;
                };
                let mut asked = [0; 1024];
                let _read = stream.read(&mut asked).await.unwrap();
                stream.write_all(answer.as_bytes()).await.unwrap();
                stream.flush().await.unwrap();
            }
        }));
        let mut roots = RootCertStore::empty();
        roots.add(certificate).unwrap();
        let knows = move || trusting(roots.clone());
        let mut text = String::new();
        let mut file = get_with(&uri, |_| true, &knows).await.unwrap();
        file.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "file");
        let left = get_with(&uri, |_| true, &knows).await.err().unwrap();
        assert!(matches!(left, DownloadError::Unencrypted { .. }), "{left}");
        let stranger = || trusting(RootCertStore::empty());
        let refused = get_with(&uri, |_| true, &stranger).await.err().unwrap();
        assert!(matches!(refused, DownloadError::Tls { .. }), "{refused}");
    }
}
