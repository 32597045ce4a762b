//! `docs/glossary.md` sends readers to types and files that exist.

use std::path::Path;

#[test]
fn every_word_of_the_glossary_names_a_type_that_is_in_its_file() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    let page = std::fs::read_to_string(docs.join("glossary.md")).unwrap();
    let mut words = 0;
    for row in page.lines().filter(|line| line.starts_with("| *")) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [word, meaning, name, file] = cells[..] else { panic!("a row has word, meaning, type and file: {row}") };
        assert!(meaning.ends_with('.'), "{word}: {meaning}");
        let file = file.rsplit_once('(').unwrap().1.trim_end_matches(')');
        let text = std::fs::read_to_string(docs.join(file)).unwrap_or_else(|error| panic!("{word}: {file}: {error}"));
        let name = name.trim_matches('`');
        let declared = ["struct", "enum", "trait", "const"].iter().any(|kind| text.contains(&format!("{kind} {name}")));
        assert!(declared || text.contains(&format!("{name},\n")), "{word}: no `{name}` in {file}");
        words += 1;
    }
    assert!(words > 50, "{words} words were read");
}
