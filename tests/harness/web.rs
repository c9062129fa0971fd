//! A web server of the tests' own: the files of a directory, by plain HTTP on loopback.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::thread;

use anyhow::Result;

/// A server. It goes with the process.
pub struct Web {
    address: SocketAddr,
}

impl Web {
    /// One that serves a directory.
    ///
    /// # Errors
    /// When there is no port for it.
    pub fn start(directory: &Path) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let directory = directory.to_owned();
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let directory = directory.clone();
                // A client that leaves is its own business.
                thread::spawn(move || drop(serve(client, &directory)));
            }
        });
        Ok(Self { address })
    }

    /// The address of a file.
    #[must_use]
    pub fn at(&self, path: &str) -> String {
        format!("http://{}/{path}", self.address)
    }
}

fn serve(client: TcpStream, directory: &Path) -> Result<()> {
    let mut reader = BufReader::new(client.try_clone()?);
    let mut first = String::new();
    reader.read_line(&mut first)?;
    let mut line = String::new();
    while reader.read_line(&mut line)? > 2 {
        line.clear();
    }
    let asked = first.split(' ').nth(1).unwrap_or_default();
    let path = asked.split('?').next().unwrap_or_default();
    let mut content = Vec::new();
    let found = std::fs::File::open(directory.join(path.trim_start_matches('/')));
    let read = found.and_then(|mut file| file.read_to_end(&mut content));
    let status = if read.is_ok() {
        "200 OK"
    } else {
        "404 Not Found"
    };
    let mut client = client;
    let length = content.len();
    write!(
        client,
        "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    )?;
    Ok(client.write_all(&content)?)
}
