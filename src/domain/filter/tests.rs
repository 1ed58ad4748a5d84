use super::*;

fn asks(filter: &str) -> Vec<(bool, TermAsk)> {
    let filter = SearchFilter::parse(filter).unwrap_or_else(|flaw| panic!("{filter}: {flaw:?}"));
    filter.terms.into_iter().map(|term| (term.negated, term.asks)).collect()
}

/// What a filter of one term asks.
fn one(filter: &str) -> TermAsk {
    let mut asks = asks(filter);
    assert_eq!(asks.len(), 1, "{filter}");
    asks.remove(0).1
}

fn numbers(low: f64, high: f64) -> NumberRange {
    NumberRange { low, high }
}

#[test]
fn terms_are_what_they_say() {
    let text = str::to_owned;
    let (least, most) = (f64::NEG_INFINITY, f64::INFINITY);
    let field = |name: &str, number, text: Option<&str>| TermAsk::Field {
        name: name.to_owned(),
        number,
        text: text.map(str::to_owned),
    };
    let md5 = ContentMd5([0x9e; 16]);
    let hex = "9e".repeat(16);
    let cases = [
        ("beach", TermAsk::Words(text("beach"))),
        ("\"two words\"", TermAsk::Words(text("two words"))),
        ("\"a \\\"b\\\" \\\\ c:\\d\"", TermAsk::Words(text("a \"b\" \\ c:\\d"))),
        ("写真家", TermAsk::Words(text("写真家"))),
        ("50%_\\", TermAsk::Words(text("50%_\\"))),
        ("name:a=b:c", TermAsk::Name(text("a=b:c"))),
        ("text:\"street sign\"", TermAsk::Text(text("street sign"))),
        ("label:person", TermAsk::Label { label: text("person"), score: None }),
        ("label:person>=0.6", TermAsk::Label { label: text("person"), score: Some(numbers(0.6, most)) }),
        (
            "label:\"traffic light\"<=0.5",
            TermAsk::Label { label: text("traffic light"), score: Some(numbers(least, 0.5)) },
        ),
        ("label:car<0.5", TermAsk::Label { label: text("car"), score: Some(numbers(least, 0.5_f64.next_down())) }),
        ("model:ocr", TermAsk::Model(text("ocr"))),
        ("faces>1", field("faces", Some(numbers(1_f64.next_up(), most)), None)),
        ("faces=2", field("faces", Some(numbers(2.0, 2.0)), Some("2"))),
        ("faces=\"2\"", field("faces", None, Some("2"))),
        ("camera_side=left", field("camera_side", None, Some("left"))),
        ("note=\"\"", field("note", None, Some(""))),
        ("\"a field\"<-1e3", field("a field", Some(numbers(least, (-1000_f64).next_down())), None)),
        ("\"width\">=5", field("width", Some(numbers(5.0, most)), None)),
        ("width>=1000", TermAsk::Measure(Measure::Width, numbers(1000.0, most))),
        ("bytes<1e6", TermAsk::Measure(Measure::Bytes, numbers(least, 1e6_f64.next_down()))),
        ("type:JPG", TermAsk::Type(text("image/jpeg"))),
        ("case:\"Old Harbour\"", TermAsk::Case(text("Old Harbour"))),
        ("tag:x", TermAsk::Tag(text("x"))),
        ("by:anna", TermAsk::By(text("anna"))),
        ("camera:canon", TermAsk::Camera(text("canon"))),
        ("after:1970-01-02", TermAsk::Uploaded(numbers(86_400.0, most))),
        ("before:1970-01-01T02:00:00+01:00", TermAsk::Uploaded(numbers(least, 3600_f64.next_down()))),
        ("taken-after:1970-01-01T00:01", TermAsk::Taken(numbers(60.0, most))),
        ("is:failed", TermAsk::State { state: JobState::Failed, model: None }),
        ("queued:ocr", TermAsk::State { state: JobState::Queued, model: Some(text("ocr")) }),
        (&format!("similar:{hex}"), TermAsk::Similar { md5, bits: 8 }),
        (&format!("similar:{}<=3", hex.to_uppercase()), TermAsk::Similar { md5, bits: 3 }),
        (&format!("like:{hex}"), TermAsk::Like(md5)),
    ];
    for (filter, expected) in cases {
        assert_eq!(one(filter), expected, "{filter}");
    }
}

#[test]
fn terms_stand_side_by_side_and_may_be_negated() {
    assert_eq!(asks(""), []);
    assert_eq!(asks(" \t "), []);
    let filter = SearchFilter::parse("  label:person -label:car\t-\"two words\" -faces>=1").expect("a filter");
    let places: Vec<(usize, bool)> = filter.terms.iter().map(|term| (term.place, term.negated)).collect();
    assert_eq!(places, [(3, false), (16, true), (27, true), (40, true)]);
    assert_eq!(one("semi-negated"), TermAsk::Words("semi-negated".to_owned()));
}

#[test]
fn what_does_not_hold_is_told_with_its_character() {
    let long = format!("beach {}", "x".repeat(FILTER_BYTES_MAX));
    let many = "beach ".repeat(TERMS_MAX + 1);
    let hex = "9e".repeat(16);
    let two = format!("similar:{hex} like:{hex}");
    let cases = [
        ("lable:person", 1, "did you mean `label:`"),
        ("beach http://x", 7, "no key is `http:`; keys are label, model, "),
        ("label:", 7, "missing"),
        ("label: person", 7, "missing"),
        ("label:person>=", 15, "missing"),
        ("label:person>=high", 15, "`high` is no number"),
        ("label:person>=nan", 15, "no number"),
        ("faces>=many", 8, "no number"),
        ("faces=>3", 7, "one sign too many"),
        (">=3", 1, "missing before `>`"),
        (":x", 1, "missing before `:`"),
        ("- beach", 1, "negate"),
        ("--beach", 1, "negate"),
        ("beach \"sea", 7, "not closed"),
        ("\"sea\"side", 6, "a blank is missing before `s`"),
        ("sea\"side\"", 4, "a blank is missing"),
        ("\"\"", 1, "nothing between"),
        ("tag:\" \"", 5, "nothing between"),
        ("text:ab", 6, "too short"),
        ("é日", 1, "too short"),
        ("model:OCR", 7, "no model's name"),
        ("is:lost", 4, "queued, running, succeeded, failed, cancelled"),
        ("type:svg", 6, "jpeg"),
        ("after:yesterday", 7, "no day"),
        ("after:2026-02-30", 7, "no day"),
        ("after:+10000-01-01", 7, "no day"),
        ("taken-after:2026-01-01T00:00:00Z", 13, "no day"),
        ("width>=wide", 8, "no number"),
        ("similar:9e10", 9, "MD5"),
        (&format!("similar:{hex}>=3"), 43, "at most"),
        (&format!("similar:{hex}<=12"), 43, "0 to 11"),
        (&format!("-similar:{hex}"), 1, "negated"),
        (&two, 42, "only one"),
        ("日本語 é\0", 6, "not to be seen"),
        ("beach\u{202e}", 6, "not to be seen"),
        (&long, 1, "4096"),
        (&many, 6 * TERMS_MAX + 1, "one term too many"),
    ];
    for (filter, place, why) in cases {
        let flaw = SearchFilter::parse(filter).expect_err(filter);
        assert_eq!(flaw.place, place, "{filter}: {}", flaw.why);
        assert!(flaw.why.contains(why), "{filter}: {}", flaw.why);
    }
}
