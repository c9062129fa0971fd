//! `longshore tunnel`: how programs that know no proxies, SSH and git itself, get past the daemon's.
//!
//! Nobody else calls it. It connects its standard streams with a server, by a proxy that speaks SOCKS 5
//! (RFC 1928, RFC 1929): that of `edge::socks`.

use std::io::{Read, Write, stdin, stdout};
use std::net::{Shutdown, TcpStream};

use anyhow::{Context, bail, ensure};

/// Carries bytes both ways until the server has no more.
pub(crate) fn run(proxy: &str, host: &str, port: u16) -> anyhow::Result<()> {
    let mut server = connect(proxy, host, port).context("go by the daemon's proxy")?;
    let mut outward = server.try_clone()?;
    // It ends with the process, whatever whoever calls us still has to say.
    drop(std::thread::spawn(move || {
        let sent = carry(&mut stdin(), &mut outward);
        drop(sent.and_then(|()| outward.shutdown(Shutdown::Write)));
    }));
    Ok(carry(&mut server, &mut stdout())?)
}

/// Carries what comes at once: whoever reads waits for what is no whole line, too.
fn carry(from: &mut impl Read, to: &mut impl Write) -> std::io::Result<()> {
    let mut buffer = vec![0; 64 << 10];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(length) => to.write_all(&buffer[..length]).and_then(|()| to.flush())?,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn connect(proxy: &str, host: &str, port: u16) -> anyhow::Result<TcpStream> {
    let parts = proxy
        .strip_prefix("socks5h://")
        .and_then(|rest| rest.split_once('@'))
        .and_then(|(user, address)| Some((user.split_once(':')?, address)));
    let Some(((user, password), address)) = parts else {
        bail!("it is no address of a proxy");
    };
    let mut stream = TcpStream::connect(address)?;
    // Version 5, one method: a password, which comes with it.
    let mut greeting = vec![5, 1, 2, 1];
    for text in [user, password] {
        greeting.push(u8::try_from(text.len())?);
        greeting.extend_from_slice(text.as_bytes());
    }
    stream.write_all(&greeting)?;
    let mut answer = [0; 4];
    stream.read_exact(&mut answer)?;
    ensure!(answer == [5, 2, 1, 0], "it does not let us in");
    // A connection, to a name.
    let mut request = vec![5, 1, 0, 3, u8::try_from(host.len())?];
    request.extend_from_slice(host.as_bytes());
    request.extend_from_slice(&port.to_be_bytes());
    stream.write_all(&request)?;
    let mut answer = [0; 10];
    stream.read_exact(&mut answer)?;
    ensure!(
        answer[1] == 0,
        "{host}:{port} cannot be reached, or may not be"
    );
    Ok(stream)
}
