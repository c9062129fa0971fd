//! Files of a client: some of them whole, or all of them as the archive that a build is made of.
//!
//! The client tells all paths first and sends the contents that are asked for; an empty piece ends one.
//! It is a stranger: what it sends is counted, and its paths are looked up by the builder inside a
//! directory only. Source: fsutil, `receive.go`, `send.go`.

use std::collections::{BTreeMap, VecDeque};
use std::io;

use actions::build::Context;
use bollard_buildkit_proto::fsutil::types::packet::PacketType;
use bollard_buildkit_proto::fsutil::types::{Packet, Stat};
use bytes::Bytes;
use futures_util::stream;
use tokio::sync::mpsc;
use tokio_util::io::StreamReader;
use tonic::Status;

use super::session::Exchange;
use super::tar::{self, Kind};

/// Files of one context: more are a mistake, or meant to fill the memory.
const MOST_FILES: usize = 1 << 20;

/// A file that is taken whole, and all of them together.
const MOST_WHOLE_BYTES: u64 = 4 << 20;

/// Contents that are asked for before those in front of them are there: so many...
const MOST_AHEAD: usize = 64;
/// ...and so many bytes, as they wait in memory.
const MOST_BYTES_AHEAD: u64 = 1 << 20;

/// Pieces of an archive that wait for the builder; one has 32 KiB.
const WAITING_PIECES: usize = 32;

/// What a packet says.
enum Said {
    /// There is this file; its number.
    File(u32, Stat),
    /// There are no more.
    NoMore,
    /// A piece of the content of a file.
    Piece(u32, Bytes),
    /// The client is through.
    Through,
}

impl Exchange {
    async fn next(&mut self, count: &mut u32) -> Result<Said, Status> {
        let packet = self.packets.message().await?;
        let Some(packet) = packet else {
            return Ok(Said::Through);
        };
        match packet.r#type() {
            PacketType::PacketStat => match packet.stat {
                Some(_) if *count as usize >= MOST_FILES => Err(Status::resource_exhausted(
                    format!("the build context has more than {MOST_FILES} files"),
                )),
                Some(stat) => {
                    *count += 1;
                    Ok(Said::File(*count - 1, stat))
                }
                None => Ok(Said::NoMore),
            },
            PacketType::PacketData => Ok(Said::Piece(packet.id, packet.data.into())),
            PacketType::PacketFin => Ok(Said::Through),
            PacketType::PacketErr => Err(Status::aborted(format!(
                "the client cannot send its files: {}",
                String::from_utf8_lossy(&packet.data)
            ))),
            PacketType::PacketReq => Err(out_of_turn()),
        }
    }

    async fn want(&self, id: u32) -> Result<(), Status> {
        let packet = Packet {
            r#type: PacketType::PacketReq.into(),
            id,
            ..Packet::default()
        };
        self.wanted.send(packet).await.map_err(|_| left())
    }

    /// Tells the client that all is there, and hears that it knows.
    async fn finish(mut self, mut count: u32) -> Result<(), Status> {
        let packet = Packet {
            r#type: PacketType::PacketFin.into(),
            ..Packet::default()
        };
        self.wanted.send(packet).await.map_err(|_| left())?;
        while !matches!(self.next(&mut count).await?, Said::Through) {}
        Ok(())
    }
}

fn left() -> Status {
    Status::aborted("the client left while it sent its files")
}

fn out_of_turn() -> Status {
    Status::invalid_argument("the client sends something that was not asked for")
}

/// The contents of some small files, by path; of one that is not there, nothing.
pub(super) async fn whole(
    mut exchange: Exchange,
    paths: &[String],
) -> Result<BTreeMap<String, Bytes>, Status> {
    let (mut count, mut known) = (0, BTreeMap::new());
    loop {
        match exchange.next(&mut count).await? {
            Said::File(id, stat) => {
                known.insert(stat.path.clone(), (id, stat));
            }
            Said::NoMore => break,
            Said::Piece(..) => return Err(out_of_turn()),
            Said::Through => return Err(left()),
        }
    }
    let mut found = BTreeMap::new();
    for path in paths {
        let Some((id, stat)) = followed(&known, path) else {
            continue;
        };
        if tar::size(stat)? > MOST_WHOLE_BYTES {
            return Err(Status::invalid_argument(format!(
                "{path} is larger than {MOST_WHOLE_BYTES} bytes"
            )));
        }
        exchange.want(*id).await?;
        let mut content = Vec::new();
        loop {
            match exchange.next(&mut count).await? {
                Said::Piece(of, piece) if of == *id && piece.is_empty() => break,
                Said::Piece(of, piece) if of == *id => content.extend_from_slice(&piece),
                Said::Through => return Err(left()),
                _ => return Err(out_of_turn()),
            }
            if content.len() as u64 > MOST_WHOLE_BYTES {
                return Err(Status::invalid_argument(format!(
                    "{path} is larger than {MOST_WHOLE_BYTES} bytes"
                )));
            }
        }
        // It can be asked for once only.
        let (id, _) = (*id, stat);
        known.retain(|_, (other, _)| *other != id);
        found.insert(path.clone(), content.into());
    }
    exchange.finish(count).await?;
    Ok(found)
}

/// The file at a path, behind links.
pub(super) fn followed<'k>(
    known: &'k BTreeMap<String, (u32, Stat)>,
    path: &str,
) -> Option<&'k (u32, Stat)> {
    const MOST_LINKS: usize = 16;
    let mut path = path.to_owned();
    for _ in 0..MOST_LINKS {
        let found = known.get(&path)?;
        match tar::kind(&found.1).ok()? {
            Kind::File => return Some(found),
            Kind::HardLink => path = found.1.linkname.clone(),
            Kind::Symlink => {
                let directory = path.rsplit_once('/').map_or("", |(directory, _)| directory);
                path = joined(directory, &found.1.linkname);
            }
            Kind::Directory => return None,
        }
    }
    None
}

/// Where a link in a directory leads, never out of the root.
fn joined(directory: &str, link: &str) -> String {
    let from = if link.starts_with('/') { "" } else { directory };
    let mut parts: Vec<&str> = Vec::new();
    for part in from.split('/').chain(link.split('/')) {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// How much of an archive has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Received {
    /// So many bytes of contents.
    Bytes(u64),
    /// All of it.
    All(u64),
}

/// All files of an exchange as an archive; `tell` hears how much has come.
pub(super) fn archive(
    exchange: Exchange,
    tell: impl Fn(Received) + Send + Sync + 'static,
) -> (Context, tokio::task::JoinHandle<Result<(), Status>>) {
    let (out, pieces) = mpsc::channel::<io::Result<Bytes>>(WAITING_PIECES);
    let task = tokio::spawn(async move {
        let packed = pack(exchange, &out, &tell).await;
        if let Err(status) = &packed {
            let error = io::Error::other(status.message().to_owned());
            // Nobody may read it any more.
            drop(out.send(Err(error)).await);
        }
        packed
    });
    let pieces = stream::unfold(pieces, |mut pieces| async {
        pieces.recv().await.map(|piece| (piece, pieces))
    });
    let reader = StreamReader::new(Box::pin(pieces));
    (Box::new(reader), task)
}

/// A file whose turn in the archive has not come.
struct Turn {
    head: Vec<u8>,
    content: Option<Content>,
}

/// The content of a file, as far as it came.
struct Content {
    id: u32,
    path: String,
    size_bytes: u64,
    /// Of these, which came or were written.
    come_bytes: u64,
    pieces: VecDeque<Bytes>,
    is_whole: bool,
}

async fn pack(
    mut exchange: Exchange,
    out: &mpsc::Sender<io::Result<Bytes>>,
    tell: &(impl Fn(Received) + Sync),
) -> Result<(), Status> {
    let mut count = 0;
    let mut all_bytes = 0;
    let mut are_all_known = false;
    // Told of, and nothing more.
    let mut waiting: VecDeque<Turn> = VecDeque::new();
    // Asked for.
    let mut asked: VecDeque<Turn> = VecDeque::new();
    loop {
        ask(&exchange, &mut waiting, &mut asked).await?;
        while let Some(turn) = asked.front_mut() {
            if !write(turn, out).await? {
                break;
            }
            asked.pop_front();
            ask(&exchange, &mut waiting, &mut asked).await?;
        }
        if are_all_known && waiting.is_empty() && asked.is_empty() {
            break;
        }
        match exchange.next(&mut count).await? {
            Said::File(id, stat) if !are_all_known => {
                waiting.push_back(Turn {
                    head: tar::head(&stat)?,
                    content: content(id, stat)?,
                });
            }
            Said::NoMore => are_all_known = true,
            Said::Piece(id, piece) => {
                let mut contents = asked.iter_mut().filter_map(|turn| turn.content.as_mut());
                let content = contents.find(|content| content.id == id && !content.is_whole);
                all_bytes += piece.len() as u64;
                content.ok_or_else(out_of_turn)?.take(piece)?;
                tell(Received::Bytes(all_bytes));
            }
            Said::Through => return Err(left()),
            Said::File(..) => return Err(out_of_turn()),
        }
    }
    exchange.finish(count).await?;
    tell(Received::All(all_bytes));
    // Whoever reads knows the end by its first block.
    drop(out.send(Ok(tar::end().into())).await);
    Ok(())
}

fn unread() -> Status {
    Status::cancelled("the build ended before its files were there")
}

/// The content that is to be asked for.
fn content(id: u32, stat: Stat) -> Result<Option<Content>, Status> {
    let size_bytes = tar::size(&stat)?;
    if tar::kind(&stat)? != Kind::File || size_bytes == 0 {
        return Ok(None);
    }
    Ok(Some(Content {
        id,
        path: stat.path,
        size_bytes,
        come_bytes: 0,
        pieces: VecDeque::new(),
        is_whole: false,
    }))
}

impl Content {
    fn take(&mut self, mut piece: Bytes) -> Result<(), Status> {
        if piece.is_empty() {
            self.is_whole = true;
            if self.come_bytes < self.size_bytes {
                return Err(Status::aborted(format!(
                    "{} became smaller while it was sent, or cannot be read",
                    self.path
                )));
            }
            return Ok(());
        }
        // One that grew meanwhile is as it was when it was told of.
        let room = self.size_bytes - self.come_bytes;
        piece.truncate(usize::try_from(room).unwrap_or(usize::MAX));
        self.come_bytes += piece.len() as u64;
        if !piece.is_empty() {
            self.pieces.push_back(piece);
        }
        Ok(())
    }
}

/// Asks for the next contents, as far ahead as there is room for them.
async fn ask(
    exchange: &Exchange,
    waiting: &mut VecDeque<Turn>,
    asked: &mut VecDeque<Turn>,
) -> Result<(), Status> {
    let contents = asked.iter().filter_map(|turn| turn.content.as_ref());
    let (mut many, mut bytes) = contents.fold((0, 0_u64), |(many, bytes), content| {
        (many + 1, bytes.saturating_add(content.size_bytes))
    });
    while let Some(turn) = waiting.front() {
        if let Some(content) = &turn.content {
            bytes = bytes.saturating_add(content.size_bytes);
            let is_too_much = many >= MOST_AHEAD || bytes > MOST_BYTES_AHEAD;
            if many > 0 && is_too_much {
                break;
            }
            many += 1;
            exchange.want(content.id).await?;
        }
        asked.extend(waiting.pop_front());
    }
    Ok(())
}

/// Writes what there is of a file whose turn it is; answers whether that is all.
async fn write(turn: &mut Turn, out: &mpsc::Sender<io::Result<Bytes>>) -> Result<bool, Status> {
    let send = async |bytes: Bytes| out.send(Ok(bytes)).await.map_err(|_| unread());
    if !turn.head.is_empty() {
        send(std::mem::take(&mut turn.head).into()).await?;
    }
    let Some(content) = &mut turn.content else {
        return Ok(true);
    };
    while let Some(piece) = content.pieces.pop_front() {
        send(piece).await?;
    }
    if !content.is_whole {
        return Ok(false);
    }
    send(vec![0; tar::filling(content.size_bytes)].into()).await?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_at_a_file_are_followed_inside_the_directory() {
        let file = |id, mode, link: &str| {
            let stat = Stat {
                mode,
                linkname: link.to_owned(),
                ..Stat::default()
            };
            (id, stat)
        };
        let link = 1 << 27;
        let known = BTreeMap::from([
            ("Dockerfile".to_owned(), file(0, link, "docker/./build")),
            ("docker/build".to_owned(), file(1, link, "../../../real")),
            ("real".to_owned(), file(2, 0o644, "")),
            ("loop".to_owned(), file(3, link, "loop")),
        ]);
        assert_eq!(followed(&known, "Dockerfile").map(|(id, _)| *id), Some(2));
        assert!(followed(&known, "loop").is_none());
        assert!(followed(&known, "none").is_none());
    }

    #[test]
    fn a_file_that_changes_while_it_is_sent_is_cut_or_refused() {
        let content = || Content {
            id: 0,
            path: "log".to_owned(),
            size_bytes: 4,
            come_bytes: 0,
            pieces: VecDeque::new(),
            is_whole: false,
        };
        let mut grown = content();
        grown.take(Bytes::from_static(b"abc")).unwrap();
        grown.take(Bytes::from_static(b"def")).unwrap();
        grown.take(Bytes::new()).unwrap();
        assert_eq!(grown.pieces, [&b"abc"[..], b"d"]);
        let mut shrunk = content();
        shrunk.take(Bytes::from_static(b"abc")).unwrap();
        let error = shrunk.take(Bytes::new()).unwrap_err();
        assert!(error.message().starts_with("log became smaller"), "{error}");
    }
}
