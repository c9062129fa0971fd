//! Finding the program: by path, or by name in the container's `PATH`.
//!
//! The messages are those of `runc` (Go's `exec.LookPath`): Docker's command line tells exit codes
//! 127 and 126 by them.

use rustix::fs::{self, Access, AtFlags, CWD, FileType};
use rustix::io::Errno;

use crate::launch::{StartError, StartErrorKind};

/// The path of the program, relative to this process's root and working directory.
pub(super) fn find(name: &str, path: &str) -> Result<String, StartError> {
    if name.contains('/') {
        return match is_executable(name) {
            Ok(()) => Ok(name.to_owned()),
            Err(Unusable::Missing(errno)) => Err(StartError {
                kind: if errno == Errno::NOENT {
                    StartErrorKind::CommandNotFound
                } else {
                    StartErrorKind::CommandNotExecutable
                },
                message: format!("exec: {}: stat {name}: {}", quoted(name), words(errno)),
            }),
            Err(Unusable::Forbidden(errno)) => Err(StartError {
                kind: StartErrorKind::CommandNotExecutable,
                message: format!("exec: {}: {}", quoted(name), words(errno)),
            }),
        };
    }
    let candidates = path.split(':').map(|directory| {
        let directory = if directory.is_empty() { "." } else { directory };
        format!("{}/{name}", directory.trim_end_matches('/'))
    });
    candidates
        .filter(|_| !name.is_empty())
        .find(|candidate| is_executable(candidate).is_ok())
        .ok_or_else(|| StartError {
            kind: StartErrorKind::CommandNotFound,
            message: format!("exec: {}: executable file not found in $PATH", quoted(name)),
        })
}

enum Unusable {
    Missing(Errno),
    Forbidden(Errno),
}

fn is_executable(path: &str) -> Result<(), Unusable> {
    let stat = fs::stat(path).map_err(Unusable::Missing)?;
    if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
        return Err(Unusable::Forbidden(Errno::ISDIR));
    }
    match fs::accessat(CWD, path, Access::EXEC_OK, AtFlags::EACCESS) {
        // A filter older than the call `faccessat2` refuses it; the file's mode is the next best.
        Err(Errno::PERM | Errno::NOSYS) if stat.st_mode & 0o111 != 0 => Ok(()),
        Err(Errno::PERM | Errno::NOSYS) => Err(Unusable::Forbidden(Errno::ACCESS)),
        answer => answer.map_err(Unusable::Forbidden),
    }
}

/// What `execve` answered for a program that was there.
pub(super) fn not_executed(path: &str, name: &str, errno: Errno) -> StartError {
    let path = if path.is_empty() { name } else { path };
    let kind = match errno {
        Errno::NOENT => StartErrorKind::CommandNotFound,
        Errno::TOOBIG => StartErrorKind::Invalid,
        _ => StartErrorKind::CommandNotExecutable,
    };
    StartError {
        kind,
        message: format!("exec {path}: {}", words(errno)),
    }
}

/// The C library's words for an error, in lower case, as Go prints them.
pub(super) fn words(errno: Errno) -> String {
    let text = errno.to_string();
    text.split(" (os error")
        .next()
        .unwrap_or_default()
        .to_lowercase()
}

/// Quoted as Go does.
fn quoted(text: &str) -> String {
    format!("{text:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(name: &str, path: &str) -> String {
        find(name, path).unwrap_err().message
    }

    #[test]
    fn messages_are_those_that_clients_look_for() {
        assert_eq!(
            message("nosuch", "/bin:/usr/bin"),
            "exec: \"nosuch\": executable file not found in $PATH"
        );
        assert_eq!(
            message("/nosuch", ""),
            "exec: \"/nosuch\": stat /nosuch: no such file or directory"
        );
        assert_eq!(message("/etc", ""), "exec: \"/etc\": is a directory");
        assert_eq!(
            message("/etc/passwd", ""),
            "exec: \"/etc/passwd\": permission denied"
        );
        assert_eq!(
            message("", "/bin"),
            "exec: \"\": executable file not found in $PATH"
        );
    }

    #[test]
    fn names_are_found_in_the_first_directory_that_has_them() {
        assert_eq!(find("sh", "/nosuch:/bin/").unwrap(), "/bin/sh");
    }
}
