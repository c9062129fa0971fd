//! The keeper's clients: daemons, and whoever ends them.
//!
//! Takes them in, gives them up, and tells them things. One that misbehaves is hung up on, and
//! hurts nobody else.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::event::epoll::EventFlags;

use super::connection::Connection;
use super::frame::{FrameError, Inbox, Outbox};
use super::poll::Token;
use super::process::{Caller, Process, Stage};
use super::protocol::{Answer, Hello, Notice, VERSION};
use super::server::{Server, Timer};
use super::upgrade::build;

/// Pause when there are no descriptors left for another client.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

impl Server {
    /// Takes everyone in who waits.
    pub(super) fn accept(&mut self) {
        loop {
            match self.listener.accept() {
                Ok((socket, _)) => {
                    if let Err(error) = self.welcome(socket.into()) {
                        tracing::warn!(%error, "cannot take a client in");
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a client");
                    self.control.remove(&self.listener);
                    self.set_timer(ACCEPT_PAUSE, Timer::Accept);
                    return;
                }
            }
        }
    }

    /// There may be descriptors again.
    pub(super) fn accept_again(&mut self) {
        if let Err(error) = self
            .control
            .add(&self.listener, Token::Listener, EventFlags::IN)
        {
            tracing::error!(%error, "cannot listen");
            self.set_timer(ACCEPT_PAUSE, Timer::Accept);
        }
    }

    fn welcome(&mut self, socket: OwnedFd) -> io::Result<()> {
        rustix::io::ioctl_fionbio(&socket, true)?;
        let number = self.number();
        self.add_client(number, socket, Inbox::default(), Outbox::default())?;
        self.tell(number, &Notice::Hello(hello()), Vec::new());
        Ok(())
    }

    /// Takes a client in, under a number that is free.
    pub(super) fn add_client(
        &mut self,
        number: u32,
        socket: OwnedFd,
        inbox: Inbox,
        outbox: Outbox,
    ) -> io::Result<()> {
        let connection = Connection::new(number, socket, inbox, outbox, &self.control)?;
        self.clients.insert(number, connection);
        Ok(())
    }

    /// After an upgrade: says who speaks now.
    pub(super) fn greet_everyone(&mut self) {
        self.tell_everyone(&Notice::Hello(hello()));
    }

    /// A client says something, or can be told something.
    pub(super) fn on_client(&mut self, number: u32, flags: EventFlags) {
        if flags.contains(EventFlags::OUT) {
            self.flush(number);
        }
        let Some(connection) = self.clients.get_mut(&number) else {
            return;
        };
        if !flags.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::ERR) {
            return;
        }
        let received = connection.receive();
        loop {
            // A call may end the connection.
            let Some(connection) = self.clients.get_mut(&number) else {
                return;
            };
            match connection.inbox.take() {
                Ok(Some(frame)) => self.on_frame(number, frame),
                Ok(None) => break,
                Err(error) => return self.drop_client(number, &error),
            }
        }
        if let Err(error) = received {
            self.drop_client(number, &error);
        }
    }

    fn drop_client(&mut self, number: u32, why: &FrameError) {
        if !matches!(why, FrameError::Closed) {
            tracing::warn!(error = why as &dyn std::error::Error, "gave a client up");
        }
        if let Some(connection) = self.clients.remove(&number) {
            self.control.remove(&connection.socket);
        }
        let is_kept = |process: &Process| !matches!(process.stage, Stage::Prepared { client } if client == number);
        let orphans: Vec<u32> = self
            .processes
            .iter()
            .filter(|(_, process)| !is_kept(process))
            .map(|(&number, _)| number)
            .collect();
        for orphan in orphans {
            self.drop_process(orphan);
        }
    }

    /// Answers a call.
    pub(super) fn answer(&mut self, caller: Caller, answer: Answer) {
        self.answer_with(caller, answer, Vec::new());
    }

    /// Answers a call with descriptors.
    pub(super) fn answer_with(
        &mut self,
        caller: Caller,
        answer: Answer,
        descriptors: Vec<OwnedFd>,
    ) {
        self.tell(
            caller.client,
            &Notice::Answer {
                id: caller.call,
                answer,
            },
            descriptors,
        );
    }

    fn tell(&mut self, client: u32, notice: &Notice, descriptors: Vec<OwnedFd>) {
        // It may have gone.
        if let Some(connection) = self.clients.get_mut(&client) {
            connection.push(notice, descriptors);
            self.flush(client);
        }
    }

    /// Tells every client that is connected.
    pub(super) fn tell_everyone(&mut self, notice: &Notice) {
        let everyone: Vec<u32> = self.clients.keys().copied().collect();
        for client in everyone {
            self.tell(client, notice, Vec::new());
        }
    }

    fn flush(&mut self, client: u32) {
        if let Some(connection) = self.clients.get_mut(&client)
            && let Err(error) = connection.flush(&self.control)
        {
            self.drop_client(client, &FrameError::Write(error));
        }
    }
}

/// What the keeper says of itself.
fn hello() -> Hello {
    Hello {
        protocol: VERSION,
        pid: std::process::id(),
        build: build(),
    }
}
