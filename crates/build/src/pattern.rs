//! Patterns over paths: those of `COPY`'s sources and of `.dockerignore`. Pure.
//!
//! Source: Go, `path/filepath`, `Match`; Dockerfile reference, ".dockerignore file".

use std::path::{Component, Path};

/// A pattern is not one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("syntax error in pattern {0:?}")]
pub struct PatternError(pub String);

/// Whether a text has signs that mean more than themselves.
pub(crate) fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

/// Whether a pattern matches one name whole; `*` and `?` match no slash, for a name has none.
pub(crate) fn matches_name(pattern: &str, name: &str) -> Result<bool, PatternError> {
    let tokens = tokens(pattern)?;
    let signs: Vec<char> = name.chars().collect();
    Ok(matches(&tokens, &signs))
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Sign(char),
    AnyOne,
    AnyNumber,
    /// One of these ranges, or none of them.
    Class(bool, Vec<(char, char)>),
}

fn tokens(pattern: &str) -> Result<Vec<Token>, PatternError> {
    let failed = || PatternError(pattern.to_owned());
    let mut signs = pattern.chars().peekable();
    let mut tokens = Vec::new();
    while let Some(sign) = signs.next() {
        let token = match sign {
            '*' => Token::AnyNumber,
            '?' => Token::AnyOne,
            '\\' => Token::Sign(signs.next().ok_or_else(failed)?),
            '[' => {
                let is_negated = signs.next_if_eq(&'^').is_some();
                let mut ranges = Vec::new();
                while signs.next_if_eq(&']').is_none() || ranges.is_empty() {
                    let mut end = || match signs.next() {
                        Some('\\') => signs.next().ok_or_else(failed),
                        Some('-' | ']') | None => Err(failed()),
                        Some(sign) => Ok(sign),
                    };
                    let low = end()?;
                    let high = if signs.next_if_eq(&'-').is_some() {
                        match signs.next() {
                            Some('\\') => signs.next().ok_or_else(failed)?,
                            Some(sign) if sign != ']' => sign,
                            _ => return Err(failed()),
                        }
                    } else {
                        low
                    };
                    ranges.push((low, high));
                }
                Token::Class(is_negated, ranges)
            }
            sign => Token::Sign(sign),
        };
        tokens.push(token);
    }
    Ok(tokens)
}

fn matches(pattern: &[Token], text: &[char]) -> bool {
    fits(
        pattern,
        text,
        |token| *token == Token::AnyNumber,
        Token::is_one,
    )
}

impl Token {
    /// Whether it may stand for this one sign.
    fn is_one(&self, sign: &char) -> bool {
        match self {
            Self::Sign(wanted) => wanted == sign,
            Self::AnyOne | Self::AnyNumber => true,
            Self::Class(is_negated, ranges) => {
                let is_in = ranges
                    .iter()
                    .any(|(low, high)| (low..=high).contains(&sign));
                is_in != *is_negated
            }
        }
    }
}

/// Whether a pattern fits the whole of some things, where some of its parts stand for any number of them.
///
/// Only the last of these is ever made longer, for what an earlier one could take it can take as well: so
/// no pattern takes more steps than its parts times the things, however it is written.
fn fits<P, T>(
    pattern: &[P],
    things: &[T],
    is_any_number: impl Fn(&P) -> bool,
    is_one: impl Fn(&P, &T) -> bool,
) -> bool {
    let (mut part, mut thing) = (0, 0);
    // After the last part for any number: where to go on, and what it has taken so far.
    let mut again = None;
    loop {
        match pattern.get(part) {
            Some(any) if is_any_number(any) => {
                part += 1;
                again = Some((part, thing));
                continue;
            }
            Some(one) if things.get(thing).is_some_and(|thing| is_one(one, thing)) => {
                (part, thing) = (part + 1, thing + 1);
                continue;
            }
            None if thing == things.len() => return true,
            Some(_) | None => {}
        }
        match again {
            Some((after, taken)) if taken < things.len() => {
                again = Some((after, taken + 1));
                (part, thing) = (after, taken + 1);
            }
            _ => return false,
        }
    }
}

/// Parts of a path, without `.` and with `..` resolved; never above the beginning.
pub(crate) fn parts(path: &str) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    for component in Path::new(path).components() {
        match component {
            Component::Normal(part) => parts.push(part.to_string_lossy().into_owned()),
            Component::ParentDir => drop(parts.pop()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    parts
}

/// One line of a `.dockerignore`, or a `--exclude`.
#[derive(Clone, Debug)]
struct Rule {
    /// It takes back what an earlier one leaves out.
    is_exception: bool,
    parts: Vec<Part>,
}

#[derive(Clone, Debug)]
enum Part {
    /// Any number of directories, also none.
    Deep,
    Name(Vec<Token>),
}

/// What is left out of a context or a copy; of rules that match the last counts.
#[derive(Clone, Debug, Default)]
pub struct Ignore {
    rules: Vec<Rule>,
}

impl Ignore {
    /// Reads a `.dockerignore`.
    ///
    /// # Errors
    /// When a line is no pattern.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        Self::of(lines)
    }

    /// The patterns of a `.dockerignore`, cleaned, for whoever leaves out what they match itself.
    ///
    /// # Errors
    /// When a line is no pattern.
    pub fn patterns(text: &str) -> Result<Vec<String>, PatternError> {
        Self::parse(text)?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let cleaned = lines.map(|line| {
            let line = line.trim();
            match line.strip_prefix('!') {
                Some(exception) => ("!", parts(exception.trim()).join("/")),
                None => ("", parts(line).join("/")),
            }
        });
        Ok(cleaned
            .filter(|(_, pattern)| !pattern.is_empty())
            .map(|(sign, pattern)| format!("{sign}{pattern}"))
            .collect())
    }

    /// Of patterns, one a text.
    pub(crate) fn of<'a>(
        patterns: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, PatternError> {
        let mut rules = Vec::new();
        for pattern in patterns {
            let pattern = pattern.trim();
            let (pattern, is_exception) = match pattern.strip_prefix('!') {
                Some(pattern) => (pattern.trim(), true),
                None => (pattern, false),
            };
            let names = parts(pattern);
            if names.is_empty() {
                continue;
            }
            let parts = names.iter().map(|name| match name.as_str() {
                "**" => Ok(Part::Deep),
                name => tokens(name).map(Part::Name),
            });
            let mut parts: Vec<_> = parts.collect::<Result<_, _>>()?;
            // At the end it is what is in a directory, not the directory itself.
            if matches!(parts.last(), Some(Part::Deep)) {
                parts.push(Part::Name(vec![Token::AnyNumber]));
            }
            rules.push(Rule {
                is_exception,
                parts,
            });
        }
        Ok(Self { rules })
    }

    /// Nothing is left out.
    pub(crate) fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Whether a path, or a directory that it is in, is left out.
    pub(crate) fn leaves_out(&self, path: &Path) -> bool {
        let names = parts(&path.to_string_lossy());
        let names: Vec<Vec<char>> = names.iter().map(|name| name.chars().collect()).collect();
        let mut is_out = false;
        for rule in &self.rules {
            // What is said of a directory is said of all that is in it.
            let is_meant = (1..=names.len()).any(|depth| is_path(&rule.parts, &names[..depth]));
            if is_meant {
                is_out = !rule.is_exception;
            }
        }
        is_out
    }

    /// Whether something below a directory that is left out may be in all the same.
    pub(crate) fn has_exceptions(&self) -> bool {
        self.rules.iter().any(|rule| rule.is_exception)
    }
}

fn is_path(pattern: &[Part], path: &[Vec<char>]) -> bool {
    fits(
        pattern,
        path,
        |part| matches!(part, Part::Deep),
        |part, name| match part {
            Part::Name(tokens) => matches(tokens, name),
            Part::Deep => true,
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_match_as_gos_do() {
        for (pattern, name, wanted) in [
            ("hom*", "home.txt", true),
            ("hom?.txt", "home.txt", true),
            ("hom?.txt", "homer.txt", false),
            ("*", "", true),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "axxbyy", false),
            ("[a-c]x", "bx", true),
            ("[^a-c]x", "bx", false),
            ("arr[[]0].txt", "arr[0].txt", true),
            (r"a\*", "a*", true),
            (r"a\*", "ab", false),
        ] {
            assert_eq!(matches_name(pattern, name), Ok(wanted), "{pattern} {name}");
        }
        for pattern in ["[", "[a", "[]", "[-x]", "a\\"] {
            assert!(matches_name(pattern, "a").is_err(), "{pattern}");
        }
        let long = "a".repeat(200);
        assert_eq!(matches_name("*****************b", &long), Ok(false));
    }

    #[test]
    fn no_pattern_takes_for_ever() {
        let stars = format!("{}b", "*a".repeat(100));
        assert_eq!(matches_name(&stars, &"a".repeat(2000)), Ok(false));
        let ignore = Ignore::parse(&format!("{}b", "**/a/".repeat(100))).unwrap();
        assert!(!ignore.leaves_out(Path::new(&"a/".repeat(500))));
    }

    /// The examples of the reference.
    #[test]
    fn what_is_ignored_is_as_documented() {
        for (rules, path, wanted) in [
            ("*/temp*", "somedir/temporary.txt", true),
            ("*/temp*", "somedir/temp", true),
            ("*/temp*", "temp", false),
            ("*/*/temp*", "somedir/subdir/temporary.txt", true),
            ("temp?", "tempa", true),
            ("temp?", "temp", false),
            ("**/*.go", "a/b/c.go", true),
            ("**/*.go", "c.go", true),
            ("*.md\n!README.md", "README.md", false),
            ("*.md\n!README.md", "OTHER.md", true),
            (
                "*.md\n!README*.md\nREADME-secret.md",
                "README-secret.md",
                true,
            ),
            (
                "*.md\nREADME-secret.md\n!README*.md",
                "README-secret.md",
                false,
            ),
            ("# comment\n\n  dir/ ", "dir/deep/file", true),
            ("/foo/bar", "foo/bar", true),
            ("./foo", "foo", true),
            ("foo/../bar", "bar", true),
            ("foo", "x/foo", false),
            ("dir/**", "dir/a/b", true),
            ("dir/**", "dir", false),
            ("**", "anything", true),
            ("*\n!src", "src/main.rs", false),
            ("a/**/z", "a/z", true),
            ("a/**/z", "a/b/c/z", true),
        ] {
            let ignore = Ignore::parse(rules).unwrap();
            assert_eq!(
                ignore.leaves_out(Path::new(path)),
                wanted,
                "{rules:?} {path}"
            );
        }
        assert!(Ignore::parse("[").is_err());
    }

    #[test]
    fn patterns_are_cleaned_for_others() {
        let text = "# no\n /a/./b/ \n\n! c/../d\n**/*.o\n";
        assert_eq!(Ignore::patterns(text).unwrap(), ["a/b", "!d", "**/*.o"]);
        assert!(Ignore::patterns("[").is_err());
    }
}
