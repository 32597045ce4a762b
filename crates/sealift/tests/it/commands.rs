//! Every command line that the documentation, the messages and the remedies tell people to type is one that parses; and
//! every code can be explained by the program itself.

use std::{
    fmt::Write as _,
    fs,
    io::Write,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use clap::{CommandFactory, Parser, error::ErrorKind};
use sealift::{
    cli::{self, Cli},
    diagnostic::catalogue,
    shell::{Shell, Stream},
};

/// A command line as it stands in a file.
struct Found {
    place: String,
    text: String,
    /// Whether it is meant to be typed. In prose, a bare name speaks of the command as such.
    typed: bool,
}

/// What a placeholder may stand for, tried one after the other.
const VALUES: [&str; 7] = [
    "production",
    "17",
    "ghcr.io/acme/web",
    "ghcr.io/acme/web:main",
    "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "2030-01-01T00:00:00Z",
    "2h",
];

#[test]
fn every_command_line_that_people_are_told_to_type_parses() {
    let found = command_lines();
    assert!(found.len() > 150, "only {} command lines were found", found.len());
    let mut wrong = String::new();
    for line in &found {
        if let Err(why) = check(&line.text, line.typed) {
            writeln!(wrong, "{}: `{}`: {why}", line.place, line.text).unwrap();
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

#[test]
fn a_command_line_that_does_not_parse_is_noticed() {
    for (text, typed) in [
        ("sealift hold release production", false),
        ("sealift promote", true),
        ("sealift promte --to production", true),
        ("sealift promte", false),
        ("sealift freeze --lift", false),
        ("sealift approve ID --because x", true),
        ("sealift history --in", true),
    ] {
        assert!(check(text, typed).is_err(), "{text}");
    }
    for text in [
        "sealift promote",
        "sealift hold",
        "sealift …",
        "sealift promote --to <environment before>",
        "sealift promote --to …",
        "sealift hold release {scope} --reason \\\"…\\\"   # once it is in order",
        "sealift record build <repository>@{} --as VERSION",
        "sealift audit show | jq .",
        "sealift audit checkpoint > FILE",
        "sealift --version",
    ] {
        check(text, false).unwrap_or_else(|why| panic!("{text}: {why}"));
    }
}

#[test]
fn explain_prints_the_page_of_every_code_in_any_case_and_of_every_gate_by_name() {
    for (code, _) in catalogue::all() {
        let page = explain(code);
        assert!(page.starts_with(&format!("# {code}: ")), "{page}");
        assert_eq!(explain(&code.to_lowercase()), page);
    }
    for gate in sealift_domain::gate::ALL {
        let page = explain(gate.name);
        assert_eq!(page, explain(gate.code));
        assert!(page.contains("**Evidence.**") && page.contains("**Remedy"), "{page}");
        assert!(!page.contains("How to add a gate"), "{page}");
    }
}

/// What `sealift explain` prints, where there is no configuration.
fn explain(what: &str) -> String {
    let out = Written::default();
    let shell = Shell {
        variables: Default::default(),
        directory: PathBuf::from("/nonexistent"),
        stdout: Stream::new(out.clone()),
        stderr: Stream::new(out.clone()),
        stdout_terminal: None,
        stdin_terminal: false,
        stderr_terminal: None,
        program: PathBuf::from("sealift"),
        wrap_log: None,
    };
    let arguments = ["sealift", "explain", what].map(Into::into);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let exit = runtime.block_on(cli::run(arguments, &shell));
    let text = String::from_utf8(out.0.lock().unwrap().clone()).unwrap();
    assert_eq!(exit, 0, "{what}: {text}");
    text
}

#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(buf);
        Ok(buf.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Whether a command line parses, with something plausible for its placeholders.
fn check(text: &str, typed: bool) -> Result<(), String> {
    let words = words(text);
    if words.get(1).is_none_or(|word| matches!(word.as_str(), "…" | "...")) || (!typed && is_a_name(&words)) {
        return Ok(());
    }
    let mut why = try_all(&words)?;
    // At the end, `…` may also mean: and so on.
    if why.is_some() && words.last().is_some_and(|word| word == "…") {
        why = try_all(&words[..words.len() - 1])?;
    }
    why.map_or(Ok(()), Err)
}

/// Tries the values of the placeholders together; `None` if one of the combinations parses.
fn try_all(words: &[String]) -> Result<Option<String>, String> {
    let holes: Vec<usize> = (0..words.len()).filter(|i| is_placeholder(&words[*i])).collect();
    if holes.len() > 5 {
        return Err("it has too many placeholders to try".to_owned());
    }
    let mut why = String::new();
    for number in 0..VALUES.len().pow(u32::try_from(holes.len()).unwrap()) {
        let (mut line, mut rest) = (words.to_vec(), number);
        for hole in &holes {
            line[*hole] = VALUES[rest % VALUES.len()].to_owned();
            rest /= VALUES.len();
        }
        match Cli::try_parse_from(&line) {
            Ok(_) => return Ok(None),
            Err(e) if matches!(e.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => return Ok(None),
            Err(e) => why = e.to_string().lines().next().unwrap_or_default().to_owned(),
        }
    }
    Ok(Some(why))
}

/// Whether the words are nothing but the name of a command.
fn is_a_name(words: &[String]) -> bool {
    let root = Cli::command();
    let mut at = Some(&root);
    for word in &words[1..] {
        at = at.and_then(|command| command.find_subcommand(word));
    }
    at.is_some()
}

/// `<x>`, `{x}`, `IMAGE`, `IMAGE@sha256:…`: what is to be replaced by something.
fn is_placeholder(word: &str) -> bool {
    let letters: Vec<char> = word.chars().filter(|c| c.is_ascii_alphabetic()).collect();
    let shouted = letters.len() > 1 && letters.iter().all(char::is_ascii_uppercase);
    !word.starts_with('-') && (shouted || word.contains(['<', '{', '…']) || word.contains("..."))
}

/// The words of a command line as a shell would split it, without what follows the command.
fn words(text: &str) -> Vec<String> {
    let text = text.replace("\\\"", "\"");
    let mut words = vec![String::new()];
    let (mut quote, mut angles) = (None, false);
    for c in text.chars() {
        let ends_word = c.is_whitespace() && quote.is_none() && !angles;
        let fresh = words.last().is_some_and(String::is_empty);
        match c {
            _ if ends_word && !fresh => words.push(String::new()),
            _ if ends_word => {}
            '#' | '|' | ';' | '&' | '>' if quote.is_none() && !angles && fresh => break,
            '"' | '\'' if quote == Some(c) => quote = None,
            '"' | '\'' if quote.is_none() => quote = Some(c),
            '[' | ']' if quote.is_none() => {}
            _ => {
                angles = (angles || c == '<') && c != '>';
                words.last_mut().unwrap().push(c);
            }
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

fn command_lines() -> Vec<Found> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut files = Vec::new();
    for entry in fs::read_dir(root.join("crates")).unwrap() {
        collect(&entry.unwrap().path().join("src"), "rs", &mut files);
    }
    collect(&root.join("docs"), "md", &mut files);
    files.extend(["README.md", "CHANGELOG.md"].map(|name| root.join(name)).into_iter().filter(|path| path.exists()));
    files.sort();
    let mut found = Vec::new();
    for path in files {
        let text = fs::read_to_string(&path).unwrap();
        let place = path.strip_prefix(&root).unwrap().display().to_string();
        match path.extension().is_some_and(|extension| extension == "rs") {
            true => in_rust(&text, &place, &mut found),
            false => in_markdown(&text, &place, &mut found),
        }
    }
    found
}

fn collect(directory: &Path, extension: &str, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, extension, files);
        } else if path.extension().is_some_and(|found| found == extension) {
            files.push(path);
        }
    }
}

/// Between back-ticks in comments and strings; in strings also where one begins with a command, or says what is next.
fn in_rust(text: &str, place: &str, found: &mut Vec<Found>) {
    // A string may go on in the next line.
    let mut joined = String::new();
    for line in text.lines() {
        match line.strip_suffix('\\') {
            Some(part) => joined.push_str(part),
            None => writeln!(joined, "{line}").unwrap(),
        }
    }
    for line in joined.lines() {
        let typed = !line.trim_start().starts_with("//");
        let mut push = |text: &str| {
            // `sealift {again} …`: which command it is, the program decides.
            if !text.starts_with("sealift {") {
                found.push(Found { place: place.to_owned(), text: text.to_owned(), typed });
            }
        };
        for part in line.split('`').skip(1).filter(|part| part.starts_with("sealift ")) {
            push(part);
        }
        for start in ["\"sealift ", "next: sealift "].iter().flat_map(|start| line.match_indices(start)) {
            let rest = &line[start.0 + start.1.len() - "sealift ".len()..];
            let closed = rest.replace("\\\"", "\u{1}");
            let end = closed.find(['"', '\\']).unwrap_or(closed.len());
            push(&closed[..end].replace('\u{1}', "\""));
        }
    }
}

/// Between back-ticks, and lines of code blocks that begin with the program's name or a prompt before it.
fn in_markdown(text: &str, place: &str, found: &mut Vec<Found>) {
    let mut typed = false;
    let (mut fenced, mut prose) = (false, String::new());
    let spans = |prose: &mut String, typed: bool, found: &mut Vec<Found>| {
        for part in prose.split('`').skip(1).step_by(2).filter(|part| part.starts_with("sealift ")) {
            found.push(Found { place: place.to_owned(), text: part.to_owned(), typed });
        }
        prose.clear();
    };
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if fenced {
            let line = line.trim().trim_start_matches("$ ");
            if line.starts_with("sealift ") {
                found.push(Found { place: place.to_owned(), text: line.to_owned(), typed: true });
            }
        } else if line.trim().is_empty() || line.starts_with('#') {
            spans(&mut prose, typed, found);
            if line.starts_with('#') {
                typed = line == "## What to do";
            }
        } else {
            prose.push_str(line.trim());
            prose.push(' ');
        }
    }
    spans(&mut prose, typed, found);
}
