//! What the reference says of the format, case by case.

use super::*;

fn parsed(text: &str) -> Dockerfile {
    parse(text.as_bytes()).unwrap()
}

fn problem(text: &str) -> String {
    parse(text.as_bytes()).unwrap_err().to_string()
}

fn rests(file: &Dockerfile) -> Vec<&str> {
    let stages = file.stages.iter().flat_map(|stage| &stage.instructions);
    stages
        .map(|instruction| instruction.rest.as_str())
        .collect()
}

#[test]
fn comments_and_continuation_lines_are_read_as_documented() {
    let file = parsed(
        "# a comment\nFROM busybox\n  # another\n    RUN echo hello \\\n# comment within\n\n  world # not a comment\nRUN a \\  \n b\\\n\n  c\n",
    );
    assert_eq!(
        rests(&file),
        ["echo hello   world # not a comment", "a  b  c"]
    );
    let lines: Vec<_> = file.stages[0]
        .instructions
        .iter()
        .map(|run| run.line)
        .collect();
    assert_eq!(lines, [4, 8]);
}

#[test]
fn the_escape_directive_changes_continuation() {
    let file = parsed(
        "# syntax=docker/dockerfile:1\n# Escape = `\nFROM busybox\nCOPY a `\n c:\\\nRUN dir c:\\\n",
    );
    assert_eq!(file.escape, '`');
    assert_eq!(rests(&file), ["a  c:\\", "dir c:\\"]);
    // After a comment it is a comment.
    assert_eq!(parsed("# about\n# escape=`\nFROM x\n").escape, '\\');
    assert_eq!(
        problem("# escape=x\nFROM x\n"),
        "dockerfile parse error on line 1: invalid escape token \"x\" does not match ` or \\"
    );
    assert_eq!(
        problem("# escape=`\n# escape=\\\nFROM x\n"),
        "dockerfile parse error on line 2: only one escape parser directive can be used"
    );
}

#[test]
fn heredocs_are_taken_along() {
    let file = parsed(
        "FROM busybox\nRUN <<EOF\necho a\n# kept\nEOF\nCOPY <<-\"one\" <<two /dir/\n\t$x\n\tone\n$y\ntwo\nRUN echo '<<no' 3<<fd\nz\nfd\nCMD x\n",
    );
    let heredocs: Vec<_> = file.stages[0]
        .instructions
        .iter()
        .flat_map(|instruction| &instruction.heredocs)
        .map(|heredoc| {
            (
                heredoc.name.as_str(),
                heredoc.text.as_str(),
                heredoc.expands,
            )
        })
        .collect();
    assert_eq!(
        heredocs,
        [
            ("EOF", "echo a\n# kept\n", true),
            ("one", "$x\n", false),
            ("two", "$y\n", true),
            ("fd", "z\n", true)
        ]
    );
    assert_eq!(
        problem("FROM x\nRUN <<EOF\na\n"),
        "dockerfile parse error on line 2: unterminated heredoc: EOF is missing"
    );
}

#[test]
fn flags_come_before_the_arguments() {
    let file = parsed(
        "FROM --platform=linux/amd64 a AS one\nCOPY --from=one --exclude=*.a --exclude=b --link x y\nRUN --mount=type=bind,target=/x --network=none make --flag\nHEALTHCHECK --interval=5s CMD x\n",
    );
    let [copy, run, health] = &file.stages[0].instructions[..] else {
        panic!("{file:?}");
    };
    assert_eq!(copy.flags.get("from"), Some("one"));
    assert_eq!(copy.flags.all("exclude").collect::<Vec<_>>(), ["*.a", "b"]);
    assert!(copy.flags.is_on("link") && !copy.flags.is_on("parents"));
    assert_eq!(copy.rest, "x y");
    assert_eq!(run.rest, "make --flag");
    assert_eq!(health.rest, "--interval=5s CMD x");
    for (line, words) in [
        ("COPY --nope a b", "unknown flag: --nope"),
        ("COPY --from a b", "missing a value on flag: --from"),
        (
            "COPY --from=a --from=b c d",
            "duplicate flag specified: --from",
        ),
    ] {
        assert_eq!(
            problem(&format!("FROM x\n{line}\n")),
            format!("dockerfile parse error on line 2: {words}")
        );
    }
}

#[test]
fn stages_are_found_by_name_and_number() {
    let file = parsed("ARG V=1\nFROM a:$V AS Base\nFROM base\nFROM scratch as base\nFROM x\n");
    assert_eq!(file.arguments.len(), 1);
    assert_eq!(file.named("BASE", 1), Some(0));
    assert_eq!(file.named("base", 3), Some(2));
    assert_eq!(file.named("base", 0), None);
    assert_eq!(file.named_or_numbered("1", 3), Some(1));
    assert_eq!(file.named_or_numbered("3", 3), None);
}

#[test]
fn what_is_wrong_names_the_line() {
    for (text, words) in [
        ("", "file with no instructions"),
        ("# only\nARG a\n", "file with no instructions"),
        (
            "FROM x\nFOO bar\n",
            "dockerfile parse error on line 2: unknown instruction: FOO",
        ),
        (
            "RUN x\n",
            "dockerfile parse error on line 1: no build stage in current context",
        ),
        (
            "FROM a b\n",
            "dockerfile parse error on line 1: FROM requires either one or three arguments",
        ),
        (
            "FROM a AS 1x\n",
            "dockerfile parse error on line 1: invalid name for build stage: \"1x\", name can't start with a number or contain symbols",
        ),
        (
            "FROM x\n\nCOPY a\n",
            "dockerfile parse error on line 3: COPY requires at least two arguments, but only one was provided",
        ),
        (
            "FROM x\nENV\n",
            "dockerfile parse error on line 2: ENV requires at least one argument",
        ),
        (
            "FROM x\nSHELL bash\n",
            "dockerfile parse error on line 2: SHELL requires the arguments to be in JSON form",
        ),
    ] {
        assert_eq!(problem(text), words, "{text}");
    }
    assert_eq!(
        parse(b"FROM x\nRUN \xff\n").unwrap_err(),
        ParseError::NotText { line: 2 }
    );
}

#[test]
fn a_line_of_triggers_only_is_read_to_its_end() {
    let text = format!("FROM x\n{}RUN <<E\nx\nE\n", "ONBUILD ".repeat(400_000));
    assert_eq!(parsed(&text).stages[0].instructions[0].heredocs.len(), 1);
}
