//! The standard streams of one process: from its pipes or terminal to its log and attachments.
//!
//! Reads one bounded chunk at a time. When an attachment is slow, the process is slowed down with
//! it: its output is not read until the attachment has caught up. Nothing here knows whether the
//! process lives; [`super::process`] says when it is over.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use jiff::Timestamp;
use rustix::event::epoll::EventFlags;
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};

use super::attachment::Attachment;
use super::log::{Lines, Log};
use super::poll::{MAX_SUB, Poll, Token};
use crate::console::other_side;

/// Most bytes read of a stream before anything else gets its turn; a pipe holds as many.
const CHUNK_BYTES: usize = 64 << 10;
/// Bytes that may wait for an attachment before its process is slowed down.
const MAX_WAITING_BYTES: usize = 1 << 20;
/// Bytes that may still wait when the process goes on.
const RESUME_BYTES: usize = MAX_WAITING_BYTES / 2;
/// Most input moved to a terminal at once; the kernel takes no more.
const PUMP_BYTES: usize = 4096;

const NAMES: [&str; 2] = ["stdout", "stderr"];

/// What all streams use in turn.
#[derive(Debug)]
pub(super) struct Workbench {
    /// Waits for streams.
    pub(super) poll: Poll,
    chunk: Vec<u8>,
    encoded: Vec<u8>,
}

impl Workbench {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            poll: Poll::new()?,
            chunk: vec![0; CHUNK_BYTES],
            encoded: Vec::new(),
        })
    }
}

/// One source of output.
#[derive(Debug)]
pub(super) struct Output {
    /// A pipe, or a terminal's master.
    pub(super) source: OwnedFd,
    /// Its unfinished line.
    pub(super) lines: Lines,
    /// More may come.
    pub(super) is_open: bool,
    armed: EventFlags,
}

impl Output {
    /// A source that does not block.
    pub(super) fn new(source: OwnedFd, lines: Lines, is_open: bool) -> Self {
        Self {
            source,
            lines,
            is_open,
            armed: EventFlags::empty(),
        }
    }
}

/// Input made before it was known that it goes to a terminal.
#[derive(Debug)]
pub(super) struct Pump {
    /// A pipe, not blocking.
    pub(super) source: OwnedFd,
    /// Read, and not yet taken by the terminal.
    pub(super) pending: Vec<u8>,
    armed: EventFlags,
}

impl Pump {
    pub(super) fn new(source: OwnedFd, pending: Vec<u8>) -> Self {
        Self {
            source,
            pending,
            armed: EventFlags::empty(),
        }
    }
}

/// The streams of one process.
#[derive(Debug, Default)]
pub(super) struct Streams {
    /// The process, as tokens number it.
    pub(super) process: u32,
    /// Standard output (or the terminal), standard error.
    pub(super) outputs: [Option<Output>; 2],
    /// It has a terminal: the first output is its master.
    pub(super) is_terminal: bool,
    /// Its input may be written to.
    pub(super) has_stdin: bool,
    /// The end of the input that is written to; without a terminal.
    pub(super) stdin: Option<OwnedFd>,
    /// The end of the input that is read, until the process starts.
    pub(super) stdin_reader: Option<OwnedFd>,
    /// Input on its way to a terminal.
    pub(super) pump: Option<Pump>,
    /// Readers.
    pub(super) attachments: Vec<Attachment>,
    /// No more output can come.
    pub(super) is_over: bool,
    /// The other side of a terminal that nobody else had open while the process went on: an init
    /// opens its console anew for each line, and must be heard.
    held: Option<OwnedFd>,
    /// The process has ended: nobody opens its terminal anew.
    has_ended: bool,
    next_attachment: u32,
    is_paused: bool,
}

impl Streams {
    /// Those of a process that is yet to start.
    pub(super) fn new(process: u32) -> Self {
        Self {
            process,
            ..Self::default()
        }
    }

    /// A reader of everything from now on.
    pub(super) fn attach(&mut self, bench: &Workbench) -> io::Result<OwnedFd> {
        let (attachment, reader) = Attachment::new(self.next_attachment)?;
        if !self.is_over {
            self.adopt(attachment, bench)?;
        }
        Ok(reader)
    }

    fn adopt(&mut self, attachment: Attachment, bench: &Workbench) -> io::Result<()> {
        self.next_attachment = attachment.number.max(self.next_attachment) % MAX_SUB + 1;
        let flags = if attachment.waiting() == 0 {
            EventFlags::empty()
        } else {
            EventFlags::OUT
        };
        bench.poll.add(
            &attachment,
            Token::Attachment(self.process, attachment.number),
            flags,
        )?;
        self.attachments.push(attachment);
        Ok(())
    }

    /// A handle on the input; makes the pipe if the process is yet to start.
    pub(super) fn input(&mut self, is_started: bool) -> io::Result<Option<OwnedFd>> {
        if !is_started && self.stdin.is_none() && self.stdin_reader.is_none() {
            self.make_stdin()?;
        }
        let input = match (&self.stdin, &self.outputs[0]) {
            (Some(stdin), _) => stdin,
            (None, Some(master)) if self.is_terminal && self.has_stdin => &master.source,
            _ => return Ok(None),
        };
        Ok(Some(rustix::io::fcntl_dupfd_cloexec(input, 0)?))
    }

    /// Makes the pipe for the input: the process's end blocks, the others do not.
    pub(super) fn make_stdin(&mut self) -> io::Result<()> {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC)?;
        rustix::io::ioctl_fionbio(&writer, true)?;
        self.stdin_reader = Some(reader);
        self.stdin = Some(writer);
        Ok(())
    }

    /// Makes a pipe for an output and answers the process's end, which blocks.
    pub(super) fn make_output(&mut self, index: usize) -> io::Result<OwnedFd> {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC)?;
        rustix::io::ioctl_fionbio(&reader, true)?;
        self.outputs[index] = Some(Output::new(reader, Lines::default(), true));
        Ok(writer)
    }

    /// The process has a terminal. Input that was made for it before is moved there from now on.
    pub(super) fn use_terminal(&mut self, master: OwnedFd) -> io::Result<()> {
        rustix::io::ioctl_fionbio(&master, true)?;
        self.outputs[0] = Some(Output::new(master, Lines::default(), true));
        self.is_terminal = true;
        // So that the end of the input is seen when its writers are gone.
        self.stdin = None;
        if let Some(reader) = self.stdin_reader.take() {
            rustix::io::ioctl_fionbio(&reader, true)?;
            self.pump = Some(Pump::new(reader, Vec::new()));
        }
        Ok(())
    }

    /// Begins to wait for everything that was taken over from another program image.
    pub(super) fn wait_for_all(&mut self, bench: &Workbench) -> io::Result<()> {
        for attachment in std::mem::take(&mut self.attachments) {
            self.is_paused |= attachment.waiting() > MAX_WAITING_BYTES;
            self.adopt(attachment, bench)?;
        }
        self.arm(bench)
    }

    /// Waits for what is wanted now, and for nothing else.
    pub(super) fn arm(&mut self, bench: &Workbench) -> io::Result<()> {
        let must_write = self
            .pump
            .as_ref()
            .is_some_and(|pump| !pump.pending.is_empty());
        for (index, output) in (0..).zip(&mut self.outputs) {
            let Some(output) = output else { continue };
            let mut wanted = EventFlags::empty();
            wanted.set(EventFlags::IN, output.is_open && !self.is_paused);
            wanted.set(EventFlags::OUT, output.is_open && must_write && index == 0);
            arm(
                bench,
                &output.source,
                Token::Output(self.process, index),
                &mut output.armed,
                wanted,
            )?;
        }
        if let Some(pump) = &mut self.pump {
            let wanted = if must_write {
                EventFlags::empty()
            } else {
                EventFlags::IN
            };
            arm(
                bench,
                &pump.source,
                Token::Pump(self.process),
                &mut pump.armed,
                wanted,
            )?;
        }
        Ok(())
    }

    /// Reads a chunk of an output, and answers its size.
    pub(super) fn on_output(
        &mut self,
        index: u8,
        flags: EventFlags,
        log: Option<&mut Log>,
        bench: &mut Workbench,
    ) -> usize {
        if flags.contains(EventFlags::OUT) {
            self.pump_out(bench);
        }
        let index = usize::from(index);
        let mut count = match self.outputs.get_mut(index) {
            Some(Some(output)) if output.is_open && !self.is_paused => {
                match rustix::io::read(&output.source, &mut *bench.chunk) {
                    Ok(0) => None,
                    Ok(count) => Some(count),
                    Err(Errno::AGAIN | Errno::INTR) => Some(0),
                    // EIO: nobody has the terminal open any more.
                    Err(_) => None,
                }
            }
            _ => Some(0),
        };
        if count.is_none() && self.hold_terminal() {
            count = Some(0);
        }
        match count {
            None => self.end_output(index, log, bench),
            Some(0) => {}
            Some(count) => self.distribute(index, count, log, bench),
        }
        self.rearm(bench);
        count.unwrap_or(0)
    }

    /// Keeps the other side of a terminal open that nobody has open now; `false` where nobody will.
    fn hold_terminal(&mut self) -> bool {
        if !self.is_terminal || self.has_ended || self.held.is_some() {
            return false;
        }
        let master = self.outputs[0].as_ref();
        self.held = master.and_then(|master| other_side(master.source.as_fd()).ok());
        self.held.is_some()
    }

    /// The process has ended: its output ends when nobody else has it open.
    pub(super) fn process_ended(&mut self) {
        self.has_ended = true;
        self.held = None;
    }

    fn distribute(
        &mut self,
        index: usize,
        count: usize,
        log: Option<&mut Log>,
        bench: &mut Workbench,
    ) {
        let chunk = &bench.chunk[..count];
        if let (Some(log), Some(output)) = (log, &mut self.outputs[index]) {
            log.take(
                &mut output.lines,
                NAMES[index],
                chunk,
                &now(),
                &mut bench.encoded,
            );
        }
        let (process, poll) = (self.process, &bench.poll);
        let stream = if index == 0 { 1 } else { 2 };
        retain(&mut self.attachments, poll, |attachment| {
            let had_waiting = attachment.waiting() > 0;
            let sent = attachment.send(stream, chunk).is_ok();
            let token = Token::Attachment(process, attachment.number);
            // Without an answer it would wait for ever, so it is dropped.
            sent && (had_waiting
                || attachment.waiting() == 0
                || poll.modify(&*attachment, token, EventFlags::OUT).is_ok())
        });
        self.is_paused = self
            .attachments
            .iter()
            .any(|attachment| attachment.waiting() > MAX_WAITING_BYTES);
    }

    /// An attachment takes more, or its reader is gone.
    pub(super) fn on_attachment(&mut self, number: u32, flags: EventFlags, bench: &Workbench) {
        let (is_over, process) = (self.is_over, self.process);
        retain(&mut self.attachments, &bench.poll, |attachment| {
            if attachment.number != number {
                return true;
            }
            if flags.contains(EventFlags::ERR) || attachment.flush().is_err() {
                return false;
            }
            let token = Token::Attachment(process, number);
            let is_flushed = attachment.waiting() == 0;
            !is_flushed
                || !is_over
                    && bench
                        .poll
                        .modify(&*attachment, token, EventFlags::empty())
                        .is_ok()
        });
        if self
            .attachments
            .iter()
            .all(|attachment| attachment.waiting() <= RESUME_BYTES)
        {
            self.is_paused = false;
        }
        self.rearm(bench);
    }

    /// Input for a terminal has come.
    pub(super) fn on_pump(&mut self, bench: &Workbench) {
        let Some(pump) = &mut self.pump else { return };
        let mut input = [0; PUMP_BYTES];
        match rustix::io::read(&pump.source, &mut input) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            // Every writer is gone; later ones have the terminal itself.
            Ok(0) | Err(_) => self.end_pump(bench),
            Ok(count) => {
                pump.pending.extend_from_slice(&input[..count]);
                self.pump_out(bench);
            }
        }
        self.rearm(bench);
    }

    fn pump_out(&mut self, bench: &Workbench) {
        let (Some(pump), Some(master)) = (&mut self.pump, &self.outputs[0]) else {
            return;
        };
        while !pump.pending.is_empty() {
            match rustix::io::write(&master.source, &pump.pending) {
                Ok(count) => drop(pump.pending.drain(..count)),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                Err(_) => return self.end_pump(bench),
            }
        }
        pump.pending = Vec::new();
    }

    /// No more output comes, whoever may still hold a pipe open.
    pub(super) fn end(&mut self, mut log: Option<&mut Log>, bench: &mut Workbench) {
        for index in 0..self.outputs.len() {
            self.end_output(index, log.as_deref_mut(), bench);
        }
        self.outputs = [None, None];
        self.stdin = None;
        self.stdin_reader = None;
        self.end_pump(bench);
        self.end_attachments(bench);
    }

    fn end_pump(&mut self, bench: &Workbench) {
        if let Some(pump) = self.pump.take() {
            bench.poll.remove(&pump.source);
        }
    }

    /// Waits for nothing any more, before all of it is closed.
    pub(super) fn disarm(&self, bench: &Workbench) {
        for output in self.outputs.iter().flatten() {
            bench.poll.remove(&output.source);
        }
        for attachment in &self.attachments {
            bench.poll.remove(attachment);
        }
        if let Some(pump) = &self.pump {
            bench.poll.remove(&pump.source);
        }
    }

    fn end_output(&mut self, index: usize, log: Option<&mut Log>, bench: &mut Workbench) {
        if let Some(output) = &mut self.outputs[index]
            && output.is_open
        {
            output.is_open = false;
            bench.poll.remove(&output.source);
            output.armed = EventFlags::empty();
            if let Some(log) = log {
                log.finish(&mut output.lines, NAMES[index], &now(), &mut bench.encoded);
            }
            if !self.is_terminal {
                self.outputs[index] = None;
            }
        }
        if self.outputs.iter().flatten().all(|output| !output.is_open) {
            self.end_attachments(bench);
        }
    }

    fn end_attachments(&mut self, bench: &Workbench) {
        self.is_over = true;
        // The others go when they have taken what waits.
        retain(&mut self.attachments, &bench.poll, |attachment| {
            attachment.waiting() > 0
        });
    }

    /// Its output is not read because an attachment is slow.
    pub(super) fn is_paused(&self) -> bool {
        self.is_paused
    }

    fn rearm(&mut self, bench: &Workbench) {
        if let Err(error) = self.arm(bench) {
            // Only for want of memory or watches; the next event of this process tries again.
            tracing::error!(%error, "cannot wait for the output of a process");
        }
    }
}

/// Closes the attachments that are not to be kept.
fn retain(
    attachments: &mut Vec<Attachment>,
    poll: &Poll,
    mut is_kept: impl FnMut(&mut Attachment) -> bool,
) {
    attachments.retain_mut(|attachment| {
        let is_kept = is_kept(attachment);
        if !is_kept {
            poll.remove(&*attachment);
        }
        is_kept
    });
}

fn arm(
    bench: &Workbench,
    source: &OwnedFd,
    token: Token,
    armed: &mut EventFlags,
    wanted: EventFlags,
) -> io::Result<()> {
    if *armed == wanted {
        return Ok(());
    }
    // A hang-up is told even when nothing is waited for, so a source that is not wanted must go.
    if wanted.is_empty() {
        bench.poll.remove(source);
    } else if armed.is_empty() {
        bench.poll.add(source.as_fd(), token, wanted)?;
    } else {
        bench.poll.modify(source.as_fd(), token, wanted)?;
    }
    *armed = wanted;
    Ok(())
}

/// The time as logs have it, made once for a chunk.
fn now() -> Arc<str> {
    Timestamp::now().to_string().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_is_gone_is_told_once_though_a_child_has_a_copy() {
        let bench = Workbench::new().unwrap();
        let mut streams = Streams::new(7);
        drop(streams.attach(&bench).unwrap());
        let copy = streams.attachments[0].as_fd().try_clone_to_owned().unwrap();
        let told = bench.poll.ready(1).unwrap();
        let [(Token::Attachment(7, number), flags)] = told[..] else {
            unreachable!("{told:?}");
        };
        streams.on_attachment(number, flags, &bench);
        assert!(streams.attachments.is_empty());
        assert_eq!(bench.poll.ready(1).unwrap(), []);
        drop(copy);
    }
}
