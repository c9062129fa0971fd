//! Holding all processes of a container still.

use std::time::{Duration, Instant};

use super::{Cgroup, CgroupError, read, write};

/// How long a freeze may take before it is given up and undone.
const PATIENCE: Duration = Duration::from_secs(2);

impl Cgroup {
    /// Holds its processes still, and waits until they are.
    ///
    /// # Errors
    /// When the kernel refuses, or a process cannot be stopped within two seconds
    /// (`ETIMEDOUT`); then all of them go on.
    pub fn freeze(&self) -> Result<(), CgroupError> {
        let Some(freezer) = self.freezer() else {
            return Err(CgroupError::NoController {
                field: "freezer",
                controller: "freezer",
            });
        };
        self.set_frozen(&freezer, true)?;
        let begin = Instant::now();
        while !freezer.is_frozen()? {
            if begin.elapsed() > PATIENCE {
                self.set_frozen(&freezer, false)?;
                return Err(CgroupError::refused(
                    "freeze",
                    &freezer.control,
                    rustix::io::Errno::TIMEDOUT,
                ));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// Lets its processes go on.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn thaw(&self) -> Result<(), CgroupError> {
        self.freezer()
            .map_or(Ok(()), |freezer| self.set_frozen(&freezer, false))
    }

    /// Its processes are held still.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub fn is_frozen(&self) -> Result<bool, CgroupError> {
        match self.freezer() {
            Some(freezer) if freezer.state.exists() => freezer.is_frozen(),
            _ => Ok(false),
        }
    }

    fn set_frozen(&self, freezer: &Freezer, frozen: bool) -> Result<(), CgroupError> {
        let value = if frozen { freezer.on } else { freezer.off };
        write(&freezer.control, value)
            .map_err(|errno| CgroupError::refused("write", &freezer.control, errno))
    }

    fn freezer(&self) -> Option<Freezer> {
        if let Some(directory) = self.v2_directory() {
            return Some(Freezer {
                control: directory.join("cgroup.freeze"),
                on: "1",
                off: "0",
                state: directory.join("cgroup.events"),
                shows: "frozen 1",
            });
        }
        let directory = self.directory_of("freezer")?;
        let control = directory.join("freezer.state");
        Some(Freezer {
            state: control.clone(),
            control,
            on: "FROZEN",
            off: "THAWED",
            shows: "FROZEN",
        })
    }
}

/// The files by which a cgroup is frozen: version 2's, also beside version 1 limits, or version 1's.
struct Freezer {
    control: std::path::PathBuf,
    on: &'static str,
    off: &'static str,
    state: std::path::PathBuf,
    /// A line of `state` when everything is frozen.
    shows: &'static str,
}

impl Freezer {
    fn is_frozen(&self) -> Result<bool, CgroupError> {
        Ok(read(&self.state)?.lines().any(|line| line == self.shows))
    }
}
