//! Words of an instruction: quotes, escapes and variables, as a Dockerfile has them.
//!
//! Pure. `docker commit --change` and the builder share it. Source: Dockerfile reference,
//! "Environment replacement" and "escape".

use std::iter::Peekable;
use std::str::Chars;

use super::glob;

/// Why words cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WordError {
    /// A quote begins and does not end.
    #[error("has a quote that is not closed")]
    OpenQuote,
    /// `${` without its `}`.
    #[error("has a '${{' that is not closed")]
    OpenBrace,
    /// `${...}` that says nothing known.
    #[error("has an unsupported modifier in ${{{0}}}")]
    Modifier(String),
    /// `${NAME:?why}` of a variable that is not set.
    #[error("needs the variable {name}: {why}")]
    Unset {
        /// The variable.
        name: String,
        /// What the instruction says of it.
        why: String,
    },
    /// `${a:-${b:-...}}` within each other without end.
    #[error("has more than {DEEPEST_NESTING} '${{' within each other")]
    Nesting,
    /// Variables that hold each other several times grow with each line.
    #[error("has a word of more than {LONGEST_WORD} bytes once its variables are filled in")]
    TooLong,
    /// Looking for a long pattern at each place of a long text takes too long.
    #[error(
        "looks for a pattern of more than {LONGEST_PATTERN} bytes, or in a variable of more than {LONGEST_SEARCHED}"
    )]
    Search,
}

/// How many `${` may be within each other; who needs more has made a mistake, or means harm.
const DEEPEST_NESTING: usize = 64;

/// Bytes of a word: no argument or variable of a program can be longer (execve(2)), and labels have room.
const LONGEST_WORD: usize = 1 << 20;

/// Bytes of a heredoc with its variables filled in: as a Dockerfile may have at most, and some more.
const LONGEST_HEREDOC: usize = 8 << 20;

/// Bytes of a value that a pattern is looked for in...
const LONGEST_SEARCHED: usize = 4 << 10;
/// ...and of that pattern.
const LONGEST_PATTERN: usize = 256;

/// What words are read with.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    /// `NAME=value`; of several with one name the last counts.
    pub variables: &'a [String],
    /// Takes the meaning from the sign after it.
    pub escape: char,
}

impl Scope<'_> {
    /// The text as one word: without quotes, with variables filled in.
    ///
    /// # Errors
    /// [`WordError`].
    pub fn expand(&self, text: &str) -> Result<String, WordError> {
        self.expand_within(text, 0)
    }

    /// The same of what is in so many `${` already.
    fn expand_within(&self, text: &str, depth: usize) -> Result<String, WordError> {
        let mut reader = Reader::new(self, text, depth);
        let mut word = String::new();
        while reader.signs.peek().is_some() {
            reader.piece(&mut word)?;
        }
        Ok(word)
    }

    /// The words between white space, each as [`Scope::expand`] gives it.
    ///
    /// # Errors
    /// [`WordError`].
    pub fn split(&self, text: &str) -> Result<Vec<String>, WordError> {
        let mut reader = Reader::new(self, text, 0);
        let mut words = Vec::new();
        loop {
            while reader.signs.next_if(|sign| sign.is_whitespace()).is_some() {}
            if reader.signs.peek().is_none() {
                return Ok(words);
            }
            let mut word = String::new();
            while reader
                .signs
                .peek()
                .is_some_and(|sign| !sign.is_whitespace())
            {
                reader.piece(&mut word)?;
            }
            words.push(word);
        }
    }

    /// As [`Scope::split`], where what a variable holds may be several words.
    ///
    /// # Errors
    /// [`WordError`].
    pub fn split_values(&self, text: &str) -> Result<Vec<String>, WordError> {
        let words = self.split(text)?;
        let parts = words.iter().flat_map(|word| word.split_whitespace());
        Ok(parts.map(str::to_owned).collect())
    }

    fn value(&self, name: &str) -> Option<&str> {
        let known = self.variables.iter().rev();
        known
            .filter_map(|variable| variable.split_once('='))
            .find(|(known, _)| *known == name)
            .map(|(_, value)| value)
    }
}

/// The text of a heredoc with its variables filled in; quotes mean nothing there.
///
/// # Errors
/// [`WordError`].
pub fn fill_in(text: &str, scope: &Scope<'_>) -> Result<String, WordError> {
    let mut reader = Reader::new(scope, text, 0);
    let mut filled = String::with_capacity(text.len());
    while let Some(sign) = reader.signs.next() {
        match sign {
            '$' => {
                filled.push_str(&reader.variable()?);
                if filled.len() > LONGEST_HEREDOC {
                    return Err(WordError::TooLong);
                }
            }
            sign if sign == scope.escape => match reader.signs.peek() {
                Some(next) if *next == '$' || *next == scope.escape => {
                    filled.extend(reader.signs.next());
                }
                _ => filled.push(sign),
            },
            sign => filled.push(sign),
        }
    }
    Ok(filled)
}

struct Reader<'a> {
    scope: &'a Scope<'a>,
    /// How many `${` the text is in.
    depth: usize,
    signs: Peekable<Chars<'a>>,
}

impl<'a> Reader<'a> {
    fn new(scope: &'a Scope<'a>, text: &'a str, depth: usize) -> Self {
        Self {
            scope,
            depth,
            signs: text.chars().peekable(),
        }
    }

    /// The next sign, quoted part or variable.
    fn piece(&mut self, word: &mut String) -> Result<(), WordError> {
        match self.signs.next() {
            Some('\'') => loop {
                match self.signs.next().ok_or(WordError::OpenQuote)? {
                    '\'' => return Ok(()),
                    sign => word.push(sign),
                }
            },
            Some('"') => self.double_quoted(word),
            Some('$') => self.push_variable(word),
            Some(sign) if sign == self.scope.escape => {
                word.extend(self.signs.next());
                Ok(())
            }
            sign => {
                word.extend(sign);
                Ok(())
            }
        }
    }

    fn double_quoted(&mut self, word: &mut String) -> Result<(), WordError> {
        let escape = self.scope.escape;
        loop {
            match self.signs.next().ok_or(WordError::OpenQuote)? {
                '"' => return Ok(()),
                '$' => self.push_variable(word)?,
                sign if sign == escape => {
                    let is_escaped = |next: &char| matches!(*next, '"' | '$') || *next == escape;
                    match self.signs.next_if(is_escaped) {
                        Some(next) => word.push(next),
                        None => word.push(sign),
                    }
                }
                sign => word.push(sign),
            }
        }
    }

    /// Fills in what follows a `$`.
    fn push_variable(&mut self, word: &mut String) -> Result<(), WordError> {
        word.push_str(&self.variable()?);
        if word.len() > LONGEST_WORD {
            return Err(WordError::TooLong);
        }
        Ok(())
    }

    /// What follows a `$`.
    fn variable(&mut self) -> Result<String, WordError> {
        if self.signs.next_if_eq(&'{').is_none() {
            let name = self.name();
            return Ok(if name.is_empty() {
                "$".to_owned()
            } else {
                self.scope.value(&name).unwrap_or_default().to_owned()
            });
        }
        if self.depth == DEEPEST_NESTING {
            return Err(WordError::Nesting);
        }
        let inside = self.braced()?;
        self.parameter(&inside)
    }

    fn name(&mut self) -> String {
        let mut name = String::new();
        while let Some(sign) = self.signs.next_if(is_of_name) {
            name.push(sign);
        }
        name
    }

    /// Everything up to the brace that closes this one.
    fn braced(&mut self) -> Result<String, WordError> {
        let mut inside = String::new();
        let mut depth: usize = 0;
        loop {
            let sign = self.signs.next().ok_or(WordError::OpenBrace)?;
            match sign {
                '}' if depth == 0 => return Ok(inside),
                '}' => depth -= 1,
                '$' if self.signs.peek() == Some(&'{') => {
                    depth += 1;
                    // Before each of them is gone through once more for the next.
                    if self.depth + depth >= DEEPEST_NESTING {
                        return Err(WordError::Nesting);
                    }
                }
                sign if sign == self.scope.escape => {
                    inside.push(sign);
                    inside.extend(self.signs.next());
                    continue;
                }
                _ => {}
            }
            inside.push(sign);
        }
    }

    /// What is between braces: a name, and what to make of its value.
    fn parameter(&self, inside: &str) -> Result<String, WordError> {
        let end = inside
            .find(|sign| !is_of_name(&sign))
            .unwrap_or(inside.len());
        let (name, rest) = inside.split_at(end);
        let unsupported = || WordError::Modifier(inside.to_owned());
        if name.is_empty() {
            return Err(unsupported());
        }
        let expand = |word| self.scope.expand_within(word, self.depth + 1);
        let value = self.scope.value(name);
        let Some(modifier) = rest.chars().next() else {
            return Ok(value.unwrap_or_default().to_owned());
        };
        // With a colon an empty value counts as none.
        let (value, modifier, word) = match modifier {
            ':' => {
                let rest = &rest[1..];
                let modifier = rest.chars().next().ok_or_else(unsupported)?;
                if !matches!(modifier, '-' | '+' | '?') {
                    return Err(unsupported());
                }
                (
                    value.filter(|value| !value.is_empty()),
                    modifier,
                    &rest[1..],
                )
            }
            modifier => (value, modifier, &rest[modifier.len_utf8()..]),
        };
        match modifier {
            '-' => value.map_or_else(|| expand(word), |value| Ok(value.to_owned())),
            '+' => value.map_or_else(|| Ok(String::new()), |_| expand(word)),
            '?' => match value {
                Some(value) => Ok(value.to_owned()),
                None => Err(WordError::Unset {
                    name: name.to_owned(),
                    why: match expand(word)? {
                        why if why.is_empty() => "it is not set".to_owned(),
                        why => why,
                    },
                }),
            },
            '#' | '%' => {
                let doubled = word.strip_prefix(modifier);
                let pattern = self.pattern(doubled.unwrap_or(word))?;
                let value = searched(value)?;
                let cut = if modifier == '#' {
                    glob::without_prefix(value, &pattern, doubled.is_some())
                } else {
                    glob::without_suffix(value, &pattern, doubled.is_some())
                };
                Ok(cut)
            }
            '/' => {
                let all = word.strip_prefix('/');
                let (pattern, replacement) = split_pattern(all.unwrap_or(word), self.scope.escape);
                let pattern = self.pattern(pattern)?;
                let replacement = expand(replacement)?;
                let value = searched(value)?;
                glob::replaced(value, &pattern, &replacement, all.is_some(), LONGEST_WORD)
                    .ok_or(WordError::TooLong)
            }
            _ => Err(unsupported()),
        }
    }

    /// A pattern: escapes stay, for they take the meaning from its stars.
    fn pattern(&self, text: &str) -> Result<Vec<glob::Token>, WordError> {
        let mut filled = String::new();
        let mut reader = Reader::new(self.scope, text, self.depth + 1);
        while let Some(sign) = reader.signs.next() {
            match sign {
                '$' => filled.push_str(&reader.variable()?),
                sign if sign == self.scope.escape => {
                    filled.push('\\');
                    filled.extend(reader.signs.next());
                }
                sign => filled.push(sign),
            }
        }
        if filled.len() > LONGEST_PATTERN {
            return Err(WordError::Search);
        }
        Ok(glob::tokens(&filled))
    }
}

/// The value that a pattern is looked for in.
fn searched(value: Option<&str>) -> Result<&str, WordError> {
    let value = value.unwrap_or_default();
    if value.len() > LONGEST_SEARCHED {
        return Err(WordError::Search);
    }
    Ok(value)
}

/// Pattern and replacement, at the first slash that is not escaped.
fn split_pattern(text: &str, escape: char) -> (&str, &str) {
    let mut signs = text.char_indices();
    while let Some((at, sign)) = signs.next() {
        if sign == escape {
            signs.next();
        } else if sign == '/' {
            return (&text[..at], &text[at + 1..]);
        }
    }
    (text, "")
}

fn is_of_name(sign: &char) -> bool {
    sign.is_ascii_alphanumeric() || *sign == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables() -> Vec<String> {
        [
            "foo=/bar",
            "empty=",
            "path=foobarbaz/foo.tar.gz",
            "two=a b",
            "name=foo",
        ]
        .map(str::to_owned)
        .to_vec()
    }

    /// Cases of the Dockerfile reference's section, and of its words on each modifier.
    #[test]
    fn variables_are_filled_in_as_documented() {
        for (text, wanted) in [
            ("${foo}", "/bar"),
            ("$foo/x", "/bar/x"),
            (r"\$foo", "$foo"),
            (r"\${foo}", "${foo}"),
            ("'$foo'", "$foo"),
            (r#""$foo""#, "/bar"),
            (r#""\$foo \" \x""#, r#"$foo " \x"#),
            ("$none", ""),
            ("${none:-word}", "word"),
            ("${empty:-word}", "word"),
            ("${empty-word}", ""),
            ("${foo:-word}", "/bar"),
            ("${foo:+word}", "word"),
            ("${none:+word}", ""),
            ("${empty+word}", "word"),
            ("${none:-${foo}/x}", "/bar/x"),
            ("${none:-$foo}", "/bar"),
            ("${path#f*b}", "arbaz/foo.tar.gz"),
            ("${path##f*b}", "az/foo.tar.gz"),
            ("${path%.*}", "foobarbaz/foo.tar"),
            ("${path%%.*}", "foobarbaz/foo"),
            ("${path#\\*}", "foobarbaz/foo.tar.gz"),
            ("${path/ba?/X}", "fooXbaz/foo.tar.gz"),
            ("${path//ba?/X}", "fooXX/foo.tar.gz"),
            ("${path//o/}", "fbarbaz/f.tar.gz"),
            ("${path#$name}", "barbaz/foo.tar.gz"),
            ("$", "$"),
            ("a$-", "a$-"),
            ("${foo?gone}", "/bar"),
        ] {
            let variables = variables();
            let scope = Scope {
                variables: &variables,
                escape: '\\',
            };
            assert_eq!(scope.expand(text).as_deref(), Ok(wanted), "{text}");
        }
    }

    #[test]
    fn words_end_at_white_space_that_is_not_quoted() {
        let variables = variables();
        let scope = Scope {
            variables: &variables,
            escape: '`',
        };
        assert_eq!(
            scope.split(r#"a 'b c'  "d e"f  g` h $two c:\x"#).unwrap(),
            ["a", "b c", "d ef", "g h", "a b", r"c:\x"]
        );
        assert_eq!(scope.split_values("$two 80").unwrap(), ["a", "b", "80"]);
    }

    #[test]
    fn a_heredoc_has_no_quotes() {
        let variables = variables();
        let scope = Scope {
            variables: &variables,
            escape: '\\',
        };
        assert_eq!(
            fill_in("it's \"$foo\" \\$foo \\n", &scope).unwrap(),
            "it's \"/bar\" $foo \\n"
        );
    }

    #[test]
    fn what_is_not_closed_or_known_is_refused() {
        let scope = Scope {
            variables: &[],
            escape: '\\',
        };
        assert_eq!(scope.expand("'a"), Err(WordError::OpenQuote));
        assert_eq!(scope.expand("${a"), Err(WordError::OpenBrace));
        assert_eq!(
            scope.expand("${a!b}"),
            Err(WordError::Modifier("a!b".to_owned()))
        );
        assert_eq!(
            scope.expand("${a:?say it}").unwrap_err().to_string(),
            "needs the variable a: say it"
        );
    }

    #[test]
    fn words_that_mean_harm_end() {
        let expand = |variables: &[String], text: &str| {
            let scope = Scope {
                variables,
                escape: '\\',
            };
            scope.expand(text)
        };
        // As deep as a Dockerfile of 4 MiB can have it.
        let nested = "${a:-".repeat(800_000) + "x" + &"}".repeat(800_000);
        assert_eq!(expand(&[], &nested), Err(WordError::Nesting));
        assert_eq!(
            fill_in(
                &nested,
                &Scope {
                    variables: &[],
                    escape: '\\'
                }
            ),
            Err(WordError::Nesting)
        );
        let some = "${a:-".repeat(20) + "x" + &"}".repeat(20);
        assert_eq!(expand(&[], &some).as_deref(), Ok("x"));
        let doubled = [format!("a={}", "x".repeat(700_000))];
        assert_eq!(expand(&doubled, "$a$a"), Err(WordError::TooLong));
        assert_eq!(expand(&doubled, "${a%%b}"), Err(WordError::Search));
        let long = [
            format!("a={}", "x".repeat(4000)),
            format!("b={}", "y".repeat(1000)),
        ];
        assert_eq!(expand(&long, "${a//x/$b}"), Err(WordError::TooLong));
        let stars = format!("${{a%{}b}}", "*x".repeat(50));
        assert_eq!(expand(&long, &stars).as_deref().map(str::len), Ok(4000));
    }
}
