//! `GET /containers/{name}/logs`.

use std::collections::BTreeMap;

use actions::stream;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::{BufMut, Bytes, BytesMut};
use futures_util::{StreamExt, stream as streams};
use http::header::CONTENT_TYPE;
use model::container::LogConfig;
use model::stream::{LogLine, LogOptions};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::lookup::{about, find};
use crate::error::ApiError;
use crate::front::{At, Path};
use crate::stream::{content_type, put_head};
use crate::time;

pub(crate) async fn logs(at: At, Path(name): Path<String>) -> Result<Response, ApiError> {
    let (stdout, stderr) = (at.form.is_true("stdout"), at.form.is_true("stderr"));
    if !stdout && !stderr {
        return Err(ApiError::invalid(
            "Bad parameters: you must choose at least one stream",
        ));
    }
    let view = find(&at, &name)?;
    let id = view.instance.meta.id;
    let container = view
        .instance
        .spec
        .containers
        .first()
        .cloned()
        .unwrap_or_default();
    if container.log == LogConfig::None {
        return Err(ApiError::unsupported(
            "configured logging driver does not support reading",
        ));
    }
    // Clients send 0 for no bound.
    let bound = |name: &str| match at.form.get(name) {
        "" | "0" => Ok(None),
        text => time::parse(text)
            .map(Some)
            .map_err(|error| error.while_trying(&format!("invalid value for {name:?}"))),
    };
    let options = LogOptions {
        stdout,
        stderr,
        follow: at.form.is_true("follow"),
        // Anything but a number is everything.
        tail: at.form.get("tail").parse().ok(),
        since: bound("since")?,
        until: bound("until")?,
    };
    let layout = Layout {
        timestamps: at.form.is_true("timestamps"),
        framed: !container.tty,
        details: at.form.is_true("details"),
    };
    let mut batches = stream::logs(&at.cloud, &at.caller, id, &options)
        .await
        .map_err(|error| about(id, error))?;
    let batches = streams::poll_fn(move |cx| batches.poll_recv(cx));
    let body = Body::from_stream(batches.map(move |batch| {
        batch.map(|lines| layout.write(&lines)).map_err(|failure| {
            // The answer has begun: all that is left is to break it off.
            tracing::error!(%id, %failure, "reading a log");
            std::io::Error::other(failure)
        })
    }));
    let mut response = body.into_response();
    response.headers_mut().insert(
        CONTENT_TYPE,
        http::HeaderValue::from_static(content_type(container.tty, at.version)),
    );
    Ok(response)
}

/// How lines are laid out.
struct Layout {
    timestamps: bool,
    framed: bool,
    /// What log options add to a line stands before it.
    details: bool,
}

impl Layout {
    /// A batch of lines as one chunk: the time, the details, and the line, each in its frame.
    fn write(&self, lines: &[LogLine]) -> Bytes {
        let bytes = lines.iter().map(|line| line.bytes.len() + 48).sum();
        let mut chunk = BytesMut::with_capacity(bytes);
        let mut prefix = String::new();
        for line in lines {
            prefix.clear();
            if self.timestamps {
                prefix.push_str(&time::rfc3339_nine_digits(line.at));
                prefix.push(' ');
            }
            if self.details {
                put_details(&mut prefix, &line.details);
                prefix.push(' ');
            }
            if self.framed {
                put_head(&mut chunk, line.stream, prefix.len() + line.bytes.len());
            }
            chunk.put_slice(prefix.as_bytes());
            chunk.put_slice(&line.bytes);
        }
        chunk.freeze()
    }
}

/// What a query does not have as it is.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

/// `name=value` with commas in between, both as in the query of an address.
///
/// Source: moby, `api/server/httputils/write_log_stream.go`.
fn put_details(text: &mut String, details: &BTreeMap<String, String>) {
    for (number, (name, value)) in details.iter().enumerate() {
        if number > 0 {
            text.push(',');
        }
        put_escaped(text, name);
        text.push('=');
        put_escaped(text, value);
    }
}

/// As Go's `url.QueryEscape`.
fn put_escaped(text: &mut String, part: &str) {
    let escaped = utf8_percent_encode(part, ESCAPED).to_string();
    text.push_str(&escaped.replace("%20", "+"));
}

#[cfg(test)]
mod tests {
    use model::stream::Stream;

    use super::*;

    fn line() -> LogLine {
        LogLine {
            stream: Stream::Stderr,
            at: "2026-01-02T03:04:05Z".parse().unwrap(),
            bytes: b"hi\n".to_vec(),
            details: [("b", "x y&~"), ("a", "1")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into_iter()
                .collect::<BTreeMap<_, _>>()
                .into(),
        }
    }

    #[test]
    fn details_stand_before_a_line() {
        let layout = Layout {
            timestamps: false,
            framed: false,
            details: true,
        };
        assert_eq!(layout.write(&[line()]), &b"a=1,b=x+y%26~ hi\n"[..]);
    }

    #[test]
    fn a_line_is_framed_with_its_time() {
        let layout = Layout {
            timestamps: true,
            framed: true,
            details: false,
        };
        let chunk = layout.write(&[line()]);
        assert_eq!(&chunk[..8], &[2, 0, 0, 0, 0, 0, 0, 34]);
        assert_eq!(&chunk[8..], b"2026-01-02T03:04:05.000000000Z hi\n");
    }

    #[test]
    fn with_a_terminal_lines_are_bare() {
        let layout = Layout {
            timestamps: false,
            framed: false,
            details: false,
        };
        assert_eq!(layout.write(&[line(), line()]), &b"hi\nhi\n"[..]);
    }
}
