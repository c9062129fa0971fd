//! Errors in the words of gRPC, with what BuildKit's clients show beside them: the lines of the
//! Dockerfile that an error is about.

use actions::build::FailedBuild;
use actions::{ActionError, ErrorKind};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bollard_buildkit_proto::google::protobuf::Any;
use bollard_buildkit_proto::google::rpc;
use bytes::Bytes;
use http::StatusCode;
use prost::Message;
use serde_json::json;
use tonic::{Code, Status};

use crate::error::ApiError;

/// The type of a detail that has the lines: JSON, in the shape of `solver/errdefs/errdefs.proto`.
const SOURCE: &str = "github.com/moby/buildkit/errdefs.Source+json";

const fn code(kind: ErrorKind) -> Code {
    match kind {
        ErrorKind::NotFound => Code::NotFound,
        ErrorKind::AlreadyExists => Code::AlreadyExists,
        ErrorKind::Conflict | ErrorKind::NotModified => Code::FailedPrecondition,
        ErrorKind::Invalid | ErrorKind::CommandNotFound | ErrorKind::CommandNotExecutable => {
            Code::InvalidArgument
        }
        ErrorKind::Unauthenticated => Code::Unauthenticated,
        ErrorKind::Forbidden => Code::PermissionDenied,
        ErrorKind::QuotaExceeded | ErrorKind::NoCapacity => Code::ResourceExhausted,
        ErrorKind::Unavailable => Code::Unavailable,
        ErrorKind::TimedOut => Code::DeadlineExceeded,
        ErrorKind::Internal => Code::Internal,
    }
}

pub(super) fn action_status(error: ActionError) -> Status {
    Status::new(code(error.kind), error.message)
}

/// Of what is refused before anything is done.
pub(super) fn api_status(error: ApiError) -> Status {
    match error.status {
        StatusCode::NOT_IMPLEMENTED => Status::unimplemented(error.message),
        _ => Status::invalid_argument(error.message),
    }
}

/// The same, the other way round.
pub(super) fn status_error(status: &Status) -> ApiError {
    let code = match status.code() {
        Code::AlreadyExists => StatusCode::CONFLICT,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::Unimplemented => StatusCode::NOT_IMPLEMENTED,
        _ => StatusCode::BAD_REQUEST,
    };
    ApiError::new(code, status.message())
}

/// The error with which a client is through with its build.
pub(super) fn returned_status(error: &rpc::Status) -> Status {
    let code = Code::from_i32(error.code);
    Status::with_details(code, &error.message, Bytes::from(error.encode_to_vec()))
}

/// A Dockerfile, as errors show it.
pub(super) struct Shown<'a> {
    pub(super) path: &'a str,
    pub(super) text: &'a [u8],
}

/// Why there is no image, with the lines that it is about. Clients put the name of a code in front of the
/// words: BuildKit's builds fail without one.
pub(super) fn build_status(failed: FailedBuild, file: Option<&Shown<'_>>) -> Status {
    let FailedBuild { error, line, .. } = failed;
    let (Some(line), Some(file)) = (line, file) else {
        return Status::unknown(error.message);
    };
    let place = json!({ "line": line });
    let source = json!({
        "info": {
            "filename": file.path,
            "data": STANDARD.encode(file.text),
            "language": "Dockerfile",
        },
        "ranges": [{ "start": place, "end": place }],
    });
    let status = rpc::Status {
        code: Code::Unknown as i32,
        message: error.message.clone(),
        details: vec![Any {
            type_url: SOURCE.to_owned(),
            value: source.to_string().into_bytes(),
        }],
    };
    let details = Bytes::from(status.encode_to_vec());
    Status::with_details(Code::Unknown, error.message, details)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_about_a_line_has_the_file_with_it() {
        let failed = FailedBuild {
            line: Some(2),
            ..ActionError::new(ErrorKind::Invalid, "no such instruction").into()
        };
        let file = Shown {
            path: "Dockerfile",
            text: b"FROM a\nNOPE\n",
        };
        let status = build_status(failed, Some(&file));
        assert_eq!(status.code(), Code::Unknown);
        let decoded = rpc::Status::decode(status.details()).unwrap();
        assert_eq!(decoded.message, "no such instruction");
        let source: serde_json::Value = serde_json::from_slice(&decoded.details[0].value).unwrap();
        assert_eq!(source["ranges"][0]["start"]["line"], 2);
        assert_eq!(source["info"]["data"], "RlJPTSBhCk5PUEUK");
        // What a client hands back is what it got.
        assert_eq!(returned_status(&decoded).details(), status.details());
    }
}
