//! Streams of a process over a taken-over connection: frames, detach keys, both directions.
//!
//! Without a terminal every chunk has a head of eight bytes: the stream, three zeros, the length in
//! big-endian order. With one the bytes are as they are.
//!
//! Spec: Docker Engine API 1.51, `ContainerAttach`.

use actions::stream::{Input, Output};
use bytes::{BufMut, Bytes, BytesMut};
use http::HeaderMap;
use http::header::USER_AGENT;
use model::stream::Stream;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Duration, Instant};

use crate::error::ApiError;
use crate::version::Version;

pub(crate) const RAW: &str = "application/vnd.docker.raw-stream";
pub(crate) const MULTIPLEXED: &str = "application/vnd.docker.multiplexed-stream";

/// Bytes read from a client at once.
const CHUNK: usize = 32 * 1024;

/// The content type of a stream; clients older than 1.42 know one only.
pub(crate) fn content_type(tty: bool, version: Version) -> &'static str {
    if !tty && version.has(42) {
        MULTIPLEXED
    } else {
        RAW
    }
}

/// One chunk with its head.
pub(crate) fn frame(stream: Stream, payload: &[u8]) -> Bytes {
    let mut framed = BytesMut::with_capacity(8 + payload.len());
    put_head(&mut framed, stream, payload.len());
    framed.put_slice(payload);
    framed.freeze()
}

/// The head of a chunk.
pub(crate) fn put_head(into: &mut BytesMut, stream: Stream, length: usize) {
    into.put_u8(match stream {
        Stream::Stdout => 1,
        Stream::Stderr => 2,
    });
    into.put_slice(&[0; 3]);
    // Chunks come from reads of at most some kilobytes.
    into.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
}

/// Keys that end an attachment without ending the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DetachKeys(Vec<u8>);

impl DetachKeys {
    /// Reads `ctrl-p,ctrl-q`; empty is that default.
    pub(crate) fn parse(text: &str) -> Result<Self, ApiError> {
        let text = if text.is_empty() {
            "ctrl-p,ctrl-q"
        } else {
            text
        };
        let keys = text.split(',').map(|key| match key.as_bytes() {
            [byte] => Some(*byte),
            _ => match key.strip_prefix("ctrl-")?.as_bytes() {
                [b'@'] => Some(0),
                [letter @ b'a'..=b'z'] => Some(letter - b'a' + 1),
                [b'['] => Some(27),
                [b'\\'] => Some(28),
                [b']'] => Some(29),
                [b'^'] => Some(30),
                [b'_'] => Some(31),
                _ => None,
            },
        });
        keys.collect::<Option<_>>()
            .map(Self)
            .ok_or_else(|| ApiError::invalid(format!("Invalid detach keys ({text}) provided")))
    }
}

/// Looks for the detach keys in what a client types; keys that turn out to be something else are
/// handed on late.
#[derive(Debug)]
struct Detector {
    keys: DetachKeys,
    seen: usize,
}

impl Detector {
    fn new(keys: DetachKeys) -> Self {
        Self { keys, seen: 0 }
    }

    /// What to hand on of `typed`, and whether the client detaches.
    fn take(&mut self, typed: &[u8]) -> (Vec<u8>, bool) {
        let mut through = Vec::with_capacity(typed.len());
        let keys = &self.keys.0;
        for byte in typed {
            if keys.get(self.seen) == Some(byte) {
                self.seen += 1;
                if self.seen == keys.len() {
                    self.seen = 0;
                    return (through, true);
                }
                continue;
            }
            through.extend_from_slice(&keys[..self.seen]);
            self.seen = 0;
            if keys.first() == Some(byte) {
                self.seen = 1;
            } else {
                through.push(*byte);
            }
        }
        (through, false)
    }
}

/// When the first bytes may follow the head of the answer to this request; `None` is at once.
///
/// QUIRK(docker-py 7.2): the library reads the head through a buffer and what follows past that
/// buffer, so what arrives together with the head is lost. Its own tests show it
/// (`test_attach_no_stream` and those of `exec`): nothing tells when a client has read, so it is
/// given time.
pub(crate) fn first_bytes_at(request: &HeaderMap) -> Option<Instant> {
    const TIME_TO_READ_THE_HEAD: Duration = Duration::from_millis(50);
    let agent = request.get(USER_AGENT)?.to_str().ok()?;
    let is_docker_py = ["docker-sdk-python/", "docker-py/"]
        .iter()
        .any(|name| agent.contains(name));
    is_docker_py.then(|| Instant::now() + TIME_TO_READ_THE_HEAD)
}

/// How a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The process's output ended, or the client left.
    Finished,
    /// The client typed the detach keys.
    Detached,
}

/// What a session carries.
pub(crate) struct Session {
    pub(crate) output: Output,
    pub(crate) input: Option<Input>,
    /// Which streams the client wants.
    pub(crate) stdout: bool,
    pub(crate) stderr: bool,
    /// The process has a terminal: all of its output is standard output.
    pub(crate) tty: bool,
    /// Chunks have heads. A client may read a terminal's output so, too.
    pub(crate) framed: bool,
    /// No output is written before; `None` holds nothing back.
    pub(crate) first_bytes_at: Option<Instant>,
    /// Looked for in the input; `None` looks for nothing.
    pub(crate) detach_keys: Option<DetachKeys>,
    /// The client's end of input ends the process's.
    pub(crate) close_input: bool,
}

impl Session {
    /// Carries bytes both ways until the output ends, the client leaves or detaches.
    ///
    /// A client that closes its side ends the input only: the output goes on.
    pub(crate) async fn run(self, connection: impl AsyncRead + AsyncWrite) -> Ended {
        let (mut from_client, mut to_client) = tokio::io::split(connection);
        let Self {
            output,
            input,
            stdout,
            stderr,
            tty,
            framed,
            first_bytes_at,
            detach_keys,
            close_input,
        } = self;
        let wanted = move |stream| match stream {
            Stream::Stdout => stdout,
            Stream::Stderr => stderr,
        };
        let ended = {
            let is_shown = move |stream| {
                if tty {
                    stdout || stderr
                } else {
                    wanted(stream)
                }
            };
            let outward = async {
                if let Some(at) = first_bytes_at {
                    tokio::time::sleep_until(at).await;
                }
                write_output(output, &mut to_client, framed, is_shown).await;
            };
            let inward = read_input(&mut from_client, input, detach_keys, close_input);
            tokio::pin!(outward, inward);
            tokio::select! {
                () = &mut outward => Ended::Finished,
                typed = &mut inward => match typed {
                    Typed::Detached => Ended::Detached,
                    Typed::Gone => Ended::Finished,
                    Typed::Closed => {
                        outward.await;
                        Ended::Finished
                    }
                },
            }
        };
        if let Err(error) = to_client.shutdown().await {
            tracing::debug!(%error, "closing a stream");
        }
        ended
    }
}

async fn write_output(
    mut output: Output,
    client: &mut (impl AsyncWrite + Unpin),
    framed: bool,
    is_shown: impl Fn(Stream) -> bool,
) {
    while let Some((stream, bytes)) = output.recv().await {
        if !is_shown(stream) {
            continue;
        }
        let written = if !framed {
            client.write_all(&bytes).await
        } else {
            let mut head = BytesMut::with_capacity(8);
            put_head(&mut head, stream, bytes.len());
            let mut both = bytes::Buf::chain(head.freeze(), bytes);
            client.write_all_buf(&mut both).await
        };
        if let Err(error) = written {
            tracing::debug!(%error, "a client left its stream");
            return;
        }
    }
    if let Err(error) = client.flush().await {
        tracing::debug!(%error, "a client left its stream");
    }
}

/// How the client's side ended.
enum Typed {
    /// It closed its side.
    Closed,
    /// Its connection broke.
    Gone,
    /// It typed the detach keys.
    Detached,
}

async fn read_input(
    client: &mut (impl AsyncRead + Unpin),
    mut input: Option<Input>,
    detach_keys: Option<DetachKeys>,
    close_input: bool,
) -> Typed {
    let mut detector = detach_keys.map(Detector::new);
    let mut buffer = vec![0; CHUNK];
    loop {
        let read = client.read(&mut buffer).await;
        if matches!(read, Ok(0) | Err(_))
            && let Some(input) = input.as_mut().filter(|_| close_input)
            && let Err(error) = input.shutdown().await
        {
            tracing::debug!(%error, "closing a process's input");
        }
        let count = match read {
            Ok(0) => return Typed::Closed,
            Ok(count) => count,
            Err(error) => {
                tracing::debug!(%error, "a client left its stream");
                return Typed::Gone;
            }
        };
        // Without an input what is sent is read and dropped, so that the client's end is seen.
        let Some(process) = &mut input else { continue };
        let typed = &buffer[..count];
        let (through, detached) = match &mut detector {
            Some(detector) => detector.take(typed),
            None => (typed.to_vec(), false),
        };
        let mut written = process.write_all(&through).await;
        if written.is_ok() {
            written = process.flush().await;
        }
        if let Err(error) = written {
            // The process closed its input; its output may go on.
            tracing::debug!(%error, "a process reads no more");
            input = None;
        }
        if detached {
            return Typed::Detached;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_has_its_stream_and_length() {
        assert_eq!(
            frame(Stream::Stderr, b"abc"),
            &b"\x02\0\0\0\0\0\0\x03abc"[..]
        );
    }

    #[test]
    fn only_a_client_that_loses_bytes_waits_for_them() {
        let agent = |name: &str| HeaderMap::from_iter([(USER_AGENT, name.parse().unwrap())]);
        for name in [
            "docker-sdk-python/7.2.0",
            "docker-compose/1.29.2 docker-py/5.0.3 Linux",
        ] {
            assert!(first_bytes_at(&agent(name)).is_some(), "{name}");
        }
        assert!(first_bytes_at(&agent("Docker-Client/28.2.2 (linux)")).is_none());
        assert!(first_bytes_at(&HeaderMap::new()).is_none());
    }

    #[test]
    fn detach_keys_are_read_by_name() {
        assert_eq!(DetachKeys::parse("").unwrap(), DetachKeys(vec![16, 17]));
        assert_eq!(
            DetachKeys::parse("a,ctrl-],ctrl-@").unwrap(),
            DetachKeys(vec![b'a', 29, 0])
        );
        assert_eq!(
            DetachKeys::parse("ctrl-A").unwrap_err().message,
            "Invalid detach keys (ctrl-A) provided"
        );
    }

    #[test]
    fn detach_keys_are_found_across_reads_and_others_pass_late() {
        let mut detector = Detector::new(DetachKeys(vec![16, 17]));
        assert_eq!(detector.take(b"ab\x10"), (b"ab".to_vec(), false));
        assert_eq!(detector.take(b"c"), (b"\x10c".to_vec(), false));
        assert_eq!(detector.take(b"\x10\x10"), (b"\x10".to_vec(), false));
        assert_eq!(detector.take(b"\x11rest"), (Vec::new(), true));
    }
}
