//! What tests that ran say about the boxes they covered: one small file for each box and test.

use std::path::{Path, PathBuf};

use sealift::diagnostic::catalogue;

/// A box of the flowcharts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WorkflowBox {
    /// Flowchart and letter, for instance `main.T`.
    pub(crate) id: String,
    /// Whether a test must end in it.
    pub(crate) must: bool,
    /// What happens there.
    pub(crate) text: String,
}

/// What a test found in the boxes that it went through.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Covered<'a> {
    /// The test, as the test harness calls it: `workflow::registry::…`.
    pub(crate) test: &'a str,
    /// The boxes.
    pub(crate) boxes: &'a [&'a str],
    /// How the promotion stood at the end, as `status` says it, for instance `failed`.
    pub(crate) state: &'a str,
    /// The code of the failure; empty if there is none.
    pub(crate) code: &'a str,
    /// The exit code of the command.
    pub(crate) exit: u8,
}

/// The boxes of `docs/workflow-boxes.txt`, in its order.
pub(crate) fn boxes() -> Vec<WorkflowBox> {
    let file = docs("workflow-boxes.txt");
    let text = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    lines.map(|line| parse(line).unwrap_or_else(|| panic!("id, `must` or `passes`, and text: {line}"))).collect()
}

fn parse(line: &str) -> Option<WorkflowBox> {
    let (id, rest) = line.split_once(char::is_whitespace)?;
    let (must, text) = rest.trim_start().split_once(char::is_whitespace)?;
    let must = match must {
        "must" => true,
        "passes" => false,
        _ => return None,
    };
    let text = text.trim().to_owned();
    (!text.is_empty()).then_some(WorkflowBox { id: id.to_owned(), must, text })
}

/// Says what a test covered. It stands at the end of the test, after every assertion.
#[track_caller]
pub(crate) fn covers(covered: Covered<'_>) {
    let Covered { test, boxes: ids, state, code, exit } = covered;
    let thread = std::thread::current();
    // With one thread for all tests, the harness runs them on its own.
    let running = thread.name().filter(|name| *name != "main").unwrap_or(test);
    assert_eq!(test, running, "a test covers boxes in its own name");
    assert!(code.is_empty() || catalogue::all().any(|(known, _)| known == code), "no such code: {code}");
    let known = boxes();
    for id in ids {
        assert!(known.iter().any(|known| known.id == *id), "no box `{id}` in docs/workflow-boxes.txt");
        let file = directory().join(format!("{id} {}", test.replace("::", ".")));
        write(&file, &format!("{test}\t{state}\t{code}\t{exit}\n"));
    }
}

/// Says that a test was skipped, so that nobody takes it for one that is missing.
pub(crate) fn skipped(test: &str, why: &str) {
    write(&directory().join("skipped").join(test.replace("::", ".")), why);
}

/// The tests that were skipped in this run.
pub(crate) fn all_skipped() -> Vec<String> {
    names(&directory().join("skipped"))
}

/// What was said about a box: test, state, code and exit code of each test that ran, in the order of the tests' names.
pub(crate) fn of(id: &str) -> Vec<[String; 4]> {
    let prefix = format!("{id} ");
    let files = names(&directory()).into_iter().filter(|name| name.starts_with(&prefix));
    let read = |name: String| {
        let text = std::fs::read_to_string(directory().join(name)).unwrap();
        let fields: Vec<String> = text.trim_end_matches('\n').split('\t').map(str::to_owned).collect();
        fields.try_into().unwrap_or_else(|fields| panic!("four fields: {fields:?}"))
    };
    files.map(read).collect()
}

/// A file of the documentation.
pub(crate) fn docs(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name)
}

/// The target directory that this test was built in.
pub(crate) fn target() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().to_owned()
}

fn directory() -> PathBuf {
    target().join("workflow-coverage")
}

/// The names in a directory, sorted; none if it is not there.
fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).into_iter().flatten();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn write(file: &Path, text: &str) {
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(file, text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
}
