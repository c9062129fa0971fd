//! Servers: from `POST /servers` to ACTIVE, fifty at once, a list of a thousand, and what of
//! `openstack server create --wait` is the client's own. No peer: no other runs containers here.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tests::api::Api;
use tests::daemon::Daemon;
use tests::image::import_busybox;

use super::pair::{as_milliseconds, milliseconds};
use super::table::{Row, median};
use super::token::admin_token;
use crate::install;

const RUNS: usize = 20;
const CLIENT_RUNS: usize = 5;
const AT_ONCE: usize = 50;
const LISTED: usize = 1000;
/// An image whose own command stays.
const IMAGE: &str = "server-bench";
const NETWORK: &str = "server-bench";

pub(super) fn measure(binary: &Path) -> Result<Vec<Row>> {
    let daemon = Daemon::start_with(binary)?;
    make_image(&daemon)?;
    let token = admin_token(&daemon)?;
    let mut bench = Bench::new(Api::tcp(daemon.listen()).with("X-Auth-Token", &token))?;
    let mut single = Vec::new();
    for _ in 0..=RUNS {
        single.push(bench.one()?);
    }
    // The first finds nothing prepared.
    let one = median(single.split_off(1));
    let together = median((0..3).map(|_| bench.many()).collect::<Result<_>>()?);
    let list = bench.list()?;
    let [client, alone] = by_client(&daemon)?;
    let row = |what: &str, unit, longshore, reach| Row {
        what: what.to_owned(),
        unit,
        longshore,
        peer: None,
        more_is_better: false,
        reach,
    };
    Ok(vec![
        row(
            "POST /servers to ACTIVE, with a network and a security group",
            "ms",
            one,
            "<= 50 ms",
        ),
        row(
            "50 servers in one request, all ACTIVE",
            "s",
            together,
            "<= 3 s",
        ),
        row(
            "list of 1,000 servers with details at the API",
            "ms",
            list,
            "<= 60 ms",
        ),
        row(
            "openstack server create --wait, by the client",
            "ms",
            client,
            "",
        ),
        row(
            "of this the client alone (openstack token issue)",
            "ms",
            alone,
            "",
        ),
    ])
}

/// A cloud with an image, a flavor and a network, asked without a client.
struct Bench {
    api: Api,
    image: String,
    flavor: String,
    network: String,
}

impl Bench {
    fn new(mut api: Api) -> Result<Self> {
        let images = get(&mut api, &format!("/image/v2/images?name={IMAGE}"))?;
        let image = text(&images["images"][0]["id"])?;
        let flavors = get(
            &mut api,
            "/compute/v2.1/flavors?sort_key=memory_mb&sort_dir=asc",
        )?;
        let flavor = text(&flavors["flavors"][0]["id"])?;
        lift_quotas(&mut api)?;
        let network = api
            .expect(
                "POST",
                "/network/v2.0/networks",
                Some(&json!({ "network": { "name": NETWORK } })),
            )?
            .json()?;
        let network = text(&network["network"]["id"])?;
        let subnet =
            json!({ "subnet": { "network_id": network, "ip_version": 4, "cidr": "10.77.0.0/20" } });
        api.expect("POST", "/network/v2.0/subnets", Some(&subnet))?;
        Ok(Self {
            api,
            image,
            flavor,
            network,
        })
    }

    fn create(&mut self, name: &str, count: usize) -> Result<Value> {
        let wanted = json!({ "server": {
            "name": name,
            "imageRef": self.image,
            "flavorRef": self.flavor,
            "networks": [{ "uuid": self.network }],
            "security_groups": [{ "name": "default" }],
            "min_count": count,
            "max_count": count,
        }});
        self.api
            .expect("POST", "/compute/v2.1/servers", Some(&wanted))?
            .json()
    }

    /// One server from the request to ACTIVE, in milliseconds; it is gone afterwards.
    fn one(&mut self) -> Result<f64> {
        let start = Instant::now();
        let made = self.create("one", 1)?;
        let path = format!("/compute/v2.1/servers/{}", text(&made["server"]["id"])?);
        loop {
            let server = get(&mut self.api, &path)?;
            match server["server"]["status"].as_str() {
                Some("ACTIVE") => break,
                Some("BUILD") => {}
                _ => anyhow::bail!("not ACTIVE: {server}"),
            }
        }
        let took = as_milliseconds(start.elapsed());
        self.delete(&path)?;
        Ok(took)
    }

    /// Many servers from one request until all are ACTIVE, in seconds; they are gone afterwards.
    fn many(&mut self) -> Result<f64> {
        let start = Instant::now();
        self.create("many", AT_ONCE)?;
        self.wait_for_active("many", AT_ONCE)?;
        let took = start.elapsed().as_secs_f64();
        for server in self.named("many")? {
            self.delete(&format!("/compute/v2.1/servers/{}", text(&server["id"])?))?;
        }
        Ok(took)
    }

    /// A list of a thousand with details, in milliseconds.
    fn list(&mut self) -> Result<f64> {
        for batch in 0..LISTED / AT_ONCE {
            let name = format!("listed-{batch}-");
            self.create(&name, AT_ONCE)?;
            self.wait_for_active(&name, AT_ONCE)?;
        }
        let mut times = Vec::new();
        for _ in 0..11 {
            let mut answer = None;
            times.push(milliseconds(|| {
                let path = "/compute/v2.1/servers/detail";
                answer = Some(self.api.expect("GET", path, None)?);
                Ok(())
            })?);
            let found = answer.context("asked")?.json()?;
            let count = found["servers"].as_array().map_or(0, Vec::len);
            ensure!(count == LISTED, "{count} servers are listed");
        }
        Ok(median(times))
    }

    fn named(&mut self, name: &str) -> Result<Vec<Value>> {
        let found = get(
            &mut self.api,
            &format!("/compute/v2.1/servers/detail?name={name}"),
        )?;
        Ok(found["servers"].as_array().cloned().unwrap_or_default())
    }

    fn wait_for_active(&mut self, name: &str, count: usize) -> Result<()> {
        loop {
            let servers = self.named(name)?;
            let failed = servers.iter().find(|server| server["status"] == "ERROR");
            ensure!(failed.is_none(), "a server failed: {failed:?}");
            if servers
                .iter()
                .filter(|server| server["status"] == "ACTIVE")
                .count()
                == count
            {
                return Ok(());
            }
        }
    }

    /// Deletes and waits until it is gone.
    fn delete(&mut self, path: &str) -> Result<()> {
        self.api.expect("DELETE", path, None)?;
        while self.api.call("GET", path, None)?.status != 404 {}
        Ok(())
    }
}

/// As many as are measured: a new project may have ten servers.
fn lift_quotas(api: &mut Api) -> Result<()> {
    let project = get(api, "/identity/v3/auth/projects")?;
    let project = text(&project["projects"][0]["id"])?;
    let compute = json!({ "quota_set": { "instances": -1, "cores": -1, "ram": -1 } });
    api.expect(
        "PUT",
        &format!("/compute/v2.1/os-quota-sets/{project}"),
        Some(&compute),
    )?;
    let network = json!({ "quota": { "port": -1 } });
    api.expect(
        "PUT",
        &format!("/network/v2.0/quotas/{project}"),
        Some(&network),
    )?;
    Ok(())
}

/// `openstack server create --wait`, and the least that the same program does, in milliseconds.
fn by_client(daemon: &Daemon) -> Result<[f64; 2]> {
    let openstack = daemon.openstack().by(&install::openstack_program());
    let mut values = [Vec::new(), Vec::new()];
    for number in 0..CLIENT_RUNS {
        let name = format!("client-{number}");
        let create = [
            "server",
            "create",
            "--wait",
            "--image",
            IMAGE,
            "--flavor",
            "m1.tiny",
            "--network",
            NETWORK,
            &name,
        ];
        for (args, values) in [create.as_slice(), &["token", "issue"]]
            .into_iter()
            .zip(&mut values)
        {
            values.push(milliseconds(|| {
                let answer = openstack.run(args);
                ensure!(answer.code == 0, "openstack {args:?}: {}", answer.stderr);
                Ok(())
            })?);
        }
    }
    Ok(values.map(median))
}

fn make_image(daemon: &Daemon) -> Result<()> {
    let docker = daemon.docker();
    import_busybox(&docker)?;
    docker.run(&["create", "--name", "base", "busybox"]).ok();
    docker
        .run(&[
            "commit",
            "--change",
            "CMD [\"sleep\", \"1000000\"]",
            "base",
            IMAGE,
        ])
        .ok();
    docker.run(&["rm", "base"]).ok();
    Ok(())
}

fn get(api: &mut Api, path: &str) -> Result<Value> {
    api.expect("GET", path, None)?.json()
}

fn text(value: &Value) -> Result<String> {
    Ok(value.as_str().context("no text in the answer")?.to_owned())
}
