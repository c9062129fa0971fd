//! A registry that forgets what it is given, and gives what an OCI layout on disk has: what is left is
//! the time of the client.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::thread;

use anyhow::{Context, Result};
use serde_json::Value;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// Where every upload is.
const UPLOAD: &str = "/v2/admin/large/blobs/uploads/1";

/// Serves the first image of a layout until the process ends; answers where.
pub(super) fn start(layout: &Path) -> Result<String> {
    let index: Value = serde_json::from_slice(&std::fs::read(layout.join("index.json"))?)?;
    let manifest = index["manifests"][0]["digest"].as_str();
    let manifest = manifest.context("a manifest")?.to_owned();
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?.to_string();
    let layout = layout.to_owned();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (layout, manifest) = (layout.clone(), manifest.clone());
            // A client that goes away, or tries TLS first, ends its connection.
            thread::spawn(move || drop(serve(stream, &layout, &manifest)));
        }
    });
    Ok(address)
}

/// The requests of one connection.
fn serve(mut stream: TcpStream, layout: &Path, manifest: &str) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::with_capacity(256 << 10, stream.try_clone()?);
    while let Some(request) = Request::read(&mut reader)? {
        if request.waits {
            stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        io::copy(&mut reader.by_ref().take(request.length), &mut io::sink())?;
        let digest = if request.path.contains("/manifests/") {
            manifest
        } else {
            request.path.rsplit('/').next().unwrap_or_default()
        };
        let location = format!("Location: {UPLOAD}\r\nRange: 0-0\r\n");
        match request.method.as_str() {
            "GET" if request.path.matches('/').count() > 2 => {
                send(&mut stream, &blob(layout, digest))?;
            }
            "GET" => head(&mut stream, "200 OK", "", 0)?,
            "POST" | "PATCH" => head(&mut stream, "202 Accepted", &location, 0)?,
            "PUT" => head(&mut stream, "201 Created", "", 0)?,
            _ => head(&mut stream, "404 Not Found", "", 0)?,
        }
    }
    Ok(())
}

fn blob(layout: &Path, digest: &str) -> PathBuf {
    layout.join("blobs").join(digest.replace(':', "/"))
}

fn send(stream: &mut TcpStream, path: &Path) -> io::Result<()> {
    let mut file = File::open(path)?;
    let kind = format!("Content-Type: {MANIFEST}\r\n");
    head(stream, "200 OK", &kind, file.metadata()?.len())?;
    io::copy(&mut file, stream).map(drop)
}

fn head(stream: &mut TcpStream, status: &str, headers: &str, length: u64) -> io::Result<()> {
    let head = format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\n\r\n");
    stream.write_all(head.as_bytes())
}

struct Request {
    method: String,
    path: String,
    /// Bytes of its body.
    length: u64,
    /// For leave to send it.
    waits: bool,
}

impl Request {
    /// The next head; `None` at the end.
    fn read(reader: &mut impl BufRead) -> io::Result<Option<Self>> {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let mut words = line.split(' ').map(str::to_owned);
        let mut request = Self {
            method: words.next().unwrap_or_default(),
            path: words.next().unwrap_or_default(),
            length: 0,
            waits: false,
        };
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let line = line.trim_end().to_ascii_lowercase();
            match line.split_once(": ") {
                Some(("content-length", length)) => request.length = length.parse().unwrap_or(0),
                Some(("expect", _)) => request.waits = true,
                Some(_) => {}
                None => return Ok(Some(request)),
            }
        }
    }
}
