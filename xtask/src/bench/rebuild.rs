//! A Dockerfile of ten steps, built again with nothing changed: over the API, and by the client.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use tests::daemon::Daemon;
use tests::docker::Docker;

use super::pair::{Pair, milliseconds};
use super::table::Row;

const RUNS: usize = 15;

/// Ten steps, of the kinds that a file of an application has.
const DOCKERFILE: &str = r#"FROM busybox
ARG VERSION=1
ENV VERSION=$VERSION PATH=/opt/bin:$PATH
WORKDIR /srv/app
COPY requirements.txt ./
RUN cat requirements.txt > installed
COPY src ./src
RUN find src -type f | sort > manifest
EXPOSE 8000
CMD ["cat", "manifest"]
"#;

/// Files that are copied.
const FILES: usize = 200;

pub(super) fn measure(pair: &Pair) -> Result<Vec<Row>> {
    let scratch = tempfile::tempdir()?;
    let project = scratch.path().join("project");
    std::fs::create_dir_all(project.join("src"))?;
    std::fs::write(project.join("Dockerfile"), DOCKERFILE)?;
    std::fs::write(project.join("requirements.txt"), "one\ntwo\n")?;
    for number in 0..FILES {
        let text = format!("file {number}\n").repeat(200);
        std::fs::write(project.join(format!("src/{number}.txt")), text)?;
    }
    let archive = scratch.path().join("context.tar");
    let packed = Command::new("tar")
        .arg("-C")
        .arg(&project)
        .arg("-cf")
        .arg(&archive)
        .arg(".")
        .status()?;
    ensure!(packed.success(), "the context cannot be packed");
    let project = project.to_str().context("a path that is text")?;
    let archive = archive.to_str().context("a path that is text")?;
    let [api, api_peer] = pair.medians(RUNS, |daemon| milliseconds(|| by_api(daemon, archive)))?;
    let [client, client_peer] = pair.medians(RUNS, |daemon| {
        milliseconds(|| by_client(&daemon.docker(), project))
    })?;
    let row = |what: &str, longshore, peer, reach| Row {
        what: what.to_owned(),
        unit: "ms",
        longshore,
        peer: Some(peer),
        more_is_better: false,
        reach,
    };
    Ok(vec![
        row(
            "rebuild of ten steps, all cached, API",
            api,
            api_peer,
            ">= 5x",
        ),
        row(
            "rebuild of ten steps, all cached, docker build",
            client,
            client_peer,
            "",
        ),
    ])
}

fn by_api(daemon: &Daemon, archive: &str) -> Result<()> {
    let output = Command::new("curl")
        .args(["--silent", "--fail", "--unix-socket"])
        .arg(daemon.socket())
        .args([
            "--header",
            "Content-Type: application/x-tar",
            "--data-binary",
        ])
        .arg(format!("@{archive}"))
        .arg("http://docker/v1.41/build?t=rebuild:api")
        .output()?;
    let told = String::from_utf8_lossy(&output.stdout);
    ensure!(told.contains("Successfully built"), "{told}");
    Ok(())
}

fn by_client(docker: &Docker, project: &str) -> Result<()> {
    let mut command = docker.command(&["build", "--quiet", "-t", "rebuild:client", project]);
    let output = command.env("DOCKER_BUILDKIT", "0").output()?;
    ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}
