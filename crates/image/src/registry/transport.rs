//! Requests and answers: connections that are kept, redirections, time limits, errors in the
//! registry's envelope.

use std::collections::HashMap;
use std::io;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    AUTHORIZATION, LOCATION, PROXY_AUTHORIZATION, RETRY_AFTER, USER_AGENT, WWW_AUTHENTICATE,
};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::ClientConfig;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::certificates::{Certificates, Trust, directory};
use super::endpoint::{Endpoint, Scheme, resolve};
use super::error::{Envelope, Question};
use super::route::{Proxies, Route, Ways};
use super::{Registries, RegistryError};

/// How often one server may point to the next.
const MOST_REDIRECTS: usize = 5;
/// How long a connection may take.
const CONNECTS_WITHIN: Duration = Duration::from_secs(15);
/// How long a connection is kept that nothing is asked on.
const KEPT_IDLE: Duration = Duration::from_secs(30);
/// The longest envelope of an error that is read.
const LONGEST_ENVELOPE: usize = 64 << 10;
/// What we are called.
const AGENT: &str = concat!("longshore/", env!("CARGO_PKG_VERSION"));

pub(crate) type Body = UnsyncBoxBody<Bytes, io::Error>;
type Http = Client<HttpsConnector<Route>, Body>;

/// A body without content.
pub(crate) fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// A body that is in memory.
pub(crate) fn full(content: impl Into<Bytes>) -> Body {
    Full::new(content.into())
        .map_err(|never| match never {})
        .boxed_unsync()
}

/// A request that can be sent more than once.
pub(crate) struct Call<'a> {
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
    /// Makes its body, for each attempt anew.
    pub(crate) body: &'a (dyn Fn() -> Body + Send + Sync),
    /// How much of the body has gone out: as long as that grows, no answer is expected.
    pub(crate) sent: &'a AtomicU64,
}

/// Nothing has gone out of a body that has nothing.
static NOTHING_SENT: AtomicU64 = AtomicU64::new(0);

impl Call<'_> {
    fn question(&self) -> Question {
        Question::new(&self.method, &self.uri)
    }

    /// One without headers and body.
    pub(crate) fn bare(method: Method, uri: Uri) -> Self {
        Self {
            method,
            uri,
            headers: HeaderMap::new(),
            body: &empty,
            sent: &NOTHING_SENT,
        }
    }
}

/// An answer, whose body is still to come.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) method: Method,
    /// Where it came from, after all redirections.
    pub(crate) uri: Uri,
    pub(crate) head: response::Parts,
    pub(crate) body: Incoming,
}

/// The connections.
pub(crate) struct Transport {
    certificates: Certificates,
    ways: Ways,
    patience: Duration,
    vouched: OnceLock<Http>,
    anyone: OnceLock<Http>,
    /// For those that have files of their own, and who has none.
    special: Mutex<HashMap<String, Option<Http>>>,
}

impl std::fmt::Debug for Transport {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Transport").finish_non_exhaustive()
    }
}

impl Transport {
    pub(crate) fn new(patience: Duration, proxies: &Proxies) -> Self {
        Self {
            certificates: Certificates::new(),
            ways: Ways::new(proxies),
            patience,
            vouched: OnceLock::new(),
            anyone: OnceLock::new(),
            special: Mutex::default(),
        }
    }

    /// Looks at the files for a registry again when it is spoken to the next time, so that whoever
    /// changes them need not restart anything.
    pub(crate) fn look_again(&self, authority: &str) {
        self.special().remove(authority);
    }

    fn special(&self) -> MutexGuard<'_, HashMap<String, Option<Http>>> {
        self.special.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the server that may be without TLS has it: asked as Docker asks, TLS first.
    pub(crate) async fn probe(
        &self,
        registries: &Registries,
        authority: &str,
    ) -> Result<Scheme, RegistryError> {
        let mut last = Scheme::Http;
        for scheme in [Scheme::Https, Scheme::Http] {
            let endpoint = Endpoint::new(scheme, authority);
            let uri = at(&endpoint, "/v2/")?;
            match self
                .send_once(registries, &Call::bare(Method::GET, uri), None)
                .await
            {
                Ok(_) => return Ok(scheme),
                Err(_) if scheme == Scheme::Https => last = Scheme::Http,
                Err(error) => return Err(error),
            }
        }
        Ok(last)
    }

    /// Sends a request and follows redirections of those that only read.
    ///
    /// `authorization` goes to the request's own server only, and only as long as that is asked.
    pub(crate) async fn send(
        &self,
        registries: &Registries,
        call: &Call<'_>,
        authorization: Option<&HeaderValue>,
    ) -> Result<Answer, RegistryError> {
        let mut uri = call.uri.clone();
        for _ in 0..=MOST_REDIRECTS {
            let hop = Call {
                method: call.method.clone(),
                uri: uri.clone(),
                headers: call.headers.clone(),
                body: call.body,
                sent: call.sent,
            };
            let is_origin =
                uri.scheme() == call.uri.scheme() && uri.authority() == call.uri.authority();
            let answer = self
                .send_once(registries, &hop, authorization.filter(|_| is_origin))
                .await?;
            let reads = matches!(call.method, Method::GET | Method::HEAD);
            if !reads || !is_redirection(answer.head.status) {
                return Ok(answer);
            }
            let location = answer
                .head
                .headers
                .get(LOCATION)
                .and_then(|location| location.to_str().ok())
                .and_then(|location| resolve(&uri, location));
            let target = location.ok_or_else(|| answer.unexpected("it leads nowhere"))?;
            if !may_follow(registries, &uri, &target) {
                return Err(answer.unexpected("it leads away from encryption"));
            }
            uri = target;
        }
        Err(RegistryError::Answer {
            question: call.question(),
            what: "one server leads to the next without end",
        })
    }

    /// Sends a request whose own headers say who asks: no redirection is followed.
    pub(crate) async fn send_here(
        &self,
        registries: &Registries,
        call: &Call<'_>,
    ) -> Result<Answer, RegistryError> {
        self.send_once(registries, call, None).await
    }

    async fn send_once(
        &self,
        registries: &Registries,
        call: &Call<'_>,
        authorization: Option<&HeaderValue>,
    ) -> Result<Answer, RegistryError> {
        let (method, uri) = (&call.method, &call.uri);
        let mut request = Request::new((call.body)());
        *request.method_mut() = method.clone();
        *request.uri_mut() = uri.clone();
        *request.headers_mut() = call.headers.clone();
        let headers = request.headers_mut();
        headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
        if let Some(authorization) = authorization {
            headers.insert(AUTHORIZATION, authorization.clone());
        }
        headers.extend(
            self.ways
                .password(uri)
                .map(|password| (PROXY_AUTHORIZATION, password)),
        );
        let http = self.http(registries, uri)?;
        let answer = self
            .patiently(http.request(request), call.sent)
            .await
            .ok_or_else(|| RegistryError::TimedOut {
                question: call.question(),
                patience: self.patience,
            })?
            .map_err(|source| RegistryError::Send {
                question: call.question(),
                source,
            })?;
        let (head, body) = answer.into_parts();
        Ok(Answer {
            method: method.clone(),
            uri: uri.clone(),
            head,
            body,
        })
    }

    /// Waits for an answer as long as the request goes out, and then no longer than patience lasts.
    async fn patiently<T>(&self, answer: impl Future<Output = T>, sent: &AtomicU64) -> Option<T> {
        let mut answer = pin!(answer);
        loop {
            let before = sent.load(Ordering::Relaxed);
            match timeout(self.patience, &mut answer).await {
                Ok(answer) => return Some(answer),
                Err(_) if sent.load(Ordering::Relaxed) != before => {}
                Err(_) => return None,
            }
        }
    }

    /// The next piece of an answer; `None` at its end.
    pub(crate) async fn next_chunk(
        &self,
        answer: &mut Answer,
    ) -> Result<Option<Bytes>, RegistryError> {
        loop {
            let frame = timeout(self.patience, answer.body.frame())
                .await
                .map_err(|_| RegistryError::TimedOut {
                    question: answer.question(),
                    patience: self.patience,
                })?;
            match frame {
                None => return Ok(None),
                Some(Ok(frame)) => {
                    if let Ok(chunk) = frame.into_data() {
                        return Ok(Some(chunk));
                    }
                }
                Some(Err(error)) => {
                    return Err(RegistryError::Read {
                        question: answer.question(),
                        source: io::Error::other(error),
                    });
                }
            }
        }
    }

    /// All of an answer that is at most so long.
    pub(crate) async fn read(
        &self,
        answer: Answer,
        most_bytes: usize,
    ) -> Result<Bytes, RegistryError> {
        let question = answer.question();
        let read = timeout(
            self.patience,
            Limited::new(answer.body, most_bytes).collect(),
        )
        .await;
        match read {
            Ok(Ok(collected)) => Ok(collected.to_bytes()),
            Ok(Err(error)) if error.is::<LengthLimitError>() => Err(RegistryError::TooLong {
                question,
                most_bytes: most_bytes as u64,
            }),
            Ok(Err(error)) => Err(RegistryError::Read {
                question,
                source: io::Error::other(error),
            }),
            Err(_) => Err(RegistryError::TimedOut {
                question,
                patience: self.patience,
            }),
        }
    }

    /// A document of at most so many bytes.
    pub(crate) async fn json<T: DeserializeOwned>(
        &self,
        answer: Answer,
        most_bytes: usize,
    ) -> Result<T, RegistryError> {
        let question = answer.question();
        let text = self.read(answer, most_bytes).await?;
        serde_json::from_slice(&text).map_err(|source| RegistryError::Document { question, source })
    }

    /// What an answer that is no success says.
    pub(crate) async fn refused(&self, answer: Answer) -> RegistryError {
        let (question, status) = (answer.question(), answer.head.status);
        let retry_after = answer
            .head
            .headers
            .get(RETRY_AFTER)
            .and_then(|value| value.to_str().ok()?.parse().ok())
            .map(Duration::from_secs);
        let lacks_scope = status == StatusCode::UNAUTHORIZED
            && answer
                .header(WWW_AUTHENTICATE)
                .is_some_and(|challenge| challenge.contains("error=\"insufficient_scope\""));
        let body = self
            .read(answer, LONGEST_ENVELOPE)
            .await
            .unwrap_or_default();
        let first = serde_json::from_slice::<Envelope>(&body)
            .ok()
            .and_then(|envelope| envelope.errors.into_iter().next());
        let (mut code, mut message) =
            first.map_or_else(Default::default, |entry| (entry.code, entry.message));
        if lacks_scope {
            // The registry knows who asks; who is in front of it says what that means.
            "DENIED".clone_into(&mut code);
            "requested access to the resource is denied".clone_into(&mut message);
        }
        RegistryError::Refused {
            question,
            status,
            code,
            message,
            retry_after,
        }
    }

    /// The connections to a registry that has files of its own.
    fn special_http(
        &self,
        registries: &Registries,
        authority: &str,
        trust: Trust,
    ) -> Result<Option<Http>, RegistryError> {
        if let Some(known) = self.special().get(authority) {
            return Ok(known.clone());
        }
        let dir = directory(&registries.settings().certificates, authority);
        let http = self
            .certificates
            .of(&dir, trust)?
            .map(|config| self.client(config));
        self.special().insert(authority.to_owned(), http.clone());
        Ok(http)
    }

    /// The connections that suit a server.
    fn http(&self, registries: &Registries, uri: &Uri) -> Result<Http, RegistryError> {
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        let trust = registries.trust(authority);
        if is_encrypted(uri)
            && let Some(http) = self.special_http(registries, authority, trust)?
        {
            return Ok(http);
        }
        let kept = match trust {
            Trust::Vouched => &self.vouched,
            Trust::Anyone => &self.anyone,
        };
        Ok(kept
            .get_or_init(|| self.client(self.certificates.usual(trust)))
            .clone())
    }

    fn client(&self, config: ClientConfig) -> Http {
        let mut straight = HttpConnector::new();
        straight.enforce_http(false);
        straight.set_connect_timeout(Some(CONNECTS_WITHIN));
        straight.set_nodelay(true);
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(config)
            .https_or_http()
            .enable_http1()
            .wrap_connector(Route {
                straight,
                ways: self.ways.clone(),
            });
        Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(KEPT_IDLE)
            .build(connector)
    }
}

/// A path at a registry.
pub(crate) fn at(endpoint: &Endpoint, path: &str) -> Result<Uri, RegistryError> {
    endpoint.at(path).map_err(|source| RegistryError::Address {
        name: endpoint.to_string(),
        source,
    })
}

fn is_redirection(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

fn is_encrypted(uri: &Uri) -> bool {
    uri.scheme_str() == Some("https")
}

/// Encryption is not left, and without it only those are spoken to that may be.
fn may_follow(registries: &Registries, from: &Uri, to: &Uri) -> bool {
    let Some(authority) = to.authority() else {
        return false;
    };
    match to.scheme_str() {
        Some("https") => true,
        Some("http") => {
            !is_encrypted(from) && registries.trust(authority.as_str()) == Trust::Anyone
        }
        _ => false,
    }
}

impl Answer {
    fn question(&self) -> Question {
        Question::new(&self.method, &self.uri)
    }

    /// It is not what it should be.
    pub(crate) fn unexpected(&self, what: &'static str) -> RegistryError {
        RegistryError::Answer {
            question: self.question(),
            what,
        }
    }

    /// The text of a header.
    pub(crate) fn header(&self, name: impl http::header::AsHeaderName) -> Option<&str> {
        self.head.headers.get(name)?.to_str().ok()
    }
}
