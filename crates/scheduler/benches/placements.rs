//! Placements a second on a fleet of 5,000 nodes that fills up while they are made.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a bench prints, and fails by panicking"
)]

use std::time::Instant;

use model::Id;
use scheduler::snapshot::Resources;
use scheduler::{Candidate, Request, Snapshot, Strategy, place};

const NODES: u32 = 5_000;
const PLACEMENTS: u32 = 100_000;

fn id(number: u32) -> Id {
    let mut bytes = [0; 16];
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    Id::from_bytes(bytes)
}

fn main() {
    for strategy in [Strategy::Spread, Strategy::Pack] {
        let mut snapshot = Snapshot::default();
        for number in 0..NODES {
            snapshot.set_node(Candidate {
                id: id(number),
                ready: !number.is_multiple_of(50),
                cordoned: number.is_multiple_of(40),
                zone: "nova".to_owned(),
                capacity: Resources {
                    cpu_milli: 64_000,
                    memory_bytes: 256 << 30,
                    instances: 32_768,
                },
                reserved: Resources::default(),
                expected: Resources::default(),
            });
        }
        let started = Instant::now();
        for number in 0..PLACEMENTS {
            let request = Request {
                memory_reserved_bytes: u64::from(1 + number % 16) << 30,
                cpu_limit_milli: u64::from(number % 4) * 500,
                ..Request::default()
            };
            let node = place(&snapshot, &request, strategy).unwrap();
            snapshot.assign(id(NODES + number), node, &request);
        }
        let rate = f64::from(PLACEMENTS) / started.elapsed().as_secs_f64();
        println!("placements, {NODES} nodes, {strategy:?}: {rate:.0} a second");
    }
}
