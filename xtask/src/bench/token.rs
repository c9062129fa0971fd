//! Tokens: how many are validated in a second, and what a new one costs, beside Keystone.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tests::api::Api;
use tests::daemon::Daemon;

use super::keystone::{self, Keystone};
use super::pair::milliseconds;
use super::table::{Row, median};

const AT_ONCE: &str = "4";
const WINDOW: &str = "2s";
const RUNS: usize = 5;

/// One identity service: where its API begins, and who its administrator is.
struct Service {
    address: String,
    prefix: &'static str,
    password: String,
}

pub(super) fn measure(binary: &Path) -> Result<Vec<Row>> {
    let daemon = Daemon::start_with(binary)?;
    let _peer = Keystone::start()?;
    let services = [
        Service {
            address: daemon.listen().to_owned(),
            prefix: "/identity/v3",
            password: daemon.operator_password()?,
        },
        Service {
            address: keystone::ADDRESS.to_owned(),
            prefix: "/v3",
            password: keystone::PASSWORD.to_owned(),
        },
    ];
    let [validated, peer_validated] = medians(&services, Service::validations)?;
    let [by_password, peer_by_password] = medians(&services, Service::by_password)?;
    let [refused, peer_refused] = medians(&services, Service::refused)?;
    let [by_token, peer_by_token] = medians(&services, Service::by_token)?;
    let row = |what: &str, unit, longshore, peer, more_is_better, reach| Row {
        what: format!("{what} (Keystone, uwsgi with 2 processes)"),
        unit,
        longshore,
        peer: Some(peer),
        more_is_better,
        reach,
    };
    Ok(vec![
        row(
            "tokens validated, 4 at once",
            "per second",
            validated,
            peer_validated,
            true,
            ">= 100x",
        ),
        row(
            "a token by password",
            "ms",
            by_password,
            peer_by_password,
            false,
            "",
        ),
        row(
            "of this beyond a wrong password's hash and refusal",
            "ms",
            by_password - refused,
            peer_by_password - peer_refused,
            false,
            "<= 2 ms",
        ),
        row(
            "a token by a token",
            "ms",
            by_token,
            peer_by_token,
            false,
            "",
        ),
    ])
}

/// Medians of what `measure` answers for each, in alternating runs after one to warm up.
fn medians(services: &[Service; 2], measure: impl Fn(&Service) -> Result<f64>) -> Result<[f64; 2]> {
    let mut values = [Vec::new(), Vec::new()];
    for run in 0..=RUNS {
        for (service, values) in services.iter().zip(&mut values) {
            let value = measure(service)?;
            if run > 0 {
                values.push(value);
            }
        }
    }
    Ok(values.map(median))
}

impl Service {
    /// Tokens validated in a second, as `wrk` counts: it takes less of the processors than who
    /// answers.
    fn validations(&self) -> Result<f64> {
        let token = self.token(&mut Api::tcp(&self.address), &by_password(&self.password))?;
        let mut load = Command::new("wrk");
        load.args([
            "--threads",
            "1",
            "--connections",
            AT_ONCE,
            "--duration",
            WINDOW,
        ]);
        for header in ["X-Auth-Token", "X-Subject-Token"] {
            load.arg("--header").arg(format!("{header}: {token}"));
        }
        load.arg(format!(
            "http://{}{}/auth/tokens",
            self.address, self.prefix
        ));
        let output = load.output().context("run wrk")?;
        let report = String::from_utf8(output.stdout).context("read what wrk says")?;
        ensure!(
            output.status.success()
                && !report.contains("Non-2xx")
                && !report.contains("Socket errors"),
            "tokens were not validated: {report}"
        );
        let rate = report
            .lines()
            .find_map(|line| line.trim().strip_prefix("Requests/sec:"));
        rate.and_then(|rate| rate.trim().parse().ok())
            .with_context(|| format!("no rate in {report}"))
    }

    fn by_password(&self) -> Result<f64> {
        let mut api = Api::tcp(&self.address);
        let wanted = by_password(&self.password);
        milliseconds(|| self.token(&mut api, &wanted).map(drop))
    }

    fn refused(&self) -> Result<f64> {
        let mut api = Api::tcp(&self.address);
        let path = format!("{}/auth/tokens", self.prefix);
        milliseconds(|| {
            let reply = api.call("POST", &path, Some(&by_password("wrong")))?;
            ensure!(reply.status == 401, "a wrong password: {}", reply.status);
            Ok(())
        })
    }

    fn by_token(&self) -> Result<f64> {
        let mut api = Api::tcp(&self.address);
        let token = self.token(&mut api, &by_password(&self.password))?;
        let wanted = scoped(&json!({ "methods": ["token"], "token": { "id": token } }));
        milliseconds(|| self.token(&mut api, &wanted).map(drop))
    }

    fn token(&self, api: &mut Api, wanted: &Value) -> Result<String> {
        let path = format!("{}/auth/tokens", self.prefix);
        let reply = api.expect("POST", &path, Some(wanted))?;
        let token = reply.header("x-subject-token");
        Ok(token.context("no X-Subject-Token")?.to_owned())
    }
}

fn by_password(password: &str) -> Value {
    scoped(&json!({
        "methods": ["password"],
        "password": {
            "user": { "name": "admin", "domain": { "id": "default" }, "password": password }
        },
    }))
}

fn scoped(identity: &Value) -> Value {
    let project = json!({ "name": "admin", "domain": { "id": "default" } });
    json!({ "auth": { "identity": identity, "scope": { "project": project } } })
}

/// A token of the daemon's operator.
pub(super) fn admin_token(daemon: &Daemon) -> Result<String> {
    let service = Service {
        address: daemon.listen().to_owned(),
        prefix: "/identity/v3",
        password: daemon.operator_password()?,
    };
    service.token(
        &mut Api::tcp(&service.address),
        &by_password(&service.password),
    )
}
