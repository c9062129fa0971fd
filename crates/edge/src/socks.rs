//! A proxy for programs that we run: they reach the servers that the caller allows, and no others.
//!
//! It listens on this machine, for whoever knows its password. Source: RFC 1928 (SOCKS 5), RFC 1929
//! (its passwords).

use std::io;
use std::net::{Ipv6Addr, SocketAddr};
use std::sync::{Mutex, PoisonError};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use uuid::Uuid;

use crate::download::{ANSWERS_WITHIN, DownloadError, Server, connect};

const VERSION: u8 = 5;
const BY_PASSWORD: u8 = 2;
const NO_METHOD: u8 = 0xff;
const PASSWORD_VERSION: u8 = 1;
const CONNECT: u8 = 1;
const IPV4: u8 = 1;
const NAME: u8 = 3;
const IPV6: u8 = 4;

/// What is answered, by the numbers that the RFC has for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reply {
    Connected = 0,
    NotAllowed = 2,
    Unreachable = 4,
    Refused = 5,
    NoCommand = 7,
}

/// Who signs in.
const USER: &str = "longshore";

/// A proxy; it serves as long as somebody polls [`Proxy::serve`].
#[derive(Debug)]
pub struct Proxy {
    listener: TcpListener,
    address: SocketAddr,
    password: String,
    refused: Mutex<Option<String>>,
}

impl Proxy {
    /// One at a port of its own.
    ///
    /// # Errors
    /// When there is no port.
    pub async fn open() -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        Ok(Self {
            address: listener.local_addr()?,
            listener,
            password: Uuid::new_v4().simple().to_string(),
            refused: Mutex::default(),
        })
    }

    /// Where it is, for programs that know libcurl's addresses of proxies.
    #[must_use]
    pub fn address(&self) -> String {
        format!("socks5h://{USER}:{}@{}", self.password, self.address)
    }

    /// The last server that was asked for and not allowed, `HOST:PORT`.
    #[must_use]
    pub fn refused(&self) -> Option<String> {
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused.clone()
    }

    /// Serves until it is dropped, and all connections with it. `may` says of each server whether it may
    /// be asked.
    pub async fn serve(&self, may: impl Fn(Server<'_>) -> bool) {
        let mut open = FuturesUnordered::new();
        loop {
            tokio::select! {
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) => open.push(self.carry(stream, &may)),
                    Err(error) => {
                        tracing::warn!(%error, "a proxy accepts no more connections");
                        return;
                    }
                },
                Some(carried) = open.next() => {
                    if let Err(error) = carried {
                        tracing::debug!(%error, "a connection over a proxy broke off");
                    }
                }
            }
        }
    }

    async fn carry(
        &self,
        mut stream: TcpStream,
        may: &impl Fn(Server<'_>) -> bool,
    ) -> io::Result<()> {
        let connected = timeout(ANSWERS_WITHIN, self.connected(&mut stream, may)).await;
        if let Some(mut server) = connected?? {
            copy_bidirectional(&mut stream, &mut server).await?;
        }
        Ok(())
    }

    /// The server that is asked for, connected to.
    async fn connected(
        &self,
        stream: &mut TcpStream,
        may: &impl Fn(Server<'_>) -> bool,
    ) -> io::Result<Option<TcpStream>> {
        self.sign_in(stream).await?;
        let Some((host, port)) = destination(stream).await? else {
            answer(stream, Reply::NoCommand).await?;
            return Ok(None);
        };
        let (reply, server) = match connect(&host, port, may).await {
            Ok(Some((server, _))) => (Reply::Connected, Some(server)),
            Ok(None) => {
                let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
                *refused = Some(format!("{host}:{port}"));
                (Reply::NotAllowed, None)
            }
            Err(DownloadError::Connect { .. }) => (Reply::Refused, None),
            Err(_) => (Reply::Unreachable, None),
        };
        answer(stream, reply).await?;
        Ok(server)
    }

    async fn sign_in(&self, stream: &mut TcpStream) -> io::Result<()> {
        expect(stream.read_u8().await? == VERSION, "another version")?;
        let methods = counted(stream).await?;
        if !methods.contains(&BY_PASSWORD) {
            stream.write_all(&[VERSION, NO_METHOD]).await?;
            return expect(false, "no password");
        }
        stream.write_all(&[VERSION, BY_PASSWORD]).await?;
        expect(stream.read_u8().await? == PASSWORD_VERSION, "no password")?;
        let (user, password) = (counted(stream).await?, counted(stream).await?);
        let is_known = user == USER.as_bytes() && password == self.password.as_bytes();
        let status = u8::from(!is_known);
        stream.write_all(&[PASSWORD_VERSION, status]).await?;
        expect(is_known, "a wrong password")
    }
}

fn expect(is_so: bool, otherwise: &'static str) -> io::Result<()> {
    match is_so {
        true => Ok(()),
        false => Err(io::Error::new(io::ErrorKind::InvalidData, otherwise)),
    }
}

/// Bytes after their number.
async fn counted(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; stream.read_u8().await?.into()];
    stream.read_exact(&mut bytes).await?;
    Ok(bytes)
}

/// To which host and port a connection is asked for; `None` where something else is.
async fn destination(stream: &mut TcpStream) -> io::Result<Option<(String, u16)>> {
    expect(stream.read_u8().await? == VERSION, "another version")?;
    let command = stream.read_u8().await?;
    let _reserved = stream.read_u8().await?;
    let host = match stream.read_u8().await? {
        IPV4 => std::net::Ipv4Addr::from(stream.read_u32().await?).to_string(),
        IPV6 => Ipv6Addr::from(stream.read_u128().await?).to_string(),
        NAME => String::from_utf8_lossy(&counted(stream).await?).to_ascii_lowercase(),
        _ => return Ok(None),
    };
    let port = stream.read_u16().await?;
    Ok((command == CONNECT).then_some((host, port)))
}

async fn answer(stream: &mut TcpStream, reply: Reply) -> io::Result<()> {
    // From where the server is connected to is nobody's business.
    stream
        .write_all(&[VERSION, reply as u8, 0, IPV4, 0, 0, 0, 0, 0, 0])
        .await
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Asks for a connection to a port of this machine by its name; answers the reply, and what comes.
    async fn asked(proxy: &Proxy, password: &str, port: u16) -> io::Result<(u8, String)> {
        let mut stream = TcpStream::connect(proxy.address).await?;
        let name = "localhost";
        let mut sent = vec![VERSION, 1, BY_PASSWORD, PASSWORD_VERSION];
        for text in [USER, password] {
            sent.push(u8::try_from(text.len()).unwrap());
            sent.extend_from_slice(text.as_bytes());
        }
        sent.extend_from_slice(&[VERSION, CONNECT, 0, NAME]);
        sent.push(u8::try_from(name.len()).unwrap());
        sent.extend_from_slice(name.as_bytes());
        sent.extend_from_slice(&port.to_be_bytes());
        stream.write_all(&sent).await?;
        let mut greeting = [0; 4];
        stream.read_exact(&mut greeting).await?;
        let mut reply = [0; 10];
        stream.read_exact(&mut reply).await?;
        let mut text = String::new();
        stream.read_to_string(&mut text).await?;
        Ok((reply[1], text))
    }

    #[tokio::test]
    async fn only_servers_that_are_allowed_are_reached_and_with_the_password_only() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(b"ahoy").await.unwrap();
        }));
        let proxy = Proxy::open().await.unwrap();
        let may =
            |server: Server<'_>| server.host == "localhost" && server.is_own && server.port == port;
        let asking = async {
            let known = proxy.password.clone();
            assert!(asked(&proxy, "guessed", port).await.is_err());
            let (reply, said) = asked(&proxy, &known, port).await.unwrap();
            assert_eq!((reply, said.as_str()), (Reply::Connected as u8, "ahoy"));
            assert_eq!(proxy.refused(), None);
            let (reply, _) = asked(&proxy, &known, 9).await.unwrap();
            assert_eq!(reply, Reply::NotAllowed as u8);
            assert_eq!(proxy.refused().as_deref(), Some("localhost:9"));
        };
        tokio::select! {
            () = asking => {}
            () = proxy.serve(may) => panic!("it serves no more"),
        }
    }
}
