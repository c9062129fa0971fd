//! The files of a commit: fetched without what was before it, and left in a directory.
//!
//! Source: BuildKit, `source/git/source.go`, `checkout` and `tryRemoteFetch`.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};

use crate::program::{Git, GitError, Transports};
use crate::{Commit, Repository};

/// What git calls its own files.
const OWN: &str = ".git";

/// Where commits of all branches and tags go.
const EVERYTHING: [&str; 2] = [
    "+refs/heads/*:refs/remotes/origin/*",
    "+refs/tags/*:refs/tags/*",
];

impl Git<'_> {
    /// The files of a commit; answers their directory. Everything is as old as the commit, and readable.
    /// Git's own files are there where the address says so, unless only a directory is asked for.
    ///
    /// # Errors
    /// [`GitError`].
    pub async fn check_out(
        &self,
        repository: &Repository,
        commit: &Commit,
    ) -> Result<PathBuf, GitError> {
        let tree = self.tree();
        fs::create_dir(&tree).map_err(failed("create", &tree))?;
        self.fetch(repository, commit).await?;
        let own = |args: &'static [&'static str]| self.run(repository, args, Transports::Own);
        let wanted = format!("{}^{{commit}}", commit.object);
        let read = ["rev-parse", "--verify", "--quiet", &wanted];
        let found = match self.text(repository, &read).await {
            Err(GitError::Failed { .. }) => {
                return Err(GitError::NoReference {
                    reference: commit.object.clone(),
                    repository: repository.shown(),
                });
            }
            found => found?,
        };
        if let Some(expected) = &repository.checksum
            && !commit.object.starts_with(expected)
            && !found.starts_with(expected)
        {
            return Err(GitError::Checksum {
                expected: expected.clone(),
                found,
            });
        }
        let checkout = ["checkout", "--quiet", "--force", "--detach", &found];
        self.run(repository, &checkout, Transports::Own).await?;
        if repository.submodules && tree.join(".gitmodules").is_file() {
            let update = ["submodule", "--quiet", "update", "--init", "--recursive"];
            self.shallow(repository, &update, &[], Transports::All)
                .await?;
        }
        let time = ["log", "-1", "--format=%ct", &found];
        let time = self.text(repository, &time).await?;
        let time: i64 = time.parse().unwrap_or_default();
        let keeps_own = repository.keep_git_dir == Some(true) && repository.directory.is_empty();
        if keeps_own {
            own(&["reflog", "expire", "--all", "--expire=now"]).await?;
            for name in ["FETCH_HEAD", "logs"] {
                remove(&tree.join(OWN).join(name))?;
            }
        }
        let directory = repository.directory.clone();
        let secret = repository.sign_in().map(str::to_owned);
        let work = move || {
            let found = below(&tree, &directory)?;
            if let Some(secret) = secret.filter(|_| keeps_own) {
                forget(&tree.join(OWN), &secret)?;
            }
            settle(&tree, keeps_own, time)?;
            Ok(found)
        };
        match tokio::task::spawn_blocking(work).await {
            Ok(answer) => answer,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }

    /// What it prints, of one line.
    async fn text(&self, repository: &Repository, args: &[&str]) -> Result<String, GitError> {
        let printed = self.run(repository, args, Transports::Own).await?;
        Ok(String::from_utf8_lossy(&printed).trim().to_owned())
    }

    /// Has the objects of a commit.
    async fn fetch(&self, repository: &Repository, commit: &Commit) -> Result<(), GitError> {
        let format = match commit.object.len() {
            64 => "--object-format=sha256",
            _ => "--object-format=sha1",
        };
        self.run(repository, &["init", "--quiet", format], Transports::Own)
            .await?;
        let add = ["remote", "add", "origin", &repository.remote];
        self.run(repository, &add, Transports::Own).await?;
        let wanted = match &commit.reference {
            Some(name) => format!("+{}:{name}", commit.object),
            None => commit.object.clone(),
        };
        let fetch = ["fetch", "--quiet", "--no-tags", "--update-head-ok"];
        let one = ["origin", &wanted];
        let fetched = self.shallow(repository, &fetch, &one, Transports::Own);
        match fetched.await {
            // A server may give out nothing but what a reference names.
            Err(GitError::Failed { told, .. }) if is_unadvertised(&told) => {
                let all = [fetch.as_slice(), &["origin"], &EVERYTHING].concat();
                self.run(repository, &all, Transports::Own).await?;
            }
            fetched => drop(fetched?),
        }
        Ok(())
    }

    /// Runs it without what was before a commit, or with, where the server does not know how.
    async fn shallow(
        &self,
        repository: &Repository,
        args: &[&str],
        last: &[&str],
        transports: Transports,
    ) -> Result<Vec<u8>, GitError> {
        let shallow = [args, &["--depth=1"], last].concat();
        match self.run(repository, &shallow, transports).await {
            Err(GitError::Failed { told, .. }) if is_deep(&told) => {
                let whole = [args, last].concat();
                self.run(repository, &whole, transports).await
            }
            answer => answer,
        }
    }
}

/// Whether a server knows whole histories only.
fn is_deep(told: &str) -> bool {
    told.contains("--depth") || told.contains("shallow")
}

/// Whether a server does not give out a commit by its id.
fn is_unadvertised(told: &str) -> bool {
    told.contains("not our ref") || told.contains("unadvertised object")
}

fn failed(attempt: &'static str, path: &Path) -> impl FnOnce(io::Error) -> GitError {
    let path = path.to_owned();
    move |source| GitError::File {
        attempt,
        path,
        source,
    }
}

/// A directory below the tree; no link leads there.
fn below(tree: &Path, directory: &str) -> Result<PathBuf, GitError> {
    let mut path = tree.to_owned();
    for name in Path::new(directory) {
        path.push(name);
        let is_directory = fs::symlink_metadata(&path).is_ok_and(|found| found.is_dir());
        if !is_directory || name == OWN {
            return Err(GitError::Directory(directory.to_owned()));
        }
    }
    Ok(path)
}

/// Removes git's own files, unless they are to be kept, and lets the others be as in any checkout: git
/// keeps neither times nor modes, but whether a file is run. No file of a commit is called as git's are.
fn settle(path: &Path, keeps_own: bool, time: i64) -> Result<(), GitError> {
    let found = fs::symlink_metadata(path).map_err(failed("look at", path))?;
    let mode = match found.permissions().mode() {
        mode if found.is_dir() || mode & 0o100 != 0 => 0o755,
        _ => 0o644,
    };
    if !found.is_symlink() {
        let permissions = Permissions::from_mode(mode);
        fs::set_permissions(path, permissions).map_err(failed("set mode of", path))?;
    }
    if found.is_dir() {
        for entry in fs::read_dir(path).map_err(failed("list", path))? {
            let entry = entry.map_err(failed("list", path))?;
            match entry.file_name() == OWN {
                true if keeps_own => {}
                true => remove(&entry.path())?,
                false => settle(&entry.path(), keeps_own, time)?,
            }
        }
    }
    let time = Timespec {
        tv_sec: time,
        tv_nsec: 0,
    };
    let times = Timestamps {
        last_access: time,
        last_modification: time,
    };
    utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW)
        .map_err(|error| failed("set times of", path)(error.into()))
}

/// Takes whoever signs in out of what git has written down, of the repository and of those in it.
fn forget(own: &Path, secret: &str) -> Result<(), GitError> {
    for entry in fs::read_dir(own).map_err(failed("list", own))? {
        let path = entry.map_err(failed("list", own))?.path();
        if path.is_dir() {
            forget(&path, secret)?;
        } else if path.ends_with("config") {
            let text = fs::read_to_string(&path).map_err(failed("read", &path))?;
            let text = text.replace(&format!("//{secret}@"), "//xxxxx@");
            fs::write(&path, text).map_err(failed("write", &path))?;
        }
    }
    Ok(())
}

/// Removes what is there, if there is anything.
fn remove(path: &Path) -> Result<(), GitError> {
    let removed = match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    };
    removed.map_err(failed("remove", path))
}
