//! A proxy for HTTP, on loopback, that leads to one server whatever it is asked for, and knows what it
//! was asked.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::Result;

use crate::registry::copy;

/// A proxy. It goes with the process.
pub struct Proxy {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    /// One that leads to `server`, without TLS: it opens no tunnels.
    ///
    /// # Errors
    /// When there is no port for it.
    pub fn start(server: &str) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let proxy = Self {
            address: listener.local_addr()?,
            asked: Arc::default(),
        };
        let (asked, server) = (Arc::clone(&proxy.asked), server.to_owned());
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (asked, server) = (Arc::clone(&asked), server.clone());
                // A client that leaves is its own business.
                thread::spawn(move || drop(serve(client, &server, &asked)));
            }
        });
        Ok(proxy)
    }

    /// Its address: `127.0.0.1:PORT`.
    #[must_use]
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// The first lines of connections so far, and what came in `Proxy-Authorization`.
    #[must_use]
    pub fn asked(&self) -> Vec<String> {
        self.asked
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

fn serve(client: TcpStream, server: &str, asked: &Mutex<Vec<String>>) -> Result<()> {
    let mut reader = BufReader::new(client.try_clone()?);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head)? == 0 {
            return Ok(());
        }
    }
    let line = head.lines().next().unwrap_or_default().to_owned();
    let password = head
        .lines()
        .filter(|line| line.to_lowercase().starts_with("proxy-authorization:"));
    {
        let mut asked = asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.push(line.clone());
        asked.extend(password.map(str::to_owned));
    }
    let mut client = client;
    if line.starts_with("CONNECT ") {
        client.write_all(b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n")?;
        return Ok(());
    }
    let mut to_server = TcpStream::connect(server)?;
    // A server takes the whole address in the first line as well as its path.
    to_server.write_all(head.as_bytes())?;
    to_server.write_all(reader.buffer())?;
    let from_server = to_server.try_clone()?;
    let to_client = client.try_clone()?;
    let back = thread::spawn(move || copy(from_server, to_client, |_| {}));
    copy(client, to_server, |_| {});
    drop(back.join());
    Ok(())
}
