//! Compose: an application of several services, with Debian's `docker-compose` or the one that
//! `LONGSHORE_COMPOSE` names, to which `cargo xtask test --suite compose` sets a newer one.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use tests::daemon::Daemon;
use tests::docker::{Answer, Docker, answer};
use tests::setting;

use crate::daemon;

/// Six services: a store that others wait for, a job that must end well before the third begins, which
/// is built, one with a port, and two that nobody asks for.
const APPLICATION: &str = r#"
services:
  store:
    image: busybox
    command: ["sh", "-c", "sleep 1; mkdir /data/www; echo row > /data/www/row; exec httpd -f -p 5432 -h /data/www"]
    volumes: ["rows:/data"]
    networks: { back: { aliases: [database] } }
    healthcheck:
      test: ["CMD", "wget", "-q", "-O", "/dev/null", "http://127.0.0.1:5432/row"]
      interval: 1s
      timeout: 5s
      retries: 60
    restart: unless-stopped
    mem_limit: 64m
    cpus: 0.5
    pids_limit: 64
  migrate:
    image: busybox
    command: ["sh", "-c", "wget -q -O /data/migrated http://database:5432/row"]
    volumes: ["rows:/data"]
    networks: [back]
    depends_on: { store: { condition: service_healthy } }
  api:
    build: { context: ./api, args: { WORD: "${WORD:-first}" }, labels: { part: api } }
    env_file: [api.env]
    environment: { GREETING: "${GREETING}" }
    networks: [front, back]
    depends_on: { migrate: { condition: service_completed_successfully } }
    secrets: [{ source: password, target: pw }]
    volumes: ["rows:/rows:ro", "/scratch"]
    extra_hosts: ["elsewhere:10.9.8.7"]
    ulimits: { nofile: { soft: 512, hard: 1024 } }
    cap_drop: [NET_RAW]
    read_only: true
    init: true
    stop_grace_period: 2s
    healthcheck:
      test: wget -q -O /dev/null http://127.0.0.1:8000/word
      interval: 1s
      retries: 60
  web:
    image: busybox
    command: ["httpd", "-f", "-p", "80", "-h", "/site"]
    ports: ["127.0.0.1::80"]
    volumes: ["./site:/site:ro"]
    networks: { front: { ipv4_address: 10.213.7.10 } }
    hostname: webhost
    depends_on: { api: { condition: service_healthy } }
    restart: on-failure:3
  debug:
    image: busybox
    profiles: [debug]
    command: ["sleep", "1000"]
    network_mode: "service:web"
  outside:
    image: busybox
    profiles: [debug]
    command: ["sleep", "1000"]
networks:
  front: { ipam: { config: [{ subnet: 10.213.7.0/24 }] } }
  back: { internal: true }
volumes: { rows: { labels: { part: rows } } }
secrets: { password: { file: ./password } }
"#;

const API: &str = "FROM busybox AS made\nARG WORD=none\nRUN echo $WORD > /word\n\
    FROM busybox\nCOPY --from=made /word /www/\nEXPOSE 8000\n\
    CMD echo api says $GREETING at $LEVEL; exec httpd -f -p 8000 -h /www\n";

/// A directory with a Compose file. Dropping it takes the application down.
struct Application {
    daemon: Arc<Daemon>,
    docker: Docker,
    dir: PathBuf,
    name: &'static str,
}

impl Application {
    fn new(name: &'static str, text: &str) -> Self {
        let daemon = daemon();
        let dir = daemon.scratch().join(name);
        std::fs::create_dir(&dir).unwrap();
        let docker = daemon.docker();
        // The newer generation builds with nothing else.
        super::build::buildx::install(&daemon);
        let application = Self {
            daemon,
            docker,
            dir,
            name,
        };
        application.write("docker-compose.yml", text);
        application
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.dir.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn command(&self, args: &[&str]) -> Command {
        let program = setting("LONGSHORE_COMPOSE");
        let program = program.as_deref().unwrap_or("docker-compose");
        let mut command = self.docker.command_of(program, args);
        command.current_dir(&self.dir);
        command.env("COMPOSE_PROJECT_NAME", self.name);
        command
    }

    fn run(&self, args: &[&str]) -> Answer {
        answer(self.command(args).output().unwrap())
    }

    /// What `docker` lists of it, a line each, in order.
    fn listed(&self, list: &[&str], service: Option<&str>) -> Vec<String> {
        let project = format!("label=com.docker.compose.project={}", self.name);
        let service = service.map(|name| format!("label=com.docker.compose.service={name}"));
        let mut args = [list, &["--filter", &project]].concat();
        if let Some(service) = &service {
            args.extend(["--filter", service]);
        }
        let listed = self.docker.run(&args).ok();
        let mut lines: Vec<String> = listed.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    }

    /// The ids of a service's containers.
    fn containers(&self, service: &str) -> Vec<String> {
        self.listed(&["ps", "--all", "--quiet", "--no-trunc"], Some(service))
    }

    /// One value of the only container of a service.
    #[track_caller]
    fn inspect(&self, service: &str, template: &str) -> String {
        let [id] = self.containers(service).try_into().unwrap();
        self.docker.inspect(&id, template)
    }

    fn exec(&self, service: &str, command: &str) -> String {
        self.run(&["exec", "-T", service, "sh", "-c", command]).ok()
    }
}

impl Drop for Application {
    fn drop(&mut self) {
        // A test that fails half way leaves nothing to the others.
        drop(self.run(&["--profile", "debug", "down", "--volumes", "--timeout", "0"]));
    }
}

/// The lines of a page, asked for at an address of this machine.
fn page(address: &str, path: &str) -> String {
    let mut api = tests::api::Api::tcp(address);
    let reply = api.call("GET", path, None).unwrap();
    String::from_utf8(reply.body).unwrap()
}

fn harbour(name: &'static str) -> Application {
    let application = Application::new(name, APPLICATION);
    application.write("api/Dockerfile", API);
    application.write("api.env", "LEVEL=debug\n");
    application.write(".env", "GREETING=ahoy\n");
    application.write("password", "hunter2\n");
    application.write("site/index.html", "the site\n");
    application
}

#[test]
fn an_application_comes_up_in_its_order_and_goes_whole() {
    let harbour = harbour("harbour");
    drop(harbour.run(&["config", "--quiet"]).ok());
    drop(harbour.run(&["up", "--detach"]).ok());

    // Each began when what it waits for was so far.
    let at = |service, what| harbour.inspect(service, &format!("{{{{.State.{what}}}}}"));
    assert_eq!(at("migrate", "ExitCode"), "0");
    assert!(at("migrate", "FinishedAt") < at("api", "StartedAt"));
    assert!(at("api", "StartedAt") < at("web", "StartedAt"));
    assert_eq!(at("api", "Health.Status"), "healthy");
    assert_eq!(harbour.containers("debug"), [""; 0]);

    // What it was given is there.
    assert_eq!(
        harbour.exec("api", "cat /rows/migrated /run/secrets/pw /www/word"),
        "row\nhunter2\nfirst"
    );
    let limits = "awk '/open files/ {print $4, $5}' /proc/1/limits";
    assert_eq!(harbour.exec("api", limits), "512 1024");
    let hosts = harbour.exec("api", "cat /etc/hosts");
    assert!(hosts.contains("10.9.8.7\telsewhere"), "{hosts}");
    // The store is where web is not.
    assert!(
        harbour
            .run(&["exec", "-T", "web", "nslookup", "store"])
            .code
            != 0
    );
    let back = format!("{}_back", harbour.name);
    assert_eq!(harbour.docker.inspect(&back, "{{.Internal}}"), "true");
    let limits = "{{.HostConfig.Memory}} {{.HostConfig.NanoCpus}} {{.HostConfig.PidsLimit}} {{.HostConfig.RestartPolicy.Name}}";
    assert_eq!(
        harbour.inspect("store", limits),
        "67108864 500000000 64 unless-stopped"
    );
    let address = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
    assert_eq!(harbour.inspect("web", address), "10.213.7.10");

    // From outside.
    let port = harbour.run(&["port", "web", "80"]).ok();
    assert_eq!(page(&port, "/index.html"), "the site\n");
    assert!(
        harbour
            .run(&["logs", "api"])
            .ok()
            .contains("api says ahoy at debug")
    );
    assert!(
        harbour
            .run(&["top", "store"])
            .ok()
            .contains("httpd -f -p 5432")
    );
    assert!(harbour.run(&["ps"]).ok().contains("httpd -f -p 80"));
    let once = harbour.run(&[
        "run",
        "--rm",
        "-T",
        "--no-deps",
        "migrate",
        "cat",
        "/data/migrated",
    ]);
    assert_eq!(once.ok(), "row");

    // Nothing changed, so nothing is done.
    let before = harbour.listed(&["ps", "--quiet"], None);
    drop(harbour.run(&["up", "--detach"]).ok());
    assert_eq!(harbour.listed(&["ps", "--quiet"], None), before);

    drop(
        harbour
            .run(&["--profile", "debug", "up", "--detach", "debug"])
            .ok(),
    );
    assert_eq!(harbour.exec("debug", "hostname"), "webhost");

    drop(
        harbour
            .run(&[
                "--profile",
                "debug",
                "down",
                "--volumes",
                "--rmi",
                "local",
                "--timeout",
                "0",
            ])
            .ok(),
    );
    for list in [
        &["ps", "--all", "--quiet"][..],
        &["network", "ls", "--quiet"],
        &["volume", "ls", "--quiet"],
    ] {
        assert_eq!(harbour.listed(list, None), [""; 0], "{list:?}");
    }
    let images = ["images", "--quiet", "--filter", "label=part=api"];
    assert_eq!(harbour.docker.run(&images).ok(), "");
    assert!(
        harbour
            .daemon
            .docker()
            .run(&["image", "inspect", "busybox"])
            .code
            == 0
    );
}

const WORKERS: &str = r#"
services:
  worker:
    image: busybox
    command: ["sh", "-c", "trap 'exit 0' TERM; echo begun; while :; do sleep 0.1; done"]
    environment: { WORD: "${WORD:-one}" }
    volumes: ["/kept"]
  beside:
    image: busybox
    command: ["sleep", "1000"]
    stop_signal: SIGKILL
"#;

#[test]
fn a_change_makes_a_service_anew_with_what_its_volumes_hold() {
    let workers = Application::new("anew", WORKERS);
    drop(workers.run(&["up", "--detach"]).ok());
    workers.exec("worker", "echo kept > /kept/file");
    let (worker, beside) = (workers.containers("worker"), workers.containers("beside"));
    let changed = workers
        .command(&["up", "--detach"])
        .env("WORD", "two")
        .output();
    drop(answer(changed.unwrap()).ok());
    assert_ne!(workers.containers("worker"), worker);
    assert_eq!(workers.containers("beside"), beside);
    let answered = workers.exec("worker", "cat /kept/file; echo $WORD");
    assert_eq!(answered, "kept\ntwo");
    let again = workers
        .command(&["up", "--detach", "--force-recreate", "--renew-anon-volumes"])
        .env("WORD", "two")
        .output();
    drop(answer(again.unwrap()).ok());
    assert_ne!(workers.containers("beside"), beside);
    assert_eq!(workers.exec("worker", "ls /kept"), "");
}

#[test]
fn a_service_grows_shrinks_rests_and_ends() {
    let workers = Application::new("growing", WORKERS);
    let states = || workers.listed(&["ps", "--all", "--format", "{{.State}}"], Some("worker"));
    drop(
        workers
            .run(&["up", "--detach", "--scale", "worker=4", "worker"])
            .ok(),
    );
    assert_eq!(states(), ["running"; 4]);
    assert_eq!(workers.containers("beside"), [""; 0]);
    drop(workers.run(&["pause", "worker"]).ok());
    assert_eq!(states(), ["paused"; 4]);
    drop(workers.run(&["unpause", "worker"]).ok());
    drop(workers.run(&["restart", "worker"]).ok());
    assert_eq!(states(), ["running"; 4]);
    let begun = workers.run(&["logs", "worker"]).ok();
    assert_eq!(begun.matches("begun").count(), 8, "{begun}");
    drop(
        workers
            .run(&["up", "--detach", "--scale", "worker=2", "worker"])
            .ok(),
    );
    assert_eq!(states(), ["running"; 2]);
    drop(workers.run(&["stop", "worker"]).ok());
    assert_eq!(states(), ["exited"; 2]);
    drop(workers.run(&["start", "worker"]).ok());
    drop(workers.run(&["kill", "-s", "KILL", "worker"]).ok());
    workers
        .docker
        .wait_until("both are killed", |_| states() == ["exited"; 2]);
    drop(workers.run(&["rm", "--force", "worker"]).ok());
    assert_eq!(states(), [""; 0]);
}

#[test]
fn what_cannot_come_up_says_why_and_can_be_mended() {
    let text = "services:\n  ill:\n    image: busybox\n    command: [sleep, '1000']\n    stop_signal: SIGKILL\n    \
        healthcheck: { test: 'exit 1', interval: 1s, retries: 1 }\n  \
        after:\n    image: busybox\n    command: [\"true\"]\n    \
        depends_on: { ill: { condition: service_healthy } }\n";
    let broken = Application::new("broken", text);
    let failed = broken.run(&["up", "--detach"]);
    assert_ne!(failed.code, 0, "{failed:?}");
    assert!(failed.stderr.contains("unhealthy"), "{failed:?}");
    broken.write("docker-compose.yml", &text.replace("exit 1", "exit 0"));
    drop(broken.run(&["up", "--detach"]).ok());
    let ended = |_: &Docker| broken.inspect("after", "{{.State.Status}}") == "exited";
    broken.docker.wait_until("the second has run", ended);
    broken.write(
        "docker-compose.yml",
        "services: { ill: { image: 'no/such:image' } }\n",
    );
    let failed = broken.run(&["up", "--detach"]);
    assert_ne!(failed.code, 0, "{failed:?}");
}
