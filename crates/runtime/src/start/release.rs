//! The parent's word to a container's first process that its part is done, and what it has opened
//! for it meanwhile.
//!
//! What the child needs of its cgroup takes a tenth of a millisecond to open, which the parent has
//! while the child mounts. The descriptors go over a socket; the message says what each is for.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg,
    sendmsg, socketpair,
};

use crate::cgroup::Entry;
use crate::mounts::cgroup::Hierarchies;

/// More than a host has hierarchies, twice. The kernel allows 253 (`SCM_MAX_FD`).
const MAX_DESCRIPTORS: usize = 64;
/// More than the names of so many hierarchies.
const MAX_MESSAGE_BYTES: usize = 4096;

/// The parent's end. Dropped, it tells the child to give up.
#[derive(Debug)]
pub(super) struct Release(OwnedFd);

/// The child's end.
#[derive(Debug)]
pub(super) struct Ready(OwnedFd);

/// What the parent opened.
#[derive(Debug, Default)]
pub(super) struct Opened {
    /// The way into the cgroup.
    pub(super) entry: Entry,
    /// The cgroup as files, once for each mount that shows it, in their order.
    pub(super) hierarchies: Vec<Hierarchies>,
}

/// What a descriptor is for.
const TASKS: &str = "tasks";
const SHARES: &str = "shares";
const SHOWN: &str = "shown ";

/// Both ends.
pub(super) fn pair() -> Result<(Ready, Release), Errno> {
    let (kind, flags) = (SocketType::SEQPACKET, SocketFlags::CLOEXEC);
    let (child, parent) = socketpair(AddressFamily::UNIX, kind, flags, None)?;
    Ok((Ready(child), Release(parent)))
}

impl Release {
    /// Lets the child go on. Fails with `EPIPE` when it has failed meanwhile.
    pub(super) fn send(self, opened: &Opened) -> Result<(), Errno> {
        let mut message = "go".to_owned();
        let mut descriptors: Vec<BorrowedFd<'_>> = Vec::new();
        let mut add = |purpose: &str, fd| {
            message.push('\n');
            message.push_str(purpose);
            descriptors.push(fd);
        };
        for tasks in &opened.entry.tasks {
            add(TASKS, tasks.as_fd());
        }
        if let Some(shares) = &opened.entry.shares {
            add(SHARES, shares.as_fd());
        }
        for (index, Hierarchies(shown)) in opened.hierarchies.iter().enumerate() {
            for (name, mount) in shown {
                add(&format!("{SHOWN}{index} {name}"), mount.as_fd());
            }
        }
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(&descriptors)) {
            return Err(Errno::TOOBIG);
        }
        let message = [IoSlice::new(message.as_bytes())];
        sendmsg(&self.0, &message, &mut control, SendFlags::NOSIGNAL).map(drop)
    }
}

impl Ready {
    /// Waits for the parent's word; `None` when it gave up.
    pub(super) fn wait(self) -> Result<Option<Opened>, Errno> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut message = [0; MAX_MESSAGE_BYTES];
        let mut buffers = [IoSliceMut::new(&mut message)];
        let flags = RecvFlags::CMSG_CLOEXEC;
        let received = recvmsg(&self.0, &mut buffers, &mut control, flags)?;
        if received
            .flags
            .intersects(ReturnFlags::CTRUNC | ReturnFlags::TRUNC)
        {
            return Err(Errno::MSGSIZE);
        }
        let Some(message) = message
            .get(..received.bytes)
            .filter(|bytes| !bytes.is_empty())
        else {
            return Ok(None);
        };
        let message = std::str::from_utf8(message).map_err(|_| Errno::ILSEQ)?;
        let descriptors = control.drain().flat_map(|message| match message {
            RecvAncillaryMessage::ScmRights(descriptors) => descriptors.collect(),
            _ => Vec::new(),
        });
        let mut opened = Opened::default();
        for (purpose, descriptor) in message.lines().skip(1).zip(descriptors) {
            match purpose
                .strip_prefix(SHOWN)
                .map(|shown| shown.split_once(' '))
            {
                Some(Some((index, name))) => {
                    let index: usize = index.parse().map_err(|_| Errno::BADMSG)?;
                    let all: &mut Vec<Hierarchies> = &mut opened.hierarchies;
                    all.resize_with(all.len().max(index + 1), Hierarchies::default);
                    all[index].0.push((name.to_owned(), descriptor));
                }
                Some(None) => return Err(Errno::BADMSG),
                None if purpose == SHARES => opened.entry.shares = Some(descriptor),
                None => opened.entry.tasks.push(descriptor),
            }
        }
        Ok(Some(opened))
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd as _;

    use super::*;

    #[test]
    fn each_descriptor_arrives_for_what_it_is() {
        let file =
            |name: &str| rustix::fs::memfd_create(name, rustix::fs::MemfdFlags::CLOEXEC).unwrap();
        let name_of = |fd: &OwnedFd| {
            let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
            std::fs::read_link(path).unwrap().display().to_string()
        };
        let opened = Opened {
            entry: Entry {
                tasks: vec![file("memory"), file("pids")],
                shares: Some(file("cpu")),
            },
            hierarchies: vec![
                Hierarchies(vec![("cpu,cpuacct".to_owned(), file("shares of time"))]),
                Hierarchies(vec![(String::new(), file("all"))]),
            ],
        };
        let (ready, release) = pair().unwrap();
        release.send(&opened).unwrap();
        let handed = ready.wait().unwrap().unwrap();
        let tasks: Vec<String> = handed.entry.tasks.iter().map(name_of).collect();
        assert_eq!(tasks, ["/memfd:memory (deleted)", "/memfd:pids (deleted)"]);
        let shares = handed.entry.shares.as_ref().map(name_of);
        assert_eq!(shares.as_deref(), Some("/memfd:cpu (deleted)"));
        let shown: Vec<(String, String)> = handed
            .hierarchies
            .iter()
            .flat_map(|Hierarchies(shown)| shown)
            .map(|(name, fd)| (name.clone(), name_of(fd)))
            .collect();
        let expected = [("cpu,cpuacct", "shares of time"), ("", "all")];
        let expected =
            expected.map(|(name, file)| (name.to_owned(), format!("/memfd:{file} (deleted)")));
        assert_eq!(shown, expected);
        assert_eq!(handed.hierarchies.len(), 2);
    }

    #[test]
    fn a_word_without_anything_opened_is_one_and_an_end_is_none() {
        let (ready, release) = pair().unwrap();
        release.send(&Opened::default()).unwrap();
        assert!(ready.wait().unwrap().is_some());
        let (ready, release) = pair().unwrap();
        drop(release);
        assert!(ready.wait().unwrap().is_none());
    }
}
