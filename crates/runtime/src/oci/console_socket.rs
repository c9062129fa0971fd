//! Handing the master of a pseudo-terminal to the caller, over the socket it listens on.

use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;

use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix,
    SocketFlags, SocketType, connect, sendmsg, socket_with,
};

use super::OciError;

/// Sends it.
pub(super) fn send(socket: &Path, master: &OwnedFd) -> Result<(), OciError> {
    let failed = OciError::host("send the terminal to --console-socket");
    let stream = socket_with(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    )
    .map_err(&failed)?;
    connect(&stream, &SocketAddrUnix::new(socket).map_err(&failed)?).map_err(&failed)?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    let descriptors = [master.as_fd()];
    // It always has room for the one that it was made for.
    let _fits = ancillary.push(SendAncillaryMessage::ScmRights(&descriptors));
    // The message is the terminal's name, which nobody reads.
    let name = [IoSlice::new(b"/dev/ptmx")];
    sendmsg(&stream, &name, &mut ancillary, SendFlags::NOSIGNAL).map_err(&failed)?;
    Ok(())
}
