//! Downloads by plain HTTP, from places that the caller allows: every address is asked about before
//! anything is sent to it, also those that another server points to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use axum::body::Body;
use http::header::{HOST, LOCATION, USER_AGENT};
use http::{Request, StatusCode, Uri};
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncRead;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

/// How often another place may be pointed to.
const MOST_REDIRECTS: usize = 5;
/// How long a server may take to be connected to, and then to answer.
const ANSWERS_WITHIN: Duration = Duration::from_secs(30);
/// The port of `http`.
const USUAL_PORT: u16 = 80;

/// Why nothing could be downloaded.
#[derive(Debug, thiserror::Error)]
pub enum DownloadError {
    /// It is no address of a file at a server.
    #[error("{uri} is no http address; nothing else can be downloaded from")]
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
    match (parsed.scheme_str(), host) {
        (Some("http"), Some(host)) => {
            let host = host.trim_start_matches('[').trim_end_matches(']');
            let port = parsed.port_u16().unwrap_or(USUAL_PORT);
            Ok((host.to_ascii_lowercase(), port))
        }
        _ => Err(wrong()),
    }
}

/// The file at an address. `may` says of each server whether it may be asked.
///
/// # Errors
/// Whatever keeps the file from coming; what breaks off later is an error of the reader.
pub async fn get(
    uri: &str,
    may: impl Fn(Server<'_>) -> bool,
) -> Result<impl AsyncRead + Send + Unpin + 'static, DownloadError> {
    let mut uri = uri.to_owned();
    for _ in 0..=MOST_REDIRECTS {
        let asked = timeout(ANSWERS_WITHIN, ask(&uri, &may)).await;
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
        uri = joined(&uri, &location);
    }
    Err(DownloadError::Redirects { uri })
}

/// The address that a server points to, which may be a path of its own only.
fn joined(uri: &str, location: &str) -> String {
    let is_path = location.starts_with('/') && !location.starts_with("//");
    match uri.parse::<Uri>() {
        Ok(from) if is_path => {
            let authority = from.authority().map_or("", |authority| authority.as_str());
            format!("http://{authority}{location}")
        }
        _ => location.to_owned(),
    }
}

async fn ask(
    uri: &str,
    may: &impl Fn(Server<'_>) -> bool,
) -> Result<http::Response<hyper::body::Incoming>, DownloadError> {
    let (host, port) = place(uri)?;
    let found = lookup_host((host.as_str(), port)).await;
    let found = found.map_err(|source| DownloadError::LookUp {
        host: host.clone(),
        source,
    })?;
    // The address that is allowed is the one that is connected to: a name could mean another one by
    // then.
    let address = found
        .into_iter()
        .find(|address| {
            may(Server {
                host: &host,
                port,
                address: address.ip(),
                is_own: is_own(*address),
            })
        })
        .ok_or_else(|| DownloadError::NotAllowed {
            uri: uri.to_owned(),
        })?;
    let stream = TcpStream::connect(address)
        .await
        .map_err(|source| DownloadError::Connect { address, source })?;
    let failed = |source| DownloadError::Ask {
        address,
        uri: uri.to_owned(),
        source,
    };
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await.map_err(failed)?;
    // It ends with the answer's body.
    drop(tokio::spawn(connection));
    sender.send_request(request(uri)?).await.map_err(failed)
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
        for uri in [
            "https://example.org/",
            "file:///etc/passwd",
            "/x",
            "http://",
        ] {
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
    }
}
