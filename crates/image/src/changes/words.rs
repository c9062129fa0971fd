//! Words of an instruction: quotes, backslashes and variables, as a Dockerfile has them.

use std::iter::Peekable;
use std::str::Chars;

const OPEN_QUOTE: &str = "has a quote that is not closed";

/// `name=value` pairs; or, as it was once written, one name and the rest of the line.
pub(super) fn assignments(
    text: &str,
    env: &[String],
) -> Result<Vec<(String, String)>, &'static str> {
    const PROBLEM: &str = "needs name=value";
    let first = text.split(char::is_whitespace).next().unwrap_or_default();
    if !first.contains('=') {
        let (name, value) = text.split_once(char::is_whitespace).ok_or(PROBLEM)?;
        return Ok(vec![(name.to_owned(), expand(value.trim(), env))]);
    }
    let is_named = |pair: &(String, String)| !pair.0.is_empty();
    split(text, env)?
        .into_iter()
        .map(|word| {
            let pair = word
                .split_once('=')
                .map(|(name, value)| (name.to_owned(), value.to_owned()));
            pair.filter(is_named).ok_or(PROBLEM)
        })
        .collect()
}

/// The words, without quotes and with variables filled in.
pub(super) fn split(text: &str, env: &[String]) -> Result<Vec<String>, &'static str> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut signs = text.chars().peekable();
    while let Some(sign) = signs.next() {
        if sign.is_whitespace() {
            words.extend(word.take());
            continue;
        }
        let word = word.get_or_insert_default();
        match sign {
            '\'' => loop {
                match signs.next().ok_or(OPEN_QUOTE)? {
                    '\'' => break,
                    sign => word.push(sign),
                }
            },
            '"' => loop {
                match signs.next().ok_or(OPEN_QUOTE)? {
                    '"' => break,
                    '\\' if signs
                        .peek()
                        .is_some_and(|next| matches!(next, '"' | '\\' | '$')) =>
                    {
                        word.extend(signs.next());
                    }
                    '$' => word.push_str(&variable(&mut signs, env)),
                    sign => word.push(sign),
                }
            },
            '\\' => word.extend(signs.next()),
            '$' => word.push_str(&variable(&mut signs, env)),
            sign => word.push(sign),
        }
    }
    words.extend(word);
    Ok(words)
}

/// The text as one word; where its quotes are not closed, as it is.
pub(super) fn expand(text: &str, env: &[String]) -> String {
    split(text, env).map_or_else(|_| text.to_owned(), |words| words.join(" "))
}

/// What follows a `$`: `NAME`, `{NAME}`, `{NAME:-else}` or `{NAME:+instead}`.
fn variable(signs: &mut Peekable<Chars<'_>>, env: &[String]) -> String {
    let is_name = |sign: &char| sign.is_ascii_alphanumeric() || *sign == '_';
    let value = |name: &str| {
        let known = env.iter().filter_map(|variable| variable.split_once('='));
        known
            .filter(|(known, _)| *known == name)
            .map(|(_, value)| value.to_owned())
            .next_back()
    };
    if signs.next_if_eq(&'{').is_none() {
        let mut name = String::new();
        while let Some(sign) = signs.next_if(is_name) {
            name.push(sign);
        }
        return if name.is_empty() {
            "$".to_owned()
        } else {
            value(&name).unwrap_or_default()
        };
    }
    let inside: String = signs.take_while(|sign| *sign != '}').collect();
    let name_end = inside.find(|sign| !is_name(&sign)).unwrap_or(inside.len());
    let (name, rest) = inside.split_at(name_end);
    let value = value(name).filter(|value| !value.is_empty());
    if let Some(default) = rest.strip_prefix(":-") {
        value.unwrap_or_else(|| default.to_owned())
    } else if let Some(instead) = rest.strip_prefix(":+") {
        value.map(|_| instead.to_owned()).unwrap_or_default()
    } else {
        value.unwrap_or_default()
    }
}
