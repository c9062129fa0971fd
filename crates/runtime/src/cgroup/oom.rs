//! Processes killed because the container's memory ran out.

use std::os::fd::{AsRawFd, OwnedFd};

use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::{self, Mode, OFlags, inotify};

use super::{Cgroup, CgroupError, read_optional, write};

impl Cgroup {
    /// How many of its processes were killed because its memory ran out.
    ///
    /// # Errors
    /// When the counter cannot be read. Without a memory controller it is 0.
    pub fn oom_kills(&self) -> Result<u64, CgroupError> {
        let Some(directory) = self.directory_of("memory") else {
            return Ok(0);
        };
        let file = if self.host.is_unified() {
            "memory.events"
        } else {
            "memory.oom_control"
        };
        let path = directory.join(file);
        let Some(content) = read_optional(&path)? else {
            return Ok(0);
        };
        Ok(content
            .lines()
            .find_map(|line| line.strip_prefix("oom_kill ")?.parse().ok())
            .unwrap_or(0))
    }

    /// A descriptor that becomes readable when memory runs out; read [`Cgroup::oom_kills`] then.
    ///
    /// It also becomes readable once when the cgroup is removed. Reading the descriptor (64 bytes
    /// suffice) makes it quiet again. `None` without a memory controller.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn oom_watch(&self) -> Result<Option<OwnedFd>, CgroupError> {
        let Some(directory) = self.directory_of("memory") else {
            return Ok(None);
        };
        if self.host.is_unified() {
            let path = directory.join("memory.events");
            let refused = |errno| CgroupError::refused("watch", &path, errno);
            let watch =
                inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)
                    .map_err(refused)?;
            let _id =
                inotify::add_watch(&watch, &path, inotify::WatchFlags::MODIFY).map_err(refused)?;
            return Ok(Some(watch));
        }
        let path = directory.join("memory.oom_control");
        let refused = |errno| CgroupError::refused("watch", &path, errno);
        let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).map_err(refused)?;
        let control =
            fs::open(&path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).map_err(refused)?;
        let request = format!("{} {}", event.as_raw_fd(), control.as_raw_fd());
        write(&directory.join("cgroup.event_control"), &request).map_err(refused)?;
        Ok(Some(event))
    }
}
