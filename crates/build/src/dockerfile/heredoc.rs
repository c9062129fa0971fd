//! Here-documents: `<<EOF`, `<<-EOF` without tabs, `<<"EOF"` without variables.

/// One here-document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Heredoc {
    pub(crate) name: String,
    /// With a line feed after each line.
    pub(crate) text: String,
    /// Variables in it are filled in.
    pub(crate) expands: bool,
    /// Tabs before its lines are not part of it.
    pub(crate) strips_tabs: bool,
    /// The word that begins it, as written.
    pub(crate) word: String,
}

/// The here-documents that an instruction's line begins, still empty.
pub(super) fn begun_by(line: &str) -> Vec<Heredoc> {
    let mut line = line.trim();
    // A stranger may write any number of these: they are gone through, not into.
    loop {
        let (keyword, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        match keyword.to_ascii_uppercase().as_str() {
            "RUN" | "COPY" | "ADD" => {
                let words = raw_words(rest).into_iter();
                return words.filter_map(|word| begin(&word)).collect();
            }
            "ONBUILD" => line = rest.trim(),
            _ => return Vec::new(),
        }
    }
}

/// Words with their quotes.
fn raw_words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quote = None;
    for sign in text.chars() {
        match quote {
            Some(open) if open == sign => quote = None,
            Some(_) => {}
            None if matches!(sign, '\'' | '"') => quote = Some(sign),
            None if sign.is_whitespace() => {
                words.push(std::mem::take(&mut word));
                continue;
            }
            None => {}
        }
        word.push(sign);
    }
    words.push(word);
    words
}

/// `[N]<<[-]NAME`.
fn begin(word: &str) -> Option<Heredoc> {
    let rest = word.trim_start_matches(|sign: char| sign.is_ascii_digit());
    let rest = rest.strip_prefix("<<")?;
    let (rest, strips_tabs) = match rest.strip_prefix('-') {
        Some(rest) => (rest, true),
        None => (rest, false),
    };
    let name: String = rest
        .chars()
        .filter(|sign| !matches!(sign, '\'' | '"'))
        .collect();
    if name.is_empty() || name.contains('<') {
        return None;
    }
    Some(Heredoc {
        expands: name == rest,
        name,
        text: String::new(),
        strips_tabs,
        word: word.to_owned(),
    })
}
