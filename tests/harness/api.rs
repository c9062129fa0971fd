//! An API without a client: one request, one answer, over a socket or TCP.
//!
//! For what a client would not send (bad input), and for measuring without a client's own time.

use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

/// A connection that is used again for each request.
pub struct Api {
    address: Address,
    /// Sent with every request.
    headers: Vec<(String, String)>,
    connection: Option<BufReader<Box<dyn Stream>>>,
}

/// Where a daemon listens.
enum Address {
    Socket(PathBuf),
    /// Host and port.
    Tcp(String),
}

trait Stream: Read + Write + Send {}

impl<S: Read + Write + Send> Stream for S {}

impl Address {
    fn connect(&self) -> Result<Box<dyn Stream>> {
        Ok(match self {
            Self::Socket(path) => Box::new(UnixStream::connect(path).context("connect")?),
            Self::Tcp(address) => {
                let stream = TcpStream::connect(address).context("connect")?;
                stream.set_nodelay(true)?;
                Box::new(stream)
            }
        })
    }
}

/// What was answered.
#[derive(Debug)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// Names in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// The body, whole.
    pub body: Vec<u8>,
}

impl Reply {
    /// The body as JSON.
    ///
    /// # Errors
    /// When it is none.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_slice(&self.body)
            .with_context(|| format!("{:?}", String::from_utf8_lossy(&self.body)))
    }

    /// The value of a header, by its name in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The message of an error of Docker's, empty where there is none.
    #[must_use]
    pub fn message(&self) -> String {
        let message = self
            .json()
            .ok()
            .and_then(|body| Some(body.get("message")?.as_str()?.to_owned()));
        message.unwrap_or_default()
    }
}

impl Api {
    /// Requests for the daemon behind this socket.
    #[must_use]
    pub fn new(socket: &Path) -> Self {
        Self::at(Address::Socket(socket.to_owned()))
    }

    /// Requests for the daemon that listens at this host and port.
    #[must_use]
    pub fn tcp(address: &str) -> Self {
        Self::at(Address::Tcp(address.to_owned()))
    }

    const fn at(address: Address) -> Self {
        Self {
            address,
            headers: Vec::new(),
            connection: None,
        }
    }

    /// Sends this header with every request from now on.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sends a request with a JSON body, or none, and reads the whole answer.
    ///
    /// # Errors
    /// When the connection breaks or what comes back is not HTTP.
    pub fn call(&mut self, method: &str, path: &str, body: Option<&Value>) -> Result<Reply> {
        let body = body.map(Value::to_string);
        self.raw(
            method,
            path,
            "application/json",
            body.as_deref().unwrap_or_default().as_bytes(),
        )
    }

    /// As [`Api::call`], and fails unless the status is one of success.
    ///
    /// # Errors
    /// As [`Api::call`], or with the message of the answer.
    pub fn expect(&mut self, method: &str, path: &str, body: Option<&Value>) -> Result<Reply> {
        let reply = self.call(method, path, body)?;
        ensure!(
            (200..400).contains(&reply.status),
            "{method} {path}: {} {}",
            reply.status,
            reply.message()
        );
        Ok(reply)
    }

    /// Asks for the head of an answer alone, on a connection of its own.
    ///
    /// # Errors
    /// As [`Api::call`].
    pub fn head(&mut self, path: &str) -> Result<Reply> {
        self.connection = None;
        let mut connection = BufReader::new(self.address.connect()?);
        let mut head = format!("HEAD {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n");
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        connection.get_mut().write_all(head.as_bytes())?;
        let (status, headers) = read_head(&mut connection)?;
        let body = Vec::new();
        Ok(Reply {
            status,
            headers,
            body,
        })
    }

    /// Sends any bytes as a body.
    ///
    /// # Errors
    /// As [`Api::call`].
    pub fn raw(
        &mut self,
        method: &str,
        path: &str,
        content_type: &str,
        body: &[u8],
    ) -> Result<Reply> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => BufReader::new(self.address.connect()?),
        };
        let mut head = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n",
            body.len()
        );
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        connection.get_mut().write_all(head.as_bytes())?;
        // A daemon may refuse a large body before it has read it all.
        let _refused_early = connection.get_mut().write_all(body);
        let (reply, is_reusable) = read_reply(&mut connection)?;
        // A daemon that refuses what it has not read to its end closes the connection afterwards,
        // which its answer could not say yet.
        let is_read = body.is_empty() || reply.status < 400;
        if is_reusable && is_read {
            self.connection = Some(connection);
        }
        Ok(reply)
    }
}

fn read_line(connection: &mut BufReader<Box<dyn Stream>>) -> Result<String> {
    let mut line = String::new();
    ensure!(connection.read_line(&mut line)? > 0, "the connection ended");
    Ok(line.trim_end().to_owned())
}

/// The status and the headers, their names in lower case.
fn read_head(connection: &mut BufReader<Box<dyn Stream>>) -> Result<(u16, Vec<(String, String)>)> {
    let line = read_line(connection)?;
    let status = line
        .split(' ')
        .nth(1)
        .and_then(|code| code.parse().ok())
        .with_context(|| line.clone())?;
    let mut headers = Vec::new();
    loop {
        let line = read_line(connection)?;
        let Some((name, value)) = line.split_once(':') else {
            break;
        };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    Ok((status, headers))
}

fn read_reply(connection: &mut BufReader<Box<dyn Stream>>) -> Result<(Reply, bool)> {
    let (status, headers) = read_head(connection)?;
    let (mut length, mut is_chunked, mut is_reusable) = (None, false, true);
    for (name, value) in &headers {
        match name.as_str() {
            "content-length" => length = Some(value.parse::<usize>()?),
            "transfer-encoding" => is_chunked = value.contains("chunked"),
            "connection" => is_reusable = !value.contains("close"),
            _ => {}
        }
    }
    let mut body = Vec::new();
    match (is_chunked, length) {
        (true, _) => loop {
            let size = usize::from_str_radix(&read_line(connection)?, 16)?;
            let at = body.len();
            body.resize(at + size, 0);
            connection.read_exact(&mut body[at..])?;
            let end = read_line(connection)?;
            if !end.is_empty() {
                bail!("a chunk ends with {end:?}");
            }
            if size == 0 {
                break;
            }
        },
        (false, Some(length)) => {
            body.resize(length, 0);
            connection.read_exact(&mut body)?;
        }
        (false, None) if status == 204 || status == 304 => {}
        (false, None) => {
            connection.read_to_end(&mut body)?;
            is_reusable = false;
        }
    }
    let reply = Reply {
        status,
        headers,
        body,
    };
    Ok((reply, is_reusable))
}
