//! What the allocator does with memory that a long-lived process has freed.

use crate::sys;

/// Blocks of this size are rare, and are filled at a cost that hides their mapping's.
const LARGE_BYTES: i32 = 1 << 20;

/// Gives large blocks back to the kernel when they are freed.
///
/// The GNU C library begins so, and takes the first large block that is freed as a sign that more
/// of its size will come: it then keeps up to 64 MiB for each thread (mallopt(3),
/// `M_MMAP_THRESHOLD`). To be called before there are threads.
pub fn give_back_large_blocks() {
    if !sys::allocator::map_blocks_from(LARGE_BYTES) {
        tracing::warn!("the allocator keeps large blocks of memory that are freed");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Resident memory of this process that no file backs, in bytes.
    fn resident() -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find(|line| line.starts_with("RssAnon:"));
        let kib = line.unwrap().split_whitespace().nth(1).unwrap();
        kib.parse::<u64>().unwrap() << 10
    }

    #[test]
    fn a_large_block_is_given_back_each_time() {
        give_back_large_blocks();
        for _ in 0..3 {
            let before = resident();
            let block = std::hint::black_box(vec![1_u8; 24 << 20]);
            assert!(resident() > before + (12 << 20));
            drop(block);
            assert!(resident() < before + (12 << 20));
        }
    }
}
