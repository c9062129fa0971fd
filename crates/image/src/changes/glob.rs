//! Patterns of `${name#pattern}` and its kin: `*`, `?`, and `\` before a sign that means itself.

/// One part of a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token {
    Sign(char),
    AnyOne,
    AnyNumber,
}

pub(super) fn tokens(pattern: &str) -> Vec<Token> {
    let mut signs = pattern.chars();
    let mut tokens = Vec::new();
    while let Some(sign) = signs.next() {
        tokens.push(match sign {
            '*' => Token::AnyNumber,
            '?' => Token::AnyOne,
            '\\' => Token::Sign(signs.next().unwrap_or('\\')),
            sign => Token::Sign(sign),
        });
    }
    tokens
}

/// Whether a pattern matches the whole text.
fn is_match(pattern: &[Token], text: &str) -> bool {
    // Which beginnings of the pattern match what was read so far.
    let mut reached = vec![false; pattern.len() + 1];
    reached[0] = true;
    skip_stars(pattern, &mut reached);
    for sign in text.chars() {
        let mut next = vec![false; pattern.len() + 1];
        for (at, token) in pattern.iter().enumerate().filter(|(at, _)| reached[*at]) {
            match token {
                Token::Sign(wanted) => next[at + 1] |= *wanted == sign,
                Token::AnyOne => next[at + 1] = true,
                Token::AnyNumber => next[at] = true,
            }
        }
        skip_stars(pattern, &mut next);
        reached = next;
    }
    reached[pattern.len()]
}

fn skip_stars(pattern: &[Token], reached: &mut [bool]) {
    for (at, token) in pattern.iter().enumerate() {
        if reached[at] && *token == Token::AnyNumber {
            reached[at + 1] = true;
        }
    }
}

/// Where a text can be cut.
fn cuts(text: &str) -> impl DoubleEndedIterator<Item = usize> {
    (0..=text.len()).filter(|at| text.is_char_boundary(*at))
}

/// The text without the shortest, or longest, beginning that matches.
pub(super) fn without_prefix<'a>(text: &'a str, pattern: &[Token], longest: bool) -> &'a str {
    let matches = |at: &usize| is_match(pattern, &text[..*at]);
    let cut = if longest {
        cuts(text).rev().find(matches)
    } else {
        cuts(text).find(matches)
    };
    &text[cut.unwrap_or(0)..]
}

/// The text without the shortest, or longest, end that matches.
pub(super) fn without_suffix<'a>(text: &'a str, pattern: &[Token], longest: bool) -> &'a str {
    let matches = |at: &usize| is_match(pattern, &text[*at..]);
    let cut = if longest {
        cuts(text).find(matches)
    } else {
        cuts(text).rev().find(matches)
    };
    &text[..cut.unwrap_or(text.len())]
}

/// The text with the first, or every, longest part that matches replaced.
pub(super) fn replaced(text: &str, pattern: &[Token], by: &str, all: bool) -> String {
    let mut answer = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let found = cuts(rest)
            .rev()
            .find(|end| *end > 0 && is_match(pattern, &rest[..*end]));
        match found {
            Some(end) => {
                answer.push_str(by);
                rest = &rest[end..];
                if !all {
                    break;
                }
            }
            None => {
                answer.push(first);
                rest = &rest[first.len_utf8()..];
            }
        }
    }
    answer + rest
}
