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

/// How many signs of those that come a pattern can match, the fewest first. Each is looked at once for
/// each token, whatever the pattern: it may be a stranger's.
fn lengths(pattern: &[Token], signs: impl Iterator<Item = char>) -> Vec<usize> {
    // Which beginnings of the pattern match what was read so far.
    let mut reached = vec![false; pattern.len() + 1];
    reached[0] = true;
    skip_stars(pattern, &mut reached);
    let mut lengths = Vec::new();
    if reached[pattern.len()] {
        lengths.push(0);
    }
    for (read, sign) in (1..).zip(signs) {
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
        if reached[pattern.len()] {
            lengths.push(read);
        }
        if !reached.contains(&true) {
            break;
        }
    }
    lengths
}

fn skip_stars(pattern: &[Token], reached: &mut [bool]) {
    for (at, token) in pattern.iter().enumerate() {
        if reached[at] && *token == Token::AnyNumber {
            reached[at + 1] = true;
        }
    }
}

/// The fewest signs, or the most.
fn chosen(lengths: &[usize], longest: bool) -> usize {
    let chosen = if longest {
        lengths.last()
    } else {
        lengths.first()
    };
    chosen.copied().unwrap_or(0)
}

/// The text without the shortest, or longest, beginning that matches.
pub(super) fn without_prefix(text: &str, pattern: &[Token], longest: bool) -> String {
    let cut = chosen(&lengths(pattern, text.chars()), longest);
    text.chars().skip(cut).collect()
}

/// The text without the shortest, or longest, end that matches.
pub(super) fn without_suffix(text: &str, pattern: &[Token], longest: bool) -> String {
    let backwards: Vec<Token> = pattern.iter().rev().copied().collect();
    let cut = chosen(&lengths(&backwards, text.chars().rev()), longest);
    text.chars().take(text.chars().count() - cut).collect()
}

/// The text with the first, or every, longest part that matches replaced; `None` where it becomes longer
/// than so many bytes.
pub(super) fn replaced(
    text: &str,
    pattern: &[Token],
    by: &str,
    all: bool,
    most_bytes: usize,
) -> Option<String> {
    let mut answer = String::new();
    let mut rest = text.chars();
    while let Some(first) = rest.clone().next() {
        match chosen(&lengths(pattern, rest.clone()), true) {
            0 => {
                answer.push(first);
                rest.next();
            }
            found => {
                answer.push_str(by);
                rest.nth(found - 1);
                if !all {
                    answer.push_str(rest.as_str());
                    break;
                }
            }
        }
        if answer.len() > most_bytes {
            return None;
        }
    }
    Some(answer)
}
