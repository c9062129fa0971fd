//! The way to a registry: straight, or by a proxy that the operator names.
//!
//! What is encrypted goes through a tunnel (`CONNECT`), the rest is asked of the proxy itself; a
//! password for the proxy goes to the proxy only. Which host goes which way is as in Go's programs,
//! dockerd among them: what `no` names goes straight, and so does this machine.
//!
//! Source: RFC 9110, sections 7.2 and 9.3.6.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{HeaderValue, Uri};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower_service::Service;

/// What is never asked of a proxy.
const THIS_MACHINE: &str = "localhost,127.0.0.0/8,::1";

/// The proxies between this node and registries.
#[derive(Clone, Default)]
pub struct Proxies {
    /// For registries without TLS.
    pub http: Option<Proxy>,
    /// For registries with TLS.
    pub https: Option<Proxy>,
    /// Names, domains, addresses and ranges that are spoken to straight, with commas in between.
    pub no: String,
}

/// A proxy: `http://[USER:PASSWORD@]HOST[:PORT]`. Nothing at all names none, as in an environment where
/// the variable is set and empty.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy(String);

/// A text that names no proxy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is no proxy: it must be http://, perhaps USER:PASSWORD@, and a host")]
pub struct ProxyError;

impl std::str::FromStr for Proxy {
    type Err = ProxyError;

    fn from_str(text: &str) -> Result<Self, ProxyError> {
        if text.is_empty() {
            return Ok(Self(String::new()));
        }
        // Without a scheme it is this one, as curl and Go take it.
        let text = match text.contains("://") {
            true => text.to_owned(),
            false => format!("http://{text}"),
        };
        let uri: Uri = text.parse().map_err(|_| ProxyError)?;
        let is_proxy = uri.scheme_str() == Some("http")
            && uri.host().is_some_and(|host| !host.is_empty())
            && uri.path() == "/";
        is_proxy.then_some(Self(text)).ok_or(ProxyError)
    }
}

impl fmt::Debug for Proxy {
    /// Without its password.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Proxy")
    }
}

impl fmt::Debug for Proxies {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Proxies")
    }
}

/// Which way goes to a server.
#[derive(Clone)]
pub(super) struct Ways(Arc<Matcher>);

impl Ways {
    pub(super) fn new(proxies: &Proxies) -> Self {
        let text = |proxy: &Option<Proxy>| {
            let proxy = proxy.as_ref();
            proxy.map_or_else(String::new, |proxy| proxy.0.clone())
        };
        let matcher = Matcher::builder()
            .http(text(&proxies.http))
            .https(text(&proxies.https))
            .no(format!("{THIS_MACHINE},{}", proxies.no))
            .build();
        Self(Arc::new(matcher))
    }

    /// What the proxy of a request without TLS wants to see, where there is one and it does.
    pub(super) fn password(&self, uri: &Uri) -> Option<HeaderValue> {
        let is_open = uri.scheme_str() == Some("http");
        let proxy = self.0.intercept(uri).filter(|_| is_open)?;
        let mut password = proxy.basic_auth()?.clone();
        password.set_sensitive(true);
        Some(password)
    }
}

/// Connects to servers.
#[derive(Clone)]
pub(super) struct Route {
    pub(super) straight: HttpConnector,
    pub(super) ways: Ways,
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

impl Service<Uri> for Route {
    type Response = Link;
    type Error = Failure;
    type Future = Pin<Box<dyn Future<Output = Result<Link, Failure>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        self.straight.poll_ready(context).map_err(Failure::from)
    }

    fn call(&mut self, server: Uri) -> Self::Future {
        let mut straight = self.straight.clone();
        let proxy = self.ways.0.intercept(&server);
        Box::pin(async move {
            let Some(proxy) = proxy else {
                let stream = straight.call(server).await?;
                return Ok(Link::new(stream, false));
            };
            if server.scheme_str() != Some("https") {
                let stream = straight.call(proxy.uri().clone()).await?;
                return Ok(Link::new(stream, true));
            }
            let mut tunnel = Tunnel::new(proxy.uri().clone(), straight);
            if let Some(password) = proxy.basic_auth() {
                tunnel = tunnel.with_auth(password.clone());
            }
            Ok(Link::new(tunnel.call(server).await?, false))
        })
    }
}

/// A connection, to a server or to a proxy that is to ask it.
pub(super) struct Link {
    stream: TokioIo<TcpStream>,
    is_proxys: bool,
}

impl Link {
    const fn new(stream: TokioIo<TcpStream>, is_proxys: bool) -> Self {
        Self { stream, is_proxys }
    }
}

impl Connection for Link {
    fn connected(&self) -> Connected {
        self.stream.connected().proxy(self.is_proxys)
    }
}

impl Read for Link {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl Write for Link {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, pieces)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_servers_are_spoken_to_straight() {
        let ways = Ways::new(&Proxies {
            http: "user:secret@proxy:3128".parse().ok(),
            https: None,
            no: ".example,10.0.0.0/8,other".to_owned(),
        });
        for (server, is_proxied) in [
            ("http://registry:5000/v2/", true),
            ("https://registry/v2/", false),
            ("http://a.example/v2/", false),
            ("http://10.1.2.3:5000/v2/", false),
            ("http://other:5000/v2/", false),
            ("http://127.0.0.1:5000/v2/", false),
            ("http://localhost:5000/v2/", false),
            ("http://[::1]:5000/v2/", false),
        ] {
            let server: Uri = server.parse().unwrap();
            assert_eq!(ways.0.intercept(&server).is_some(), is_proxied, "{server}");
            assert_eq!(ways.password(&server).is_some(), is_proxied, "{server}");
        }
    }

    #[test]
    fn a_variable_that_is_empty_names_no_proxy() {
        let ways = Ways::new(&Proxies {
            http: Some("".parse().unwrap()),
            https: Some("".parse().unwrap()),
            no: String::new(),
        });
        for server in ["http://registry:5000/v2/", "https://registry/v2/"] {
            assert!(ways.0.intercept(&server.parse().unwrap()).is_none());
        }
    }

    #[test]
    fn a_proxy_is_asked_without_tls() {
        for text in ["proxy", "http://proxy:3128", "http://u:p@proxy/"] {
            assert!(text.parse::<Proxy>().is_ok(), "{text}");
        }
        for text in ["https://proxy", "socks5://proxy", "http://proxy/path"] {
            assert!(text.parse::<Proxy>().is_err(), "{text}");
        }
    }
}
