//! From this crate's typed errors to the [`Failure`] that travels to front ends.
//!
//! Every operation has its own error enum; here they lose their type and keep their words: the
//! error's own and, after a colon each, those of its causes.

use std::error::Error;

use model::instance::{Failure, FailureKind};

/// A failure of this kind with the words of `error` and of its causes.
pub(crate) fn failure(kind: FailureKind, error: &(dyn Error + 'static)) -> Failure {
    let mut message = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        message.push_str(": ");
        message.push_str(&error.to_string());
        cause = error.source();
    }
    Failure { kind, message }
}

/// A failure of the node itself.
pub(crate) fn internal(error: &(dyn Error + 'static)) -> Failure {
    failure(FailureKind::Internal, error)
}

/// A failure of this kind with these words.
pub(crate) fn refused(kind: FailureKind, message: impl Into<String>) -> Failure {
    Failure {
        kind,
        message: message.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("read {path}")]
    struct ReadError {
        path: &'static str,
        source: std::io::Error,
    }

    #[test]
    fn causes_follow_after_a_colon() {
        let error = ReadError {
            path: "/x",
            source: std::io::Error::other("disk on fire"),
        };
        assert_eq!(internal(&error).message, "read /x: disk on fire");
    }
}
