//! What only a machine of its own can show: limits of pure cgroup version 2, an old kernel, a reboot
//! and a power cut. `tests/harness/machine` boots it.

mod limits;
mod restart;
