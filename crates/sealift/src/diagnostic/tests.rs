use super::{catalogue::code, *};
use crate::report::style::Style;

fn refusal() -> Diagnostic {
    let at = Location { file: "sealift.yaml".to_owned(), line: 18, column: 7 };
    let mut refusal = Diagnostic::new("G008", "app for linux/amd64 is 1.2 GB compressed, 1GB are allowed")
        .at(at)
        .key("environments.production.gates.max_size")
        .found("largest layer: sha256:7a3f9c2e11b0, 700.1 MB")
        .state("nothing changed; production still runs 1.8.1")
        .note("12 of 14 layers are shared with what runs now")
        .next("make the image smaller (`docker history --no-trunc ghcr.io/acme/dotca` shows where the bytes are), or raise `max_size`")
        .next("`sealift explain G008`");
    refusal.excerpt = Some(Excerpt { line: "      max_size: 1GB".to_owned(), length: 8 });
    refusal
}

#[test]
fn an_error_reads_like_a_compilers() {
    insta::assert_snapshot!("refusal", refusal().render(&Style::plain()));
    insta::assert_snapshot!("refusal_60", refusal().render(&Style { width: 60, ..Style::plain() }));
    let colored = refusal().render(&Style { color: true, ..Style::plain() }).replace('\u{1b}', "ESC");
    insta::assert_snapshot!("refusal_colour", colored);
}

#[test]
fn the_json_form_says_the_same() {
    insta::assert_json_snapshot!("refusal_json", refusal().to_json());
    let bare = Diagnostic::new(code::E0001, "an internal error").to_json();
    assert_eq!(
        bare,
        serde_json::json!({"schema_version": 1, "code": "E0001", "title": "an internal error", "exit_code": 1})
    );
}

#[test]
fn foreign_text_is_shown_harmlessly_and_in_ascii_where_needed() {
    let title = "value `a\u{1b}[2J → b` is wrong";
    let text = Diagnostic::new(code::E0104, title).render(&Style { unicode: false, ..Style::plain() });
    assert_eq!(text, "error[E0104]: value `a\\u{1b}[2J -> b` is wrong\n");
}

#[test]
fn a_long_line_is_cut_around_the_mark_and_wide_characters_keep_it_in_place() {
    let shown = |line: &str, column: u32, length: usize| {
        let at = Location { file: "f".to_owned(), line: 3, column };
        let mut diagnostic = Diagnostic::new(code::E0104, "t").at(at);
        diagnostic.excerpt = Some(Excerpt { line: line.to_owned(), length });
        diagnostic.render(&Style { width: 40, ..Style::plain() })
    };
    let text = shown(&format!("{}HERE{}", "a".repeat(500), "b".repeat(500)), 501, 4);
    let lines: Vec<&str> = text.lines().collect();
    let marked: String = lines[3].chars().zip(lines[4].chars()).filter(|(_, m)| *m == '^').map(|(c, _)| c).collect();
    assert_eq!(marked, "HERE");
    assert!(lines.iter().all(|line| crate::report::text::width(line) <= 40), "{text}");
    insta::assert_snapshot!(shown("日本: x", 5, 1), @r"
    error[E0104]: t
      --> f:3:5
      |
    3 | 日本: x
      |       ^
    ");
}
