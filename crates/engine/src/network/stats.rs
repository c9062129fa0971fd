//! Counters of interfaces, read from the kernel's table of a process's network namespace.

use std::collections::BTreeMap;
use std::path::PathBuf;

use model::stream::InterfaceStats;

use super::error::NetworkError;

/// Counters of every interface but loopback, by name (proc_pid_net(5), `dev`).
pub(super) fn read(pid: u32) -> Result<BTreeMap<String, InterfaceStats>, NetworkError> {
    let path = PathBuf::from(format!("/proc/{pid}/net/dev"));
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok(parse(&text)),
        Err(source) => Err(NetworkError::File {
            attempt: "read",
            path,
            source,
        }),
    }
}

fn parse(text: &str) -> BTreeMap<String, InterfaceStats> {
    let interfaces = text.lines().filter_map(|line| {
        let (name, counters) = line.split_once(':')?;
        let counters: Vec<u64> = counters
            .split_whitespace()
            .map_while(|word| word.parse().ok())
            .collect();
        let [
            rx_bytes,
            rx_packets,
            rx_errors,
            rx_dropped,
            _,
            _,
            _,
            _,
            tx_bytes,
            tx_packets,
            tx_errors,
            tx_dropped,
            ..,
        ] = counters[..]
        else {
            return None;
        };
        let stats = InterfaceStats {
            rx_bytes,
            rx_packets,
            rx_errors,
            rx_dropped,
            tx_bytes,
            tx_packets,
            tx_errors,
            tx_dropped,
        };
        Some((name.trim().to_owned(), stats))
    });
    interfaces.filter(|(name, _)| name != "lo").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_read_by_column() {
        let text = "Inter-|   Receive                                                |  Transmit\n face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n    lo:       1       1    0    0    0     0          0         0        1       1    0    0    0     0       0          0\n  eth0:    1116      14    2    3    0     0          0         0      796      10    4    5    0     0       0          0\n";
        let stats = parse(text);
        assert_eq!(stats.len(), 1);
        let eth0 = &stats["eth0"];
        assert_eq!(
            (
                eth0.rx_bytes,
                eth0.rx_packets,
                eth0.rx_errors,
                eth0.rx_dropped
            ),
            (1116, 14, 2, 3)
        );
        assert_eq!(
            (
                eth0.tx_bytes,
                eth0.tx_packets,
                eth0.tx_errors,
                eth0.tx_dropped
            ),
            (796, 10, 4, 5)
        );
    }
}
