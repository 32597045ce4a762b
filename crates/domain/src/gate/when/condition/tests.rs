use proptest::prelude::*;

use super::*;

fn condition(source: &str) -> Result<Condition, String> {
    Condition::try_from(source.to_owned())
}

#[test]
fn a_condition_is_read_once_and_what_is_wrong_has_its_place() {
    for good in [
        "true",
        "now.weekday < 5 || kind == 'rollback'",
        "image.platforms.all(p, p.labels['org.opencontainers.image.source'].startsWith('https://'))",
        "image.platforms.exists(p, image.platforms.all(q, p.size >= q.size))",
        "size(image.platforms.filter(p, p.platform == 'linux/arm64')) == 1",
        "has(build.version) && build.version in ['1.0', '1.1']",
        "type(from) == null_type || from == 'staging'",
        "now.unix - build.recorded_at.unix > 3600 ? true : false",
        "evidence.vulnerabilities.critical + evidence.vulnerabilities.high == 0",
    ] {
        assert!(condition(good).is_ok(), "{good}: {:?}", condition(good));
    }
    let deep = format!("{}true{}", "(".repeat(65), ")".repeat(65));
    let long = format!("true{}", " ".repeat(1024));
    for (bad, why) in [
        ("", "empty"),
        (" ", "empty"),
        ("now.weekday <", "line 1 column 1"),
        ("true && && true", "line 1 column"),
        ("imag.size > 1", "there is no variable `imag`"),
        ("image.platforms.all(p, q.size > 1)", "there is no variable `q`"),
        ("matches(to, '.*')", "there is no function `matches`"),
        ("true || launch()", "there is no function `launch`"),
        ("Foo{a: 1} == 1", "cannot"),
        ("image.platforms.all(a, [1].all(b, [1].all(c, true)))", "in or behind one another"),
        ("[1].filter(x, true).filter(x, true).filter(x, true) == []", "in or behind one another"),
        ("['a'].map(x, x + x) == ['']", "there is no `map`"),
        ("['a'].map // of\n (x, x) == ['']", "there is no `map`"),
        (deep.as_str(), "brackets"),
        (long.as_str(), "longer than"),
    ] {
        let error = condition(bad).unwrap_err();
        assert!(error.contains(why), "{bad}: {error}");
    }
}

#[test]
fn two_conditions_are_equal_if_they_are_written_alike() {
    assert_eq!(condition("to == 'a'"), condition("to == 'a'"));
    assert_ne!(condition("to == 'a'"), condition("to  == 'a'"));
    let text = serde_json::to_string(&condition("to == 'a'").unwrap()).unwrap();
    assert_eq!(serde_json::from_str::<Condition>(&text).unwrap(), condition("to == 'a'").unwrap());
    assert!(condition("evidence.sbom").unwrap().asks_for_evidence() && !condition("true").unwrap().asks_for_evidence());
}

#[test]
fn the_deepest_texts_within_the_bounds_do_not_break_the_interpreter() {
    let nested = |open: &str, close: &str, times: usize| format!("{}1{}", open.repeat(times), close.repeat(times));
    for (what, source) in [
        ("a sum", vec!["1"; 512].join("+")),
        ("a comparison", vec!["1"; 512].join("<")),
        ("a choice", format!("{}1", "true?1:".repeat(146))),
        ("calls", format!("to{}", ".size()".repeat(64))),
        ("indices", format!("to{}", "[0]".repeat(64))),
        ("selections", format!("to{}", ".a".repeat(511))),
        ("negations", format!("{}true", "!".repeat(1020))),
        ("signs", format!("{}1", "-".repeat(1023))),
        ("parentheses", nested("(", ")", 64)),
        ("lists", nested("[", "]", 64)),
        ("maps", nested("{1:", "}", 64)),
        ("open brackets", "[".repeat(64)),
        ("all", nested("[1].all(x,", ")", 32)),
        ("everything", format!("{}{}{}", "(".repeat(64), vec!["1"; 447].join("+"), ")".repeat(64))),
    ] {
        assert!(source.len() <= MAX_LENGTH, "{what}");
        let error = condition(&source).err().unwrap_or_default();
        assert!(!error.contains("broke off") && !error.contains("no thread"), "{what}: {error}");
        let answers = evaluate(&[Condition { source, names: BTreeSet::new() }], &super::super::variables::sample());
        assert!(!matches!(&answers[0], Answer::Neither(why) if why.contains("broke off")), "{what}: {answers:?}");
    }
}

#[test]
fn the_longest_loops_within_the_bounds_come_to_an_end() {
    let list = |letter: &str| format!("[{}]", vec![letter; 60].join(","));
    for source in [
        format!("{}.all(x, {}.all(y, x + y > 0))", list("1"), list("2")),
        format!("{}.all(x, {}.all(y, [image, image, image] != []))", list("1"), list("2")),
        format!("{}.filter(x, {}.exists_one(y, x == y)).size() == 0", list("1"), list("2")),
    ] {
        let asked = condition(&source).unwrap();
        let answers = evaluate(&[asked], &super::super::variables::sample());
        assert!(!matches!(&answers[0], Answer::Neither(why) if why.contains("broke off")), "{answers:?}");
    }
}

/// Texts that look like conditions.
fn text() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec![
        "image",
        "now",
        "to",
        ".",
        ".",
        "size",
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        "'",
        "\"",
        ",",
        "all",
        "exists",
        "map",
        "x",
        "==",
        "&&",
        "||",
        "!",
        "?",
        ":",
        "-",
        "+",
        "1",
        "1u",
        "0.5",
        "true",
        "null",
        "in",
        "b'",
        "r'",
        "\\",
        "`",
        "\u{0}",
        "ü",
        " ",
        "//",
        "has",
        "platforms",
    ]);
    prop::collection::vec(word, 0..40).prop_map(|words| words.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_text_breaks_the_interpreter(source in text()) {
        let error = condition(&source).err().unwrap_or_default();
        prop_assert!(!error.contains("broke off"), "{}", error);
        if error.is_empty() {
            let condition = condition(&source).unwrap();
            let answers = evaluate(&[condition], &super::super::variables::sample());
            prop_assert!(!matches!(&answers[0], Answer::Neither(why) if why.contains("broke off")), "{:?}", answers);
        }
    }
}
