//! Flags of an instruction: `--name=value`, before its arguments.

use super::LineProblem;

/// The flags, in their order; values as they are written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flags(Vec<(String, Option<String>)>);

/// What a flag is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// It has a value, and is given once.
    Value,
    /// It has a value, and may be given several times.
    Values,
    /// It is true where it is given, unless its value says otherwise.
    Switch,
}

/// The flags that an instruction has.
fn known(keyword: &str) -> &'static [(&'static str, Kind)] {
    match keyword {
        "FROM" => &[("platform", Kind::Value)],
        "RUN" => &[
            ("mount", Kind::Values),
            ("network", Kind::Value),
            ("security", Kind::Value),
        ],
        "COPY" => &[
            ("from", Kind::Value),
            ("chown", Kind::Value),
            ("chmod", Kind::Value),
            ("link", Kind::Switch),
            ("parents", Kind::Switch),
            ("exclude", Kind::Values),
        ],
        "ADD" => &[
            ("chown", Kind::Value),
            ("chmod", Kind::Value),
            ("link", Kind::Switch),
            ("checksum", Kind::Value),
            ("keep-git-dir", Kind::Switch),
            ("unpack", Kind::Switch),
            ("exclude", Kind::Values),
        ],
        _ => &[],
    }
}

impl Flags {
    /// Takes the flags from the beginning of an instruction's arguments; answers the others.
    pub(super) fn read(
        keyword: &str,
        text: &str,
        escape: char,
    ) -> Result<(Self, String), LineProblem> {
        let mut flags = Self::default();
        let mut rest = text;
        // These have flags of their own, which are part of their arguments.
        let has_flags = !matches!(keyword, "HEALTHCHECK" | "ONBUILD" | "CMD" | "ENTRYPOINT");
        while has_flags && rest.starts_with("--") {
            let (word, after) = first_word(rest, escape);
            rest = after.trim_start();
            let word = &word[2..];
            if word.is_empty() {
                break;
            }
            let (name, value) = match word.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (word, None),
            };
            let (name, kind) = known(keyword)
                .iter()
                .find(|(known, _)| *known == name)
                .ok_or_else(|| LineProblem::UnknownFlag(name.to_owned()))?;
            if value.is_none() && *kind != Kind::Switch {
                return Err(LineProblem::FlagValue((*name).to_owned()));
            }
            if *kind != Kind::Values && flags.get(name).is_some() {
                return Err(LineProblem::DuplicateFlag((*name).to_owned()));
            }
            flags.0.push(((*name).to_owned(), value));
        }
        Ok((flags, rest.to_owned()))
    }

    /// The value of a flag; a switch without one has an empty value.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let mut flags = self.0.iter();
        flags
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_deref().unwrap_or_default())
    }

    /// Every value of a flag.
    pub(crate) fn all(&self, name: &'static str) -> impl Iterator<Item = &str> {
        let found = self.0.iter().filter(move |(known, _)| known == name);
        found.filter_map(|(_, value)| value.as_deref())
    }

    /// Whether a switch is on.
    pub(crate) fn is_on(&self, name: &str) -> bool {
        self.get(name)
            .is_some_and(|value| matches!(value, "" | "1" | "t" | "true" | "True" | "TRUE"))
    }
}

/// Everything up to white space that is neither quoted nor escaped.
fn first_word(text: &str, escape: char) -> (&str, &str) {
    let mut quote = None;
    let mut signs = text.char_indices();
    while let Some((at, sign)) = signs.next() {
        match quote {
            Some(open) if open == sign => quote = None,
            None if matches!(sign, '\'' | '"') => quote = Some(sign),
            None if sign == escape => drop(signs.next()),
            None if sign.is_whitespace() => return text.split_at(at),
            _ => {}
        }
    }
    (text, "")
}
