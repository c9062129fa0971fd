//! The daemon's end of the keeper's socket.
//!
//! A [`Client`] is cheap to clone and may be used by many tasks at once: calls overlap, and are
//! answered in any order. It does not reconnect by itself: when the connection breaks, every call
//! fails, [`KeeperEvent::Lost`] is the last event, and [`super::ensure`] makes a new client, whose
//! [`Client::list`] tells what happened meanwhile.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::sync::{broadcast, mpsc, oneshot};

use super::frame::{Frame, FrameError, Inbox, Outbox};
use super::protocol::{
    Answer, Call, Hello, KeeperEvent, Notice, ProcessKey, ProcessState, Refusal, Spawned,
};
use super::socket;
use crate::launch::{Exec, Launch, StartError, StartErrorKind};

/// Events that a slow receiver may lag behind before it misses some (and must [`Client::list`]).
const EVENT_BACKLOG: usize = 8192;
/// A keeper greets at once; what is silent for so long is none.
const GREETING: Duration = Duration::from_secs(5);

/// Why no connection to a keeper was made.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Nothing listens there.
    #[error("connect to the keeper at {path}")]
    Connect {
        /// The socket.
        path: PathBuf,
        /// What the kernel answered.
        #[source]
        source: io::Error,
    },
    /// Something listens there, but it did not greet as a keeper does.
    #[error("no keeper answers at {path}")]
    NotAKeeper {
        /// The socket.
        path: PathBuf,
    },
}

/// Why a call to the keeper, other than a start, failed.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The connection broke; whether the call was carried out is not known.
    #[error("the connection to the keeper was lost")]
    Lost,
    /// The keeper says no.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// What is asked cannot be said: a path that is not UTF-8.
    #[error("put the call to the keeper into words")]
    Encode(#[source] serde_json::Error),
    /// The keeper answered something that is no answer to this call.
    #[error("the keeper gave an answer that does not fit")]
    Mismatch,
}

impl CallError {
    /// There is no such process (any more).
    #[must_use]
    pub fn is_no_such_process(&self) -> bool {
        matches!(self, Self::Refused(Refusal::NoSuchProcess(_)))
    }

    /// The process has no stream of this kind, or no terminal.
    #[must_use]
    pub fn is_no_stream(&self) -> bool {
        matches!(self, Self::Refused(Refusal::NoStream { .. }))
    }

    /// The process has ended already.
    #[must_use]
    pub fn is_not_running(&self) -> bool {
        matches!(self, Self::Refused(Refusal::NotRunning(_)))
    }
}

/// Streams of a process. Dropping them detaches.
#[derive(Debug)]
pub struct Attached {
    /// A pipe, not blocking. Pieces of output in the order they came: one byte that says which
    /// stream (1 standard output, 2 standard error), the number of bytes (`u32`, big endian), the
    /// bytes. Ends when the process has ended and nothing more can come.
    pub output: Option<OwnedFd>,
    /// A pipe or a terminal, not blocking. Closing it does not end the process's input: that takes
    /// [`Client::close_stdin`] too.
    pub stdin: Option<OwnedFd>,
}

/// A connection to the keeper.
#[derive(Clone, Debug)]
pub struct Client {
    connection: Arc<Connection>,
}

#[derive(Debug)]
struct Connection {
    outgoing: mpsc::UnboundedSender<Frame>,
    waiting: Arc<Waiting>,
    next_id: AtomicU64,
    events: broadcast::Sender<KeeperEvent>,
    hello: Hello,
}

/// An answer and what came beside it.
type Reply = (Answer, Vec<OwnedFd>);
/// Calls that are not answered yet; `None` once the connection is lost.
type Calls = Option<HashMap<u64, oneshot::Sender<Reply>>>;

#[derive(Debug)]
struct Waiting(Mutex<Calls>);

impl Waiting {
    fn with<T>(&self, act: impl FnOnce(&mut Calls) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Client {
    /// Connects to a keeper that runs.
    ///
    /// # Errors
    /// When none listens, or what listens is none.
    pub async fn connect(path: &Path) -> Result<Self, ConnectError> {
        let connect = |source| ConnectError::Connect {
            path: path.to_owned(),
            source,
        };
        let stream = socket::connect(path).and_then(|stream| {
            stream.set_nonblocking(true)?;
            UnixStream::from_std(stream)
        });
        let stream = stream.map_err(connect)?;
        let mut inbox = Inbox::default();
        let not_a_keeper = || ConnectError::NotAKeeper {
            path: path.to_owned(),
        };
        let greeting = tokio::time::timeout(GREETING, receive(&stream, &mut inbox)).await;
        let frame = greeting
            .ok()
            .and_then(Result::ok)
            .ok_or_else(not_a_keeper)?;
        let Ok(Notice::Hello(hello)) = serde_json::from_slice(&frame.body) else {
            return Err(not_a_keeper());
        };

        let (outgoing, to_write) = mpsc::unbounded_channel();
        let (events, _) = broadcast::channel(EVENT_BACKLOG);
        let waiting = Arc::new(Waiting(Mutex::new(Some(HashMap::new()))));
        let connection = Connection {
            outgoing,
            waiting: Arc::clone(&waiting),
            next_id: AtomicU64::new(1),
            events: events.clone(),
            hello,
        };
        tokio::spawn(async move {
            tokio::select! {
                () = read(&stream, inbox, &waiting, &events) => {}
                () = write(&stream, to_write) => {}
            }
            // Dropping the senders wakes their callers with `Lost`.
            waiting.with(|calls| *calls = None);
            // Nobody may be listening.
            drop(events.send(KeeperEvent::Lost));
        });
        Ok(Self {
            connection: Arc::new(connection),
        })
    }

    /// What the keeper said of itself when the connection was made.
    #[must_use]
    pub fn hello(&self) -> &Hello {
        &self.connection.hello
    }

    /// The connection is lost: only a new client helps.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.connection.waiting.with(|calls| calls.is_none())
    }

    /// What happens to processes from now on. Subscribe, then [`list`](Self::list), and nothing
    /// is missed.
    #[must_use]
    pub fn events(&self) -> broadcast::Receiver<KeeperEvent> {
        self.connection.events.subscribe()
    }

    /// Starts a container and answers once it runs its program. `netns` is joined, and wins over
    /// a path in the specification. Going away meanwhile does not stop the start.
    ///
    /// # Errors
    /// When the key is taken, or the start fails; nothing is left of it then. A lost connection is
    /// [`StartErrorKind::Internal`], and the container may run.
    pub fn start(
        &self,
        launch: &Launch,
        netns: Option<BorrowedFd<'_>>,
    ) -> impl Future<Output = Result<Spawned, StartError>> + Send + use<> {
        let netns = netns.map(|netns| netns.try_clone_to_owned()).transpose();
        let netns = netns.map_err(|error| {
            internal(format!(
                "duplicate the network namespace's descriptor: {error}"
            ))
        });
        let request = netns
            .map(|netns| self.request(&StartRef { start: launch }, netns.into_iter().collect()));
        async move { spawned(request?).await }
    }

    /// Starts a process in a container and answers once it runs its program.
    ///
    /// # Errors
    /// As [`start`](Self::start); also when the container does not run.
    pub fn exec(
        &self,
        exec: &Exec,
    ) -> impl Future<Output = Result<Spawned, StartError>> + Send + use<> {
        let request = self.request(&ExecRef { exec }, Vec::new());
        spawned(request)
    }

    /// Hands out streams of a process. For a key that is not started yet they carry everything
    /// from the first byte, and end when this client goes away or the start fails.
    ///
    /// # Errors
    /// When the process has no standard input, or it was closed.
    pub async fn attach(
        &self,
        key: &ProcessKey,
        stdin: bool,
        output: bool,
    ) -> Result<Attached, CallError> {
        let call = Call::Attach {
            key: key.clone(),
            stdin,
            output,
        };
        match self.request(&call, Vec::new())?.answer().await? {
            (Answer::Attached { output, stdin }, descriptors) => {
                let mut descriptors = descriptors.into_iter();
                let output = output.then(|| descriptors.next()).flatten();
                let stdin = stdin.then(|| descriptors.next()).flatten();
                Ok(Attached { output, stdin })
            }
            (answer, _) => Err(unexpected(answer)),
        }
    }

    /// Ends a process's standard input, once attachments that have it are gone too. A terminal
    /// stays open. Twice is fine.
    ///
    /// # Errors
    /// When there is no such process.
    pub async fn close_stdin(&self, key: &ProcessKey) -> Result<(), CallError> {
        self.done(Call::CloseStdin { key: key.clone() }).await
    }

    /// Sets the size of a process's terminal.
    ///
    /// # Errors
    /// When there is no such process or it has no terminal.
    pub async fn resize(&self, key: &ProcessKey, rows: u16, columns: u16) -> Result<(), CallError> {
        self.done(Call::Resize {
            key: key.clone(),
            rows,
            columns,
        })
        .await
    }

    /// Sends a signal to a process (to it alone: its container's others see what the kernel does).
    ///
    /// # Errors
    /// When there is no such process, it has ended, or the number is no signal.
    pub async fn signal(&self, key: &ProcessKey, signal: i32) -> Result<(), CallError> {
        self.done(Call::Signal {
            key: key.clone(),
            signal,
        })
        .await
    }

    /// Every process the keeper knows: those that start or run, and those that ended and were not
    /// [forgotten](Self::forget).
    ///
    /// # Errors
    /// When the connection is lost.
    pub async fn list(&self) -> Result<Vec<ProcessState>, CallError> {
        match self.request(&Call::List, Vec::new())?.answer().await? {
            (Answer::Processes(processes), _) => Ok(processes),
            (answer, _) => Err(unexpected(answer)),
        }
    }

    /// Lets the keeper forget a process that ended. Twice is fine.
    ///
    /// # Errors
    /// When it runs.
    pub async fn forget(&self, key: &ProcessKey) -> Result<(), CallError> {
        self.done(Call::Forget { key: key.clone() }).await
    }

    /// Makes the keeper go on as another program, in place: processes, streams and connections
    /// stay. Answers once the new program has taken over.
    ///
    /// # Errors
    /// When the program cannot take over; the old one goes on then.
    pub async fn upgrade(&self, exe: &Path) -> Result<(), CallError> {
        self.done(Call::Upgrade {
            exe: exe.to_owned(),
        })
        .await
    }

    /// Kills every container, waits for all to end, removes their cgroups, and ends the keeper.
    ///
    /// # Errors
    /// When the connection is lost before it is done.
    pub async fn shutdown(&self) -> Result<(), CallError> {
        self.done(Call::Shutdown).await
    }

    async fn done(&self, call: Call) -> Result<(), CallError> {
        match self.request(&call, Vec::new())?.answer().await? {
            (Answer::Done, _) => Ok(()),
            (answer, _) => Err(unexpected(answer)),
        }
    }

    /// Sends a call.
    fn request(
        &self,
        call: &impl Serialize,
        descriptors: Vec<OwnedFd>,
    ) -> Result<Pending, CallError> {
        let id = self.connection.next_id.fetch_add(1, Ordering::Relaxed);
        let (sender, answer) = oneshot::channel();
        let body = serde_json::to_vec(&RequestRef { id, call }).map_err(CallError::Encode)?;
        // Without a connection the sender goes, and the answer is that.
        let is_connected = self.connection.waiting.with(|calls| match calls {
            Some(calls) => calls.insert(id, sender).is_none(),
            None => false,
        });
        if is_connected {
            drop(self.connection.outgoing.send(Frame { body, descriptors }));
        }
        Ok(Pending {
            answer,
            _connection: Arc::clone(&self.connection),
        })
    }
}

/// A call that is sent.
struct Pending {
    answer: oneshot::Receiver<Reply>,
    /// It lives as long as the call.
    _connection: Arc<Connection>,
}

impl Pending {
    async fn answer(self) -> Result<Reply, CallError> {
        self.answer.await.map_err(|_| CallError::Lost)
    }
}

/// [`super::protocol::Request`] without owning the call.
#[derive(Serialize)]
struct RequestRef<'a, C> {
    id: u64,
    call: &'a C,
}

/// [`Call::Start`] without owning the launch.
#[derive(Serialize)]
struct StartRef<'a> {
    start: &'a Launch,
}

/// [`Call::Exec`] without owning the exec.
#[derive(Serialize)]
struct ExecRef<'a> {
    exec: &'a Exec,
}

async fn spawned(request: Result<Pending, CallError>) -> Result<Spawned, StartError> {
    let answer = match request {
        Ok(request) => request.answer().await,
        Err(error) => Err(error),
    };
    match answer {
        Ok((Answer::Spawned(spawned), _)) => Ok(spawned),
        Ok((Answer::NotStarted(error), _)) => Err(error),
        Ok((answer, _)) => Err(internal(unexpected(answer).to_string())),
        Err(CallError::Encode(error)) => Err(StartError {
            kind: StartErrorKind::Invalid,
            message: error.to_string(),
        }),
        Err(error) => Err(internal(error.to_string())),
    }
}

fn internal(message: String) -> StartError {
    StartError {
        kind: StartErrorKind::Internal,
        message,
    }
}

fn unexpected(answer: Answer) -> CallError {
    match answer {
        Answer::Refused(refusal) => CallError::Refused(refusal),
        _ => CallError::Mismatch,
    }
}

/// Hands answers and events out until the connection breaks.
async fn read(
    stream: &UnixStream,
    mut inbox: Inbox,
    waiting: &Waiting,
    events: &broadcast::Sender<KeeperEvent>,
) {
    loop {
        let frame = match receive(stream, &mut inbox).await {
            Ok(frame) => frame,
            Err(FrameError::Closed) => return,
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "lost the keeper");
                return;
            }
        };
        match serde_json::from_slice(&frame.body) {
            Ok(Notice::Answer { id, answer }) => {
                let call = waiting.with(|calls| calls.as_mut().and_then(|calls| calls.remove(&id)));
                if let Some(call) = call {
                    // The caller may have gone.
                    drop(call.send((answer, frame.descriptors)));
                }
            }
            // Nobody may be listening.
            Ok(Notice::Event(event)) => drop(events.send(event)),
            Ok(Notice::Hello(_)) => {}
            Err(error) => tracing::warn!(%error, "the keeper said something unknown"),
        }
    }
}

/// Writes calls until every client is gone or the connection breaks.
async fn write(stream: &UnixStream, mut outgoing: mpsc::UnboundedReceiver<Frame>) {
    while let Some(frame) = outgoing.recv().await {
        let mut outbox = Outbox::default();
        outbox.push(frame);
        while !outbox.is_empty() {
            let flushed = stream.async_io(Interest::WRITABLE, || {
                if outbox.flush(stream.as_fd())? {
                    Ok(())
                } else {
                    Err(io::ErrorKind::WouldBlock.into())
                }
            });
            if flushed.await.is_err() {
                return;
            }
        }
    }
}

async fn receive(stream: &UnixStream, inbox: &mut Inbox) -> Result<Frame, FrameError> {
    loop {
        if let Some(frame) = inbox.take()? {
            return Ok(frame);
        }
        let outcome = stream.async_io(Interest::READABLE, || match inbox.receive(stream.as_fd()) {
            Ok(true) => Ok(Ok(())),
            Ok(false) => Err(io::ErrorKind::WouldBlock.into()),
            Err(error) => Ok(Err(error)),
        });
        outcome.await.map_err(FrameError::Read)??;
    }
}
