//! Contexts and sources that are elsewhere: repositories of git, over HTTP and over git's own protocol,
//! archives and Dockerfiles.

use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tests::api::Api;
use tests::daemon::{Daemon, Kind};
use tests::image::import_busybox;
use tests::web::Web;

use super::{Project, buildx};

/// A daemon may ask this machine by its address only, so that another of its addresses is refused.
const SETTINGS: &str = "[images]\nimport-hosts = [\"127.0.0.1\"]\nimport-ports = []";

/// A daemon that may ask this machine, and repositories for it.
struct Site {
    daemon: Daemon,
    web: Web,
    dir: PathBuf,
    git: Option<(Child, u16)>,
}

impl Drop for Site {
    fn drop(&mut self) {
        if let Some((child, _)) = &mut self.git {
            drop(child.kill());
            drop(child.wait());
        }
    }
}

/// Runs git in a directory; answers what it prints.
#[track_caller]
fn git(dir: &Path, args: &[&str]) -> String {
    let mut command = Command::new("git");
    let settings = [
        "user.name=tests",
        "user.email=tests@localhost",
        "init.defaultBranch=main",
        "protocol.file.allow=always",
    ];
    for setting in settings {
        command.args(["-c", setting]);
    }
    let command = command
        .args(args)
        .current_dir(dir)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1");
    let output = command.output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "git {args:?}: {told}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

impl Site {
    /// `app.git` with the repository `part.git` in it; a directory, links, a branch and two tags.
    fn open() -> Option<Self> {
        if Kind::wanted() == Kind::Dockerd {
            return None;
        }
        let daemon = Daemon::start_configured(SETTINGS).unwrap();
        import_busybox(&daemon.docker()).unwrap();
        let dir = daemon.scratch().join("site");
        for name in ["app/sub", "part"] {
            std::fs::create_dir_all(dir.join(name)).unwrap();
        }
        let (app, part) = (dir.join("app"), dir.join("part"));
        std::fs::write(part.join("of-part"), "part\n").unwrap();
        std::fs::write(app.join("file"), "first\n").unwrap();
        std::fs::write(
            app.join("Dockerfile"),
            "FROM busybox\nCOPY . /src\nCMD cat /src/file\n",
        )
        .unwrap();
        std::fs::write(app.join("sub/file"), "below\n").unwrap();
        std::fs::write(
            app.join("sub/Dockerfile"),
            "FROM busybox\nCOPY . /\nCMD cat /file\n",
        )
        .unwrap();
        std::fs::write(app.join("run"), "#!/bin/sh\n").unwrap();
        std::fs::set_permissions(app.join("run"), PermissionsExt::from_mode(0o700)).unwrap();
        symlink("/etc", app.join("etc")).unwrap();
        symlink("sub", app.join("link")).unwrap();
        for repository in [&part, &app] {
            git(repository, &["init", "--quiet"]);
            git(repository, &["add", "."]);
            git(repository, &["commit", "--quiet", "--message", "one"]);
        }
        git(&app, &["tag", "v1"]);
        git(
            &app,
            &["tag", "--annotate", "--message", "two", "v1-signed"],
        );
        let site = Self {
            web: Web::start(&dir).unwrap(),
            daemon,
            dir,
            git: None,
        };
        git(&app, &["submodule", "--quiet", "add", "../part", "part"]);
        let inside = [
            "config",
            "--file",
            ".gitmodules",
            "submodule.part.url",
            "../part.git",
        ];
        git(&app, &inside);
        site.commit("second\n");
        for name in ["app", "part"] {
            git(
                &site.dir,
                &["clone", "--quiet", "--bare", name, &format!("{name}.git")],
            );
        }
        site.publish();
        Some(site)
    }

    /// Makes a commit with another file.
    fn commit(&self, text: &str) {
        let app = self.dir.join("app");
        std::fs::write(app.join("file"), text).unwrap();
        git(&app, &["commit", "--quiet", "--all", "--message", "next"]);
    }

    /// Lets servers that know nothing of git serve what was committed.
    fn publish(&self) {
        git(
            &self.dir.join("app"),
            &["push", "--quiet", "../app.git", "main"],
        );
        for name in ["app.git", "part.git"] {
            git(&self.dir.join(name), &["update-server-info"]);
        }
    }

    /// Serves them by git's own protocol, too; answers the address before their names.
    fn serve(&mut self) -> String {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let base = format!("--base-path={}", self.dir.display());
        // The program itself, so that what is ended is what serves.
        let exec_path = git(&self.dir, &["--exec-path"]);
        let mut command = Command::new(Path::new(&exec_path).join("git-daemon"));
        command
            .args(["--export-all", "--reuseaddr", "--listen=127.0.0.1"])
            .args([&format!("--port={port}"), &base])
            .stderr(Stdio::null());
        self.git = Some((command.spawn().unwrap(), port));
        let address = format!("git://127.0.0.1:{port}/");
        let listed = format!("{address}part.git");
        self.daemon.docker().wait_until("git serves", |_| {
            let list = Command::new("git").args(["ls-remote", &listed]).output();
            list.unwrap().status.success()
        });
        address
    }

    /// Builds the context at an address as docker-py asks for it; answers what the daemon says.
    fn build_at(&self, name: &str, address: &str) -> String {
        let escaped = address.replace('#', "%23").replace('&', "%26");
        let path = format!("/build?t={name}&remote={escaped}");
        let mut api = Api::new(&self.daemon.socket());
        let reply = api.call("POST", &path, None).unwrap();
        String::from_utf8_lossy(&reply.body).into_owned()
    }

    /// What a container of an image prints.
    #[track_caller]
    fn run(&self, image: &str) -> String {
        self.daemon.docker().run(&["run", "--rm", image]).ok()
    }

    /// Directories of builds that are under way.
    fn rooms(&self) -> usize {
        let staging = self.daemon.data_dir().join("images/staging");
        let entries = std::fs::read_dir(staging).unwrap();
        let is_room = |path: PathBuf| path.join("room").exists();
        entries
            .filter(|entry| is_room(entry.as_ref().unwrap().path()))
            .count()
    }
}

#[test]
fn a_repository_is_added_by_its_commit() {
    let Some(mut site) = Site::open() else {
        return;
    };
    let smart = site.serve();
    let web = site.web.at("app.git");
    let commit = git(&site.dir.join("app"), &["rev-parse", "v1^{commit}"]);
    let text = format!(
        "FROM busybox\n\
         ADD {web}#v1 /v1\n\
         ADD --chown=7:8 {web}?subdir=sub&ref={commit} /sub/\n\
         ADD --checksum={} {smart}app.git#v1-signed /signed\n\
         ADD --keep-git-dir --exclude=sub {smart}app.git /kept\n\
         ADD {web} /head\n\
         CMD cat /v1/file /sub/file /signed/file /kept/file /kept/part/of-part; \
             stat -c '%a %u:%g %n' /sub/file /v1/run /v1; cat /kept/.git/HEAD; \
             find / -xdev -name .git | sort; ls /kept | tr '\\n' ' '\n",
        &commit[..10]
    );
    let project = Project::new(&site.daemon, "added", &text);
    drop(project.build(&[]).ok());
    let head = git(&site.dir.join("app"), &["rev-parse", "main"]);
    let printed = format!(
        "first\nbelow\nfirst\nsecond\npart\n644 7:8 /sub/file\n755 0:0 /v1/run\n755 0:0 /v1\n{head}\n\
         /kept/.git\n/kept/part/.git\nDockerfile etc file link part run "
    );
    assert_eq!(project.run(&[]).trim_end(), printed.trim_end());

    // A branch that has moved is another commit; what has a name of its own is the same.
    let cached = |told: &str| told.matches("Using cache").count();
    let again = project.build(&[]).ok();
    assert_eq!(cached(&again), 6, "{again}");
    site.commit("third\n");
    site.publish();
    let moved = project.build(&[]).ok();
    assert_eq!(cached(&moved), 3, "{moved}");
    assert!(project.run(&[]).contains("third"));

    for (source, words) in [
        (
            format!("--checksum=0123 {web}#v1"),
            "expected checksum to match 0123",
        ),
        (format!("{web}#none"), "does not contain ref none"),
        (format!("{web}#v1:none"), "invalid subdir none"),
        (format!("{web}#v1:etc"), "invalid subdir etc"),
        (format!("{web}#v1:../../etc"), "invalid subdir etc"),
        (
            format!("--keep-git-dir {web}?keep-git-dir=0"),
            "inconsistent keep-git-dir",
        ),
        (site.web.at("none.git"), "not found"),
        (
            web.replace("127.0.0.1", "127.0.0.2"),
            "does not pass filtering: 127.0.0.2",
        ),
    ] {
        project.write("Dockerfile", &format!("FROM busybox\nADD {source} /x\n"));
        let answer = project.build(&[]);
        assert!(answer.fails(1).contains(words), "{answer:?}");
    }
}

#[test]
fn a_context_is_a_repository_an_archive_or_a_dockerfile() {
    let Some(mut site) = Site::open() else {
        return;
    };
    let smart = site.serve();
    let web = site.web.at("app.git");
    let tar = ["czf", "../app.tgz", "Dockerfile", "file"];
    let packed = Command::new("tar")
        .args(tar)
        .current_dir(site.dir.join("app"))
        .status();
    assert!(packed.unwrap().success());
    std::fs::write(site.dir.join("Alone"), "FROM busybox\nCMD echo alone\n").unwrap();
    for (address, printed) in [
        (web.clone(), "second"),
        (format!("{web}#v1"), "first"),
        (format!("{web}#main:sub"), "below"),
        (format!("{smart}app.git#refs/tags/v1"), "first"),
        (format!("{smart}app.git"), "second"),
        (site.web.at("app.tgz"), "second"),
        (site.web.at("Alone"), "alone"),
    ] {
        let told = site.build_at("elsewhere", &address);
        assert!(told.contains("Successfully tagged"), "{address}: {told}");
        assert_eq!(site.run("elsewhere"), printed, "{address}");
        // Debian's client asks for the same over a session.
        let mut command = site
            .daemon
            .docker()
            .command_of("/usr/bin/docker", &["build"]);
        let command = command
            .args(["--tag", "over", &address])
            .env("DOCKER_BUILDKIT", "1");
        drop(tests::docker::answer(command.output().unwrap()).ok());
        assert_eq!(site.run("over"), printed, "{address}");
    }
    for (address, words) in [
        (format!("{web}#none"), "does not contain ref none"),
        (format!("{web}#-x"), "invalid git ref"),
        (site.web.at("none"), "404 Not Found"),
        (
            "ftp://localhost/x".to_owned(),
            "could not be recognized as URL",
        ),
        ("git@localhost:x".to_owned(), "no SSH key"),
    ] {
        let told = site.build_at("elsewhere", &address);
        assert!(told.contains(words), "{address}: {told}");
    }
    let docker = site.daemon.docker();
    docker.wait_until("nothing is left", |_| site.rooms() == 0);
}

/// A server that never answers: a client that leaves takes git, and its files, with it.
#[test]
fn a_client_that_leaves_ends_what_it_waits_for() {
    let Some(site) = Site::open() else {
        return;
    };
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/app.git", silent.local_addr().unwrap());
    let docker = site.daemon.docker();
    let mut command = docker.command_of("/usr/bin/docker", &["build", &address]);
    let mut client = command.env("DOCKER_BUILDKIT", "1").spawn().unwrap();
    let (connection, _) = silent.accept().unwrap();
    assert_eq!(site.rooms(), 1);
    // `docker` is a child of `timeout`, which hands on the signal.
    let killed = Command::new("kill").arg(client.id().to_string()).status();
    assert!(killed.unwrap().success());
    client.wait().unwrap();
    docker.wait_until("nothing is left", |_| site.rooms() == 0);
    drop(connection);
}

#[test]
fn buildx_names_addresses() {
    let Some(site) = Site::open() else {
        return;
    };
    if !buildx::install(&site.daemon) {
        return;
    }
    let web = site.web.at("app.git");
    let docker = site.daemon.docker();
    let build = |args: &[&str], input: &str| {
        let all = [&["buildx", "build", "--load", "--tag", "named"], args].concat();
        drop(docker.run_with_input(&all, input.as_bytes()).ok());
        site.run("named")
    };
    assert_eq!(build(&[&format!("{web}#v1")], ""), "first");
    // A Dockerfile of the client's, for a context that is elsewhere.
    let own = "FROM busybox\nCOPY . /src\nCMD cat /src/file; cut -c 1-4 /src/.git/HEAD | wc -c\n";
    let keeps = ["--build-arg", "BUILDKIT_CONTEXT_KEEP_GIT_DIR=1"];
    let printed = build(&[keeps.as_slice(), &["--file", "-", &web]].concat(), own);
    assert_eq!(printed, "second\n5");
    let project = Project::new(
        &site.daemon,
        "beside-addresses",
        "FROM busybox\nCOPY --from=there /file /file\nCOPY --from=text / /text/\n\
         CMD cat /file; ls /text\n",
    );
    let (there, text) = (format!("there={web}#v1"), format!("text={web}/HEAD"));
    let contexts = ["--build-context", &there, "--build-context", &text];
    let args = [contexts.as_slice(), &[project.dir.to_str().unwrap()]].concat();
    assert_eq!(build(&args, ""), "first\ncontext");
}
