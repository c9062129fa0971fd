//! From lines to logical ones: comments left out, continuation lines joined, heredocs taken along.

use std::iter::Peekable;

use super::heredoc::{self, Heredoc};
use super::{LineProblem, ParseError};

/// One instruction's text.
#[derive(Clone, Debug)]
pub(super) struct Logical {
    pub(super) text: String,
    /// Where it begins, from 1.
    pub(super) number: usize,
    pub(super) heredocs: Vec<Heredoc>,
}

/// All of them.
pub(super) fn logical(text: &str, escape: char) -> Result<Vec<Logical>, ParseError> {
    let mut lines = text.lines().enumerate().peekable();
    let mut all = Vec::new();
    while let Some((at, first)) = lines.next() {
        let first = first.trim_start();
        if is_comment(first) || first.is_empty() {
            continue;
        }
        let mut text = String::new();
        let mut continues = append(&mut text, first, escape);
        while continues && let Some((_, line)) = lines.next() {
            // An empty line does not end what is continued, either.
            if is_comment(line.trim_start()) || line.trim().is_empty() {
                continue;
            }
            continues = append(&mut text, line, escape);
        }
        let number = at + 1;
        let heredocs = heredocs(&text, number, &mut lines)?;
        all.push(Logical {
            text,
            number,
            heredocs,
        });
    }
    Ok(all)
}

fn is_comment(line: &str) -> bool {
    line.starts_with('#')
}

/// Appends a line; answers whether the next one continues it.
fn append(text: &mut String, line: &str, escape: char) -> bool {
    match line.trim_end().strip_suffix(escape) {
        Some(line) => {
            text.push_str(line);
            true
        }
        None => {
            text.push_str(line);
            false
        }
    }
}

/// Reads the text of the heredocs that a line begins.
fn heredocs<'a>(
    text: &str,
    number: usize,
    lines: &mut Peekable<impl Iterator<Item = (usize, &'a str)>>,
) -> Result<Vec<Heredoc>, ParseError> {
    let mut heredocs = heredoc::begun_by(text);
    for heredoc in &mut heredocs {
        loop {
            let Some((_, line)) = lines.next() else {
                return Err(ParseError::Line {
                    line: number,
                    problem: LineProblem::Heredoc(heredoc.name.clone()),
                });
            };
            let line = if heredoc.strips_tabs {
                line.trim_start_matches('\t')
            } else {
                line
            };
            if line == heredoc.name {
                break;
            }
            heredoc.text.push_str(line);
            heredoc.text.push('\n');
        }
    }
    Ok(heredocs)
}
