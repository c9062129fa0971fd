//! `docker build` by the classic protocol, and over a session.

pub(super) mod buildx;
mod cache;
mod copy;
mod dockerfiles;
mod language;
mod refused;
mod remote;
mod session;

use std::path::PathBuf;

use tests::daemon::Daemon;
use tests::docker::{Answer, Docker};

/// A directory with files to build from.
struct Project {
    docker: Docker,
    dir: PathBuf,
    /// Names of images that are its own begin with it.
    name: String,
}

impl Project {
    /// A new one; `name` is the test's alone.
    fn new(daemon: &Daemon, name: &str, dockerfile: &str) -> Self {
        let dir = daemon.scratch().join(name);
        std::fs::create_dir(&dir).unwrap();
        let project = Self {
            docker: daemon.docker(),
            dir,
            name: name.to_owned(),
        };
        project.write("Dockerfile", dockerfile);
        project
    }

    /// Writes a file, and makes the directories on the way.
    fn write(&self, path: &str, text: &str) {
        let path = self.dir.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// Builds the image of its name.
    fn build(&self, args: &[&str]) -> Answer {
        let dir = self.dir.to_str().unwrap();
        let all: Vec<&str> = ["build", "-t", &self.name]
            .into_iter()
            .chain(args.iter().copied())
            .chain([dir])
            .collect();
        let output = self
            .docker
            .command(&all)
            .env("DOCKER_BUILDKIT", "0")
            .output()
            .unwrap();
        Answer {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// What a container of the image prints.
    #[track_caller]
    fn run(&self, args: &[&str]) -> String {
        let all: Vec<&str> = ["run", "--rm", &self.name]
            .into_iter()
            .chain(args.iter().copied())
            .collect();
        self.docker.run(&all).ok()
    }

    /// One value of the image.
    #[track_caller]
    fn image(&self, template: &str) -> String {
        self.docker.inspect(&self.name, template)
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        self.docker.run(&["rmi", "-f", &self.name]);
    }
}
