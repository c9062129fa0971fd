//! What can go wrong between this node and a registry.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use http::{Method, StatusCode, Uri};
use serde::Deserialize;

use crate::digest::DigestError;

/// What somebody was asked: `GET "https://..."`.
#[derive(Clone, Debug)]
pub struct Question(Box<(Method, Uri)>);

impl Question {
    pub(crate) fn new(method: &Method, uri: &Uri) -> Self {
        Self(Box::new((method.clone(), uri.clone())))
    }
}

impl fmt::Display for Question {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (method, uri) = self.0.as_ref();
        write!(formatter, "{method} \"{uri}\"")
    }
}

/// Why a registry did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// There is no such address.
    #[error("{name} is no address of a registry")]
    Address {
        /// As in the reference, or as the registry said.
        name: String,
        /// What is wrong with it.
        source: http::Error,
    },
    /// No registry has such a repository.
    #[error("{name} is no name of a repository")]
    Name {
        /// The name.
        name: String,
    },
    /// Its certificates on this node.
    #[error("read the certificates for a registry from {}", path.display())]
    Certificates {
        /// The file or directory.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// There is no connection, or it broke before the answer.
    #[error("{question}")]
    Send {
        /// What was asked.
        question: Question,
        /// Why there is no answer.
        source: hyper_util::client::legacy::Error,
    },
    /// The answer takes too long.
    #[error("{question}: no answer within {} seconds", patience.as_secs())]
    TimedOut {
        /// What was asked.
        question: Question,
        /// How long it may take.
        patience: Duration,
    },
    /// The answer broke off.
    #[error("read the answer to {question}")]
    Read {
        /// What was asked.
        question: Question,
        /// Why.
        source: io::Error,
    },
    /// The answer is longer than such an answer can be.
    #[error("the answer to {question} has more than {most_bytes} bytes")]
    TooLong {
        /// What was asked.
        question: Question,
        /// The most that it may have.
        most_bytes: u64,
    },
    /// The registry says no, and perhaps why.
    #[error("{}", refusal_words(*status, code, message, question))]
    Refused {
        /// What was asked.
        question: Question,
        /// The answer.
        status: StatusCode,
        /// The registry's word for it: `MANIFEST_UNKNOWN`; may be empty.
        code: String,
        /// What it says about it; may be empty.
        message: String,
        /// When it wants to be asked again.
        retry_after: Option<Duration>,
    },
    /// The registry wants to know who asks, and nobody said so.
    #[error("{question}: no basic auth credentials")]
    NoCredentials {
        /// What was asked.
        question: Question,
    },
    /// A service that is to give a token would see the password on its way.
    #[error("the registry wants the password sent to {realm}, which is not encrypted")]
    OpenRealm {
        /// The service.
        realm: String,
    },
    /// The answer is none of the protocol.
    #[error("the answer to {question} is not one of a registry: {what}")]
    Answer {
        /// What was asked.
        question: Question,
        /// What is wrong with it.
        what: &'static str,
    },
    /// A document of it does not parse.
    #[error("the answer to {question} is not understood")]
    Document {
        /// What was asked.
        question: Question,
        /// Why.
        source: serde_json::Error,
    },
    /// A digest that cannot be.
    #[error(transparent)]
    Digest(#[from] DigestError),
    /// The content is not what it was asked by.
    #[error("{what} verification failed for digest {expected}: the registry sent {found}")]
    Verification {
        /// What it is: `manifest`, `filesystem layer`.
        what: &'static str,
        /// What was asked for.
        expected: String,
        /// What came.
        found: String,
    },
    /// A blob has another length than its descriptor says.
    #[error("{digest} has {said} bytes, but the registry sends {}", found.map_or_else(|| "more".to_owned(), |found| found.to_string()))]
    Length {
        /// The blob.
        digest: String,
        /// By its descriptor.
        said: u64,
        /// As sent; `None` where that goes on and on.
        found: Option<u64>,
    },
    /// Whoever reads or writes the content here is gone.
    #[error("nobody waits for it any more")]
    Abandoned,
}

/// The registry's own words where it has some, as Docker's users know them.
fn refusal_words(status: StatusCode, code: &str, message: &str, question: &Question) -> String {
    match (code, message) {
        ("", "") => format!(
            "{question} was answered with {} {}",
            status.as_u16(),
            status.canonical_reason().unwrap_or_default()
        ),
        ("", message) => message.to_owned(),
        (code, message) => format!("{}: {message}", code.to_lowercase().replace('_', " ")),
    }
}

impl RegistryError {
    /// The registry's word for why not: `DENIED`.
    #[must_use]
    pub fn code(&self) -> &str {
        match self {
            Self::Refused { code, .. } => code,
            _ => "",
        }
    }

    /// What was asked for is not there.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        match self {
            Self::Refused { status, .. } => *status == StatusCode::NOT_FOUND,
            Self::Name { .. } => true,
            _ => false,
        }
    }

    /// Another name or password, or one at all, might help.
    #[must_use]
    pub fn is_unauthorized(&self) -> bool {
        match self {
            Self::NoCredentials { .. } => true,
            Self::Refused { status, code, .. } => {
                *status == StatusCode::UNAUTHORIZED || code == "UNAUTHORIZED"
            }
            _ => false,
        }
    }

    /// The registry knows who asks, and does not let them.
    #[must_use]
    pub fn is_denied(&self) -> bool {
        match self {
            Self::Refused { status, code, .. } => {
                code == "DENIED" || (*status == StatusCode::FORBIDDEN && code.is_empty())
            }
            _ => false,
        }
    }

    /// The same may work a little later.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            Self::Send { source, .. } => !is_about_trust(source),
            Self::TimedOut { .. } | Self::Read { .. } => true,
            Self::Refused { status, .. } => {
                matches!(status.as_u16(), 408 | 425 | 429 | 500 | 502 | 503 | 504)
            }
            _ => false,
        }
    }

    /// When the registry wants to be asked again.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

/// A certificate does not get better by asking again.
fn is_about_trust(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.is::<rustls::Error>() {
            return true;
        }
        // The library wraps TLS errors in input and output errors, which hide them from `source`.
        cause = match error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref)
        {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    false
}

/// The envelope of errors.
///
/// Source: OCI Distribution Specification, "Error Codes".
#[derive(Debug, Deserialize)]
pub(crate) struct Envelope {
    pub(crate) errors: Vec<Entry>,
}

/// One error.
#[derive(Debug, Deserialize)]
pub(crate) struct Entry {
    #[serde(default)]
    pub(crate) code: String,
    #[serde(default)]
    pub(crate) message: String,
}
