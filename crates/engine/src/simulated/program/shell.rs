//! Parses the shell language of simulated programs. It runs nothing.

use model::stream::Stream;

/// A command line, parsed.
#[derive(Debug, PartialEq)]
pub(super) enum Command {
    Simple {
        words: Vec<Word>,
        redirects: Vec<(Stream, Target)>,
    },
    And(Box<Self>, Box<Self>),
    Or(Box<Self>, Box<Self>),
    While(Vec<Self>, Vec<Self>),
    Background(Box<Self>),
}

/// Where output is redirected to.
#[derive(Debug, PartialEq)]
pub(super) enum Target {
    File { path: String, append: bool },
    Stream(Stream),
}

/// One word, before its variables are replaced.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Word(Vec<Piece>);

#[derive(Debug, PartialEq)]
enum Piece {
    Text(String),
    Variable(String),
}

impl Word {
    pub(super) fn is(&self, text: &str) -> bool {
        matches!(&self.0[..], [Piece::Text(own)] if own == text)
    }

    pub(super) fn expanded(&self, variable: impl Fn(&str) -> String) -> String {
        let pieces = self.0.iter().map(|piece| match piece {
            Piece::Text(text) => text.clone(),
            Piece::Variable(name) => variable(name),
        });
        pieces.collect()
    }

    fn push(&mut self, char: char) {
        match self.0.last_mut() {
            Some(Piece::Text(text)) => text.push(char),
            _ => self.0.push(Piece::Text(char.to_string())),
        }
    }
}

#[derive(Debug, PartialEq)]
enum Token {
    Word(Word),
    Redirect(Stream, bool),
    Duplicate(Stream, Stream),
    And,
    Or,
    Background,
    End,
}

/// The commands of a script.
///
/// # Errors
/// The token that does not fit.
pub(super) fn parse(text: &str) -> Result<Vec<Command>, String> {
    let tokens = tokens(text);
    let mut parser = Parser {
        tokens: tokens.into_iter().peekable(),
    };
    let commands = parser.list(None)?;
    match parser.tokens.next() {
        None => Ok(commands),
        Some(token) => Err(format!("{token:?}")),
    }
}

struct Parser {
    tokens: std::iter::Peekable<std::vec::IntoIter<Token>>,
}

impl Parser {
    /// Commands up to the keyword `until`, or the end of the text.
    fn list(&mut self, until: Option<&str>) -> Result<Vec<Command>, String> {
        let mut commands = Vec::new();
        loop {
            while self.tokens.next_if(|token| *token == Token::End).is_some() {}
            match (self.tokens.peek(), until) {
                (None, None) => return Ok(commands),
                (None, Some(keyword)) => return Err(format!("end of file, wanted {keyword}")),
                (Some(Token::Word(word)), Some(keyword)) if word.is(keyword) => {
                    self.tokens.next();
                    return Ok(commands);
                }
                _ => {}
            }
            let command = self.chain()?;
            commands.push(
                if self
                    .tokens
                    .next_if(|token| *token == Token::Background)
                    .is_some()
                {
                    Command::Background(Box::new(command))
                } else {
                    command
                },
            );
        }
    }

    fn chain(&mut self) -> Result<Command, String> {
        let mut command = self.command()?;
        loop {
            if self.tokens.next_if(|token| *token == Token::And).is_some() {
                command = Command::And(Box::new(command), Box::new(self.command()?));
            } else if self.tokens.next_if(|token| *token == Token::Or).is_some() {
                command = Command::Or(Box::new(command), Box::new(self.command()?));
            } else {
                return Ok(command);
            }
        }
    }

    fn command(&mut self) -> Result<Command, String> {
        let is_while = |token: &Token| matches!(token, Token::Word(word) if word.is("while"));
        if self.tokens.next_if(is_while).is_some() {
            let condition = self.list(Some("do"))?;
            return Ok(Command::While(condition, self.list(Some("done"))?));
        }
        let (mut words, mut redirects) = (Vec::new(), Vec::new());
        while let Some(token) = self.tokens.next_if(|token| {
            matches!(
                token,
                Token::Word(_) | Token::Redirect(..) | Token::Duplicate(..)
            )
        }) {
            match token {
                Token::Word(word) => words.push(word),
                Token::Duplicate(from, to) => redirects.push((from, Target::Stream(to))),
                Token::Redirect(from, append) => match self.tokens.next() {
                    Some(Token::Word(path)) => {
                        redirects.push((
                            from,
                            Target::File {
                                path: path.expanded(|_| String::new()),
                                append,
                            },
                        ));
                    }
                    other => return Err(format!("{other:?}")),
                },
                _ => {}
            }
        }
        if words.is_empty() {
            return Err(format!("{:?}", self.tokens.peek()));
        }
        Ok(Command::Simple { words, redirects })
    }
}

fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut word: Option<Word> = None;
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        match char {
            '\'' => {
                let word = word.get_or_insert_default();
                chars
                    .by_ref()
                    .take_while(|char| *char != '\'')
                    .for_each(|char| word.push(char));
            }
            '"' => {
                let word = word.get_or_insert_default();
                while let Some(char) = chars.next().filter(|char| *char != '"') {
                    match char {
                        '$' => variable(word, &mut chars),
                        '\\' => word.push(chars.next().unwrap_or('\\')),
                        char => word.push(char),
                    }
                }
            }
            '$' => variable(word.get_or_insert_default(), &mut chars),
            '\\' => word
                .get_or_insert_default()
                .push(chars.next().unwrap_or('\\')),
            ' ' | '\t' => tokens.extend(word.take().map(Token::Word)),
            ';' | '\n' => {
                tokens.extend(word.take().map(Token::Word));
                tokens.push(Token::End);
            }
            '&' | '|' => {
                tokens.extend(word.take().map(Token::Word));
                let doubled = chars.next_if_eq(&char).is_some();
                tokens.push(match (char, doubled) {
                    ('&', false) => Token::Background,
                    ('&', true) => Token::And,
                    _ => Token::Or,
                });
            }
            '>' => {
                let stream = match word.take() {
                    Some(number) if number.is("2") => Stream::Stderr,
                    Some(number) if number.is("1") => Stream::Stdout,
                    other => {
                        tokens.extend(other.map(Token::Word));
                        Stream::Stdout
                    }
                };
                if chars.next_if_eq(&'&').is_some() {
                    let to = if chars.next() == Some('2') {
                        Stream::Stderr
                    } else {
                        Stream::Stdout
                    };
                    tokens.push(Token::Duplicate(stream, to));
                } else {
                    tokens.push(Token::Redirect(stream, chars.next_if_eq(&'>').is_some()));
                }
            }
            char => word.get_or_insert_default().push(char),
        }
    }
    tokens.extend(word.map(Token::Word));
    tokens
}

fn variable(word: &mut Word, chars: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    let mut name = String::new();
    if chars.next_if_eq(&'{').is_some() {
        name.extend(chars.by_ref().take_while(|char| *char != '}'));
    } else if let Some(special) = chars.next_if(|char| matches!(char, '?' | '$')) {
        name.push(special);
    } else {
        while let Some(char) = chars.next_if(|char| char.is_ascii_alphanumeric() || *char == '_') {
            name.push(char);
        }
    }
    if name.is_empty() {
        word.push('$');
    } else {
        word.0.push(Piece::Variable(name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(command: &Command) -> Vec<String> {
        let Command::Simple { words, .. } = command else {
            panic!("{command:?}")
        };
        words
            .iter()
            .map(|word| word.expanded(|name| format!("<{name}>")))
            .collect()
    }

    #[test]
    fn quotes_variables_and_separators_are_understood() {
        let commands = parse("echo 'a b' \"$X c\"; echo ${Y}z").unwrap();
        assert_eq!(words(&commands[0]), ["echo", "a b", "<X> c"]);
        assert_eq!(words(&commands[1]), ["echo", "<Y>z"]);
    }

    #[test]
    fn loops_chains_and_redirects_are_understood() {
        let commands = parse("while true; do sleep 1; done").unwrap();
        assert!(matches!(&commands[..], [Command::While(_, body)] if body.len() == 1));
        let commands = parse("true && echo x >&2 || false").unwrap();
        assert!(
            matches!(&commands[..], [Command::Or(first, _)] if matches!(**first, Command::And(..)))
        );
        let commands = parse("sleep 5 & wait").unwrap();
        assert!(matches!(
            &commands[..],
            [Command::Background(_), Command::Simple { .. }]
        ));
        let [Command::Simple { redirects, .. }] = &parse("echo x >> /tmp/file").unwrap()[..] else {
            panic!()
        };
        assert_eq!(
            redirects[0],
            (
                Stream::Stdout,
                Target::File {
                    path: "/tmp/file".to_owned(),
                    append: true
                }
            )
        );
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        for text in ["while true; do", "echo >", "&& true"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
