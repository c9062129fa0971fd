//! Build arguments: what is given, what `ARG` declares, and what is there by itself.
//!
//! Pure. Source: Dockerfile reference, "ARG", "Predefined ARGs", "Automatic platform ARGs".

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use image::changes::words::{Scope, WordError};

/// Arguments that may be given without being declared, and that no cache looks at.
const PROXIES: [&str; 10] = [
    "HTTP_PROXY",
    "http_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "FTP_PROXY",
    "ftp_proxy",
    "NO_PROXY",
    "no_proxy",
    "ALL_PROXY",
    "all_proxy",
];

/// Arguments that mean something to the builder itself.
const OWN: [&str; 1] = ["SOURCE_DATE_EPOCH"];

/// How arguments begin that mean something to BuildKit, and that clients give without being asked to.
const OF_BUILDKIT: &str = "BUILDKIT_";

/// What is given with the request, and what every build has.
#[derive(Debug)]
pub(crate) struct Given {
    given: BTreeMap<String, String>,
    automatic: Vec<(&'static str, String)>,
    used: Mutex<BTreeSet<String>>,
}

impl Given {
    /// For builds on and for `os/architecture`, up to this stage.
    pub(crate) fn new(given: BTreeMap<String, String>, platform: &str, target: &str) -> Self {
        let (os, architecture) = platform.split_once('/').unwrap_or((platform, ""));
        let automatic = ["TARGET", "BUILD"].into_iter().flat_map(|side| {
            let names: [&'static str; 4] = if side == "TARGET" {
                ["TARGETPLATFORM", "TARGETOS", "TARGETARCH", "TARGETVARIANT"]
            } else {
                ["BUILDPLATFORM", "BUILDOS", "BUILDARCH", "BUILDVARIANT"]
            };
            let values = [platform, os, architecture, ""].map(str::to_owned);
            names.into_iter().zip(values)
        });
        let stage = std::iter::once(("TARGETSTAGE", target.to_owned()));
        Self {
            automatic: automatic.chain(stage).collect(),
            given,
            used: Mutex::default(),
        }
    }

    /// The value given for an argument that is declared.
    fn get(&self, name: &str) -> Option<&str> {
        let value = self.given.get(name)?;
        self.used
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(name.to_owned());
        Some(value)
    }

    fn automatic(&self, name: &str) -> Option<&str> {
        let mut known = self.automatic.iter();
        known
            .find(|(known, _)| *known == name)
            .map(|(_, value)| value.as_str())
    }

    /// Given ones that nothing declared, by name.
    pub(crate) fn left_over(&self) -> Vec<String> {
        let used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let is_left = |name: &&String| {
            !used.contains(*name)
                && !PROXIES.contains(&name.as_str())
                && !OWN.contains(&name.as_str())
                && !name.starts_with(OF_BUILDKIT)
        };
        self.given.keys().filter(is_left).cloned().collect()
    }

    /// `SOURCE_DATE_EPOCH`, as it is given.
    pub(crate) fn source_date_epoch(&self) -> Option<&str> {
        self.given.get("SOURCE_DATE_EPOCH").map(String::as_str)
    }

    /// The proxies given, `NAME=value`.
    fn proxies(&self) -> impl Iterator<Item = String> {
        let given = self.given.iter();
        given
            .filter(|(name, _)| PROXIES.contains(&name.as_str()))
            .map(|(name, value)| format!("{name}={value}"))
    }
}

/// The arguments that are declared in one place: before all stages, or in one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Declared {
    /// In the order of their declaration; one without a value is declared all the same.
    arguments: Vec<(String, Option<String>)>,
}

impl Declared {
    /// Declares the arguments of an `ARG` before all stages.
    pub(crate) fn declare_global(
        &mut self,
        text: &str,
        escape: char,
        given: &Given,
    ) -> Result<(), WordError> {
        let automatic = given.automatic.iter();
        let mut variables: Vec<String> = automatic
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        variables.extend(self.variables());
        self.declare(text, &variables, escape, |name, default| {
            let own = given.get(name).map(str::to_owned);
            own.or(default)
                .or_else(|| given.automatic(name).map(str::to_owned))
        })
    }

    /// Declares the arguments of an `ARG` in a stage, whose environment is `env`.
    pub(crate) fn declare_in_stage(
        &mut self,
        text: &str,
        escape: char,
        env: &[String],
        global: &Self,
        given: &Given,
    ) -> Result<(), WordError> {
        let variables: Vec<String> = self.variables().chain(env.iter().cloned()).collect();
        self.declare(text, &variables, escape, |name, default| {
            let own = given.get(name).map(str::to_owned);
            own.or(default)
                .or_else(|| global.value(name).map(str::to_owned))
                .or_else(|| given.automatic(name).map(str::to_owned))
        })
    }

    fn declare(
        &mut self,
        text: &str,
        variables: &[String],
        escape: char,
        value: impl Fn(&str, Option<String>) -> Option<String>,
    ) -> Result<(), WordError> {
        let scope = Scope { variables, escape };
        for word in scope.split(text)? {
            let (name, default) = match word.split_once('=') {
                Some((name, default)) => (name.to_owned(), Some(default.to_owned())),
                None => (word, None),
            };
            let value = value(&name, default);
            self.arguments.retain(|(known, _)| *known != name);
            self.arguments.push((name, value));
        }
        Ok(())
    }

    fn value(&self, name: &str) -> Option<&str> {
        let mut known = self.arguments.iter();
        known
            .find(|(known, _)| known == name)
            .and_then(|(_, value)| value.as_deref())
    }

    /// `NAME=value` of those that have one.
    pub(crate) fn variables(&self) -> impl Iterator<Item = String> {
        self.arguments.iter().filter_map(|(name, value)| {
            let value = value.as_ref()?;
            Some(format!("{name}={value}"))
        })
    }

    /// What `FROM` may use: these, and those that every build has.
    pub(crate) fn with_automatic(&self, given: &Given) -> Vec<String> {
        let automatic = given.automatic.iter();
        automatic
            .map(|(name, value)| format!("{name}={value}"))
            .chain(self.variables())
            .collect()
    }

    /// What a command of the stage has in its environment beside `env`, which wins. The cache
    /// looks at the first list only.
    pub(crate) fn for_command(&self, env: &[String], given: &Given) -> (Vec<String>, Vec<String>) {
        let is_set = |variable: &String| {
            let name = variable.split('=').next();
            env.iter().any(|known| known.split('=').next() == name)
        };
        let mut declared: Vec<String> = self.variables().filter(|own| !is_set(own)).collect();
        declared.sort();
        let is_declared = |variable: &String| {
            let name = variable.split('=').next().unwrap_or_default();
            self.value(name).is_some()
        };
        let proxies = given.proxies();
        let proxies = proxies.filter(|proxy| !is_set(proxy) && !is_declared(proxy));
        (declared, proxies.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(arguments: &[(&str, &str)]) -> Given {
        let arguments = arguments
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        Given::new(arguments, "linux/amd64", "default")
    }

    fn list(variables: impl IntoIterator<Item = String>) -> Vec<String> {
        variables.into_iter().collect()
    }

    #[test]
    fn what_is_given_wins_over_defaults_and_globals_are_declared_again() {
        let given = given(&[("A", "given"), ("HTTP_PROXY", "p"), ("STRAY", "x")]);
        let mut global = Declared::default();
        global.declare_global("A=one B=two", '\\', &given).unwrap();
        global
            .declare_global("C=$B-$TARGETARCH", '\\', &given)
            .unwrap();
        let mut stage = Declared::default();
        let env = ["E=env".to_owned()];
        stage
            .declare_in_stage("C", '\\', &env, &global, &given)
            .unwrap();
        stage
            .declare_in_stage("A D=${E}x TARGETOS", '\\', &env, &global, &given)
            .unwrap();
        stage
            .declare_in_stage("UNSET", '\\', &env, &global, &given)
            .unwrap();
        assert_eq!(
            list(stage.variables()),
            ["C=two-amd64", "A=given", "D=envx", "TARGETOS=linux"]
        );
        assert_eq!(given.left_over(), ["STRAY"]);
        let (cached, others) = stage.for_command(&["D=mine".to_owned()], &given);
        assert_eq!(cached, ["A=given", "C=two-amd64", "TARGETOS=linux"]);
        assert_eq!(others, ["HTTP_PROXY=p"]);
    }
}
