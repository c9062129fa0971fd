//! A client of the registry without a client: one request with a token for it, over HTTP; and the
//! unmodified `skopeo`.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::api::{Api, Reply};
use crate::docker::{Answer, answer};

/// Most seconds that one command may take.
const TIMEOUT_SECS: u64 = 120;

/// Somebody who talks to a registry.
#[derive(Clone)]
pub struct Registry {
    listen: String,
    /// A user name and a password; `None` is nobody.
    credentials: Option<(String, String)>,
}

impl Registry {
    /// Nobody in particular, at this host and port.
    #[must_use]
    pub fn new(listen: &str) -> Self {
        Self {
            listen: listen.to_owned(),
            credentials: None,
        }
    }

    /// A user.
    #[must_use]
    pub fn user(&self, name: &str, password: &str) -> Self {
        Self {
            credentials: Some((name.to_owned(), password.to_owned())),
            ..self.clone()
        }
    }

    /// The user name and the password; empty for nobody.
    #[must_use]
    pub fn credentials(&self) -> (String, String) {
        self.credentials.clone().unwrap_or_default()
    }

    /// Requests with a token for this scope, such as `repository:admin/app:pull`.
    ///
    /// # Errors
    /// When there is none to be had.
    pub fn api(&self, scope: &str) -> Result<Api> {
        let reply = self.token(scope)?;
        if reply.status == 404 && self.credentials.is_none() {
            // A registry that asks for none.
            return Ok(Api::tcp(&self.listen));
        }
        ensure!(reply.status == 200, "no token: {reply:?}");
        let token = reply.json()?;
        let token = token["token"].as_str().context("a token")?;
        Ok(Api::tcp(&self.listen).with("Authorization", &format!("Bearer {token}")))
    }

    /// Requests with the password itself, for a registry that has no tokens.
    ///
    /// # Errors
    /// For nobody.
    pub fn basic(&self) -> Result<Api> {
        let (name, password) = self
            .credentials
            .as_ref()
            .context("nobody has no password")?;
        let encoded = STANDARD.encode(format!("{name}:{password}"));
        Ok(Api::tcp(&self.listen).with("Authorization", &format!("Basic {encoded}")))
    }

    /// What the token endpoint answers.
    ///
    /// # Errors
    /// When the connection breaks.
    pub fn token(&self, scope: &str) -> Result<Reply> {
        let mut api = Api::tcp(&self.listen);
        if let Some((name, password)) = &self.credentials {
            let encoded = STANDARD.encode(format!("{name}:{password}"));
            api = api.with("Authorization", &format!("Basic {encoded}"));
        }
        api.call(
            "GET",
            &format!("/v2/token?service=test&scope={scope}"),
            None,
        )
    }

    /// The unmodified `skopeo`, with this user's credentials for every registry in `args`, which is
    /// called `REGISTRY/` there.
    ///
    /// # Panics
    /// When it is not installed.
    #[must_use]
    pub fn skopeo(&self, args: &[&str]) -> Answer {
        let mut command = Command::new("timeout");
        command.arg(TIMEOUT_SECS.to_string()).arg("skopeo");
        for arg in args {
            command.arg(arg.replace("REGISTRY/", &format!("{}/", self.listen)));
        }
        let credentials = self.credentials.as_ref();
        let credentials = credentials.map(|(name, password)| format!("{name}:{password}"));
        let sides: &[&str] = match args.first() {
            Some(&"copy") => &["src-", "dest-"],
            _ => &[""],
        };
        for side in sides {
            command.arg(format!("--{side}tls-verify=false"));
            match &credentials {
                Some(credentials) => command.arg(format!("--{side}creds={credentials}")),
                None => command.arg(format!("--{side}no-creds")),
            };
        }
        #[expect(
            clippy::expect_used,
            reason = "without it no test of the registry can go on"
        )]
        let output = command.output().expect("skopeo must be installed");
        answer(output)
    }

    /// Pushes bytes as a blob.
    ///
    /// # Errors
    /// When it is not taken.
    pub fn push_blob(&self, repository: &str, content: &[u8]) -> Result<String> {
        let digest = digest_of(content);
        let mut api = self.api(&format!("repository:{repository}:pull,push"))?;
        let path = format!("/v2/{repository}/blobs/uploads/?digest={digest}");
        let kind = "application/octet-stream";
        let mut reply = api.raw("POST", &path, kind, content)?;
        if reply.status == 202 {
            // A registry may want the bytes by a request of their own.
            let place = reply.header("location").context("a location")?;
            let place = place.find("/v2/").map_or(place, |at| &place[at..]);
            let join = if place.contains('?') { '&' } else { '?' };
            let place = format!("{place}{join}digest={digest}");
            reply = api.raw("PUT", &place, kind, content)?;
        }
        ensure!(reply.status == 201, "{reply:?}");
        Ok(digest)
    }
}

/// The SHA-256 of some bytes, as registries write it.
#[must_use]
pub fn digest_of(content: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, content);
    format!("sha256:{}", hex::encode(digest))
}

/// The code of the first error in an answer; empty where there is none.
#[must_use]
pub fn code(reply: &Reply) -> String {
    let body = reply.json().unwrap_or(Value::Null);
    let code = body["errors"][0]["code"].as_str();
    code.unwrap_or_default().to_owned()
}

/// The names of the files in the registry's room of a data directory.
///
/// # Errors
/// When it cannot be read.
pub fn shelf(data_dir: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for algorithm in ["sha256", "sha512"] {
        for entry in std::fs::read_dir(data_dir.join("images/registry").join(algorithm))? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            names.push(format!("{algorithm}:{name}"));
        }
    }
    names.sort();
    Ok(names)
}
