//! Labels as builders write them, and what follows from them.

use super::*;
use crate::testing::digest;

fn schema(at: u64, from: u64) -> Schema {
    Schema::new(at, from).unwrap()
}

fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn platform(name: &str, pairs: &[(&str, &str)]) -> PlatformImage {
    PlatformImage {
        platform: name.into(),
        digest: digest(name),
        config: None,
        compressed_bytes: 1,
        layers: 1,
        missing: Vec::new(),
        labels: labels(pairs),
        created: None,
    }
}

fn image(platforms: Vec<PlatformImage>) -> Image {
    Image { digest: digest("image"), media_type: "m".into(), platforms, annotations: BTreeMap::new() }
}

#[test]
fn labels_read_as_they_are_meant_or_not_at_all() {
    let read = |at: Option<&str>, from: Option<&str>| {
        let pairs: Vec<_> =
            at.map(|at| (SCHEMA_LABEL, at)).into_iter().chain(from.map(|m| (COMPATIBLE_LABEL, m))).collect();
        Schema::of_labels(&labels(&pairs))
    };
    assert_eq!(read(None, None), Ok(None));
    assert_eq!(read(Some("8"), None), Ok(Some(schema(8, 8))));
    assert_eq!(read(Some("8"), Some("7")), Ok(Some(schema(8, 7))));
    assert_eq!(read(Some("20261121093000"), Some("0")), Ok(Some(schema(20_261_121_093_000, 0))));
    assert_eq!(read(Some("0042"), None), Ok(Some(schema(42, 42))));
    for garbage in ["", " 8", "8 ", "+8", "-1", "8.0", "v8", "0x8", "٨", "18446744073709551616"] {
        let refused = |label| Err(SchemaError::NoNumber { label, text: garbage.to_owned() });
        assert_eq!(read(Some(garbage), None), refused(SCHEMA_LABEL));
        assert_eq!(read(Some("8"), Some(garbage)), refused(COMPATIBLE_LABEL));
    }
    assert_eq!(read(None, Some("7")), Err(SchemaError::Alone));
    assert_eq!(read(Some("8"), Some("9")), Err(SchemaError::Newer { at: 8, compatible_from: 9 }));
}

#[test]
fn every_platform_of_an_image_says_the_same() {
    let eight = || platform("linux/amd64", &[(SCHEMA_LABEL, "8")]);
    assert_eq!(Schema::of_image(&image(vec![])), Ok(None));
    assert_eq!(
        Schema::of_image(&image(vec![eight(), platform("linux/arm64", &[(SCHEMA_LABEL, "8")])])),
        Ok(Some(schema(8, 8)))
    );
    for other in [&[][..], &[(SCHEMA_LABEL, "9")], &[(SCHEMA_LABEL, "8"), (COMPATIBLE_LABEL, "7")]] {
        let refused = Schema::of_image(&image(vec![eight(), platform("linux/arm64", other)])).unwrap_err();
        assert_eq!(refused.to_string(), "its labels for linux/amd64 and for linux/arm64 differ");
    }
    let lost = PlatformImage { missing: vec![digest("configuration")], ..platform("linux/amd64", &[]) };
    assert_eq!(Schema::of_image(&image(vec![lost])), Err(SchemaError::NoConfiguration("linux/amd64".into())));
}

#[test]
fn a_database_serves_from_the_oldest_compatible_schema_up_to_its_own() {
    let database = schema(8, 6);
    let served: Vec<u64> = (0..12).filter(|at| database.serves(Some(schema(*at, 0)))).collect();
    assert_eq!(served, [6, 7, 8]);
    assert!(!database.serves(None) && schema(8, 0).serves(None), "no label is older than every number but 0");
    assert!(!Expected::Unreadable("gone".into()).works_on(schema(8, 0)));
}

#[test]
fn the_newest_schema_wins_and_of_the_same_the_last_word() {
    assert_eq!(schema(8, 7).after(None), schema(8, 7));
    assert_eq!(schema(8, 7).after(Some(schema(7, 7))), schema(8, 7));
    assert_eq!(schema(7, 6).after(Some(schema(8, 7))), schema(8, 7));
    assert_eq!(schema(8, 7).after(Some(schema(8, 8))), schema(8, 7));
}

#[test]
fn an_outlook_tells_where_the_database_goes_and_whether_the_live_release_can_come_back() {
    let words = |before, candidate, live| Outlook::new(before, candidate, live).map(|outlook| outlook.to_string());
    assert_eq!(words(None, None, Some(None)), None);
    assert_eq!(
        words(Some(schema(7, 7)), Some(schema(8, 8)), Some(Some(schema(7, 7)))).unwrap(),
        "database 7 → 8; no automatic way back for the live release (schema 7)"
    );
    assert_eq!(
        words(Some(schema(7, 7)), Some(schema(8, 7)), Some(Some(schema(7, 7)))).unwrap(),
        "database 7 → 8; the live release (schema 7) works on it too"
    );
    assert_eq!(
        words(None, Some(schema(1, 1)), Some(None)).unwrap(),
        "database at 1; no automatic way back for the live release (no schema on record)"
    );
    assert!(words(Some(schema(8, 7)), Some(schema(7, 7)), None).unwrap().starts_with("database stays at 8;"));
}

#[test]
fn the_json_form_is_checked_when_it_is_read() {
    let text = r#"{"at":8,"compatible_from":7}"#;
    assert_eq!(serde_json::to_string(&schema(8, 7)).unwrap(), text);
    assert_eq!(serde_json::from_str::<Schema>(text).unwrap(), schema(8, 7));
    assert!(serde_json::from_str::<Schema>(r#"{"at":7,"compatible_from":8}"#).is_err());
}

#[test]
fn the_choices_name_every_command() {
    let to = "production".parse().unwrap();
    let after = |previous| AfterMigration { database: schema(8, 8), previous };
    let words = after(Expected::Schema(schema(7, 7))).choices(&to);
    for command in [
        "`sealift hold release production --reason \"…\"`",
        "`sealift promote --to production`",
        "`sealift record database --in production --schema 7 --reason \"…\"`",
        "`sealift rollback --in production`",
        "dev.sealift.schema.compatible-from=7",
    ] {
        assert!(words.contains(command), "{command}: {words}");
    }
    assert!(after(Expected::Nothing).choices(&to).contains("carries no label dev.sealift.schema"));
    assert!(after(Expected::Unreadable("404".into())).choices(&to).contains("--schema NUMBER"));
    assert!(!after(Expected::Nothing).is_open() && after(Expected::Schema(schema(8, 0))).is_open());
}
