//! Doors for the fuzz targets in `fuzz/`: what clients with buildx send. Built for them only.

use std::collections::BTreeMap;

use bollard_buildkit_proto::fsutil::types::Packet;
use bollard_buildkit_proto::moby::buildkit::v1::SolveRequest;
use prost::Message;

use super::attributes::Attributes;
use super::request::{self, Export};
use super::{files, tar};

/// Reads a message that asks for a build.
pub fn solve(message: &[u8]) {
    let Ok(request) = SolveRequest::decode(message) else {
        return;
    };
    let _answer = request::check(&request);
    let _answer = Export::of(&request);
    let _answer = Attributes::read(request.frontend_attrs, &request.frontend_inputs);
}

/// Reads messages about files, each after its length. Answers the paths of those that are taken, and the
/// archive that is made of them; each has as much content as it says, up to 64 KiB.
#[must_use]
pub fn files(mut messages: &[u8]) -> (Vec<String>, Vec<u8>) {
    const MOST_CONTENT: u64 = 64 << 10;
    let (mut paths, mut archive) = (Vec::new(), Vec::new());
    let mut known = BTreeMap::new();
    while let Ok(packet) = Packet::decode_length_delimited(&mut messages) {
        let Some(stat) = packet.stat else {
            continue;
        };
        let (Ok(head), Ok(kind), Ok(size)) = (tar::head(&stat), tar::kind(&stat), tar::size(&stat))
        else {
            continue;
        };
        let size = if kind == tar::Kind::File { size } else { 0 };
        if size > MOST_CONTENT {
            continue;
        }
        archive.extend(head);
        archive.extend((0..size).map(|_| b'x'));
        archive.resize(archive.len() + tar::filling(size), 0);
        paths.push(stat.path.clone());
        known.insert(stat.path.clone(), (packet.id, stat));
    }
    for path in &paths {
        let _file = files::followed(&known, path);
    }
    archive.extend(tar::end());
    (paths, archive)
}
