use super::*;

fn normal(posted: &str) -> Result<String, Fault> {
    let posted: &RawValue = serde_json::from_str(posted).expect("JSON");
    normalise(posted, 4096, Some(Upright { width: 200.0, height: 100.0 }))
}

#[test]
fn every_posted_shape_becomes_the_document() {
    let cases = [
        (r#"{"items": [], "summary": "x"}"#, r#"{"items":[],"fields":{},"summary":"x"}"#),
        (
            r#"{"fields":{"n":18446744073709551617},"items":null,"summary":null}"#,
            r#"{"items":[],"fields":{"n":18446744073709551617},"summary":null}"#,
        ),
        (
            r#"{"classes": ["cat"], "result": {"n": 1}}"#,
            r#"{"items":[{"type":"label","label":"cat"}],"fields":{"n": 1},"summary":null}"#,
        ),
        (r#"{"classes":["a","b"],"result":3}"#, {
            r#"{"items":[{"type":"label","label":"a"},{"type":"label","label":"b"}],"fields":{"value":3},"summary":null}"#
        }),
        (r#""text""#, r#"{"items":[],"fields":{"value":"text"},"summary":null}"#),
        (r#"{"a":1}"#, r#"{"items":[],"fields":{"value":{"a":1}},"summary":null}"#),
        (r#"{"items":3,"a":1}"#, r#"{"items":[],"fields":{"value":{"items":3,"a":1}},"summary":null}"#),
        ("{ }", r#"{"items":[],"fields":{"value":{ }},"summary":null}"#),
        ("[[]]", r#"{"items":[],"fields":{"value":[[]]},"summary":null}"#),
        ("[[],{},null]", r#"{"items":[],"fields":{"value":[[],{},null]},"summary":null}"#),
    ];
    for (posted, kept) in cases {
        assert_eq!(normal(posted).as_deref(), Ok(kept), "{posted}");
    }
    let pixels = r#"{"items":[{"type":"box","box":[0,25,50,100],"unit":"px","label":"a"},{"type":"new","box":[9],"unit":"px"}]}"#;
    let converted = concat!(
        r#"{"items":[{"box":[0.0,0.25,0.25,1.0],"label":"a","type":"box"},{"type":"new","box":[9],"unit":"px"}],"#,
        r#""fields":{},"summary":null}"#
    );
    assert_eq!(normal(pixels).as_deref(), Ok(converted));
    let written = r#"{"items":[{"box":[0,0.1,0.5,1],"type":"box","\u0061":[{}]}],"fields":{},"summary":"\"é\""}"#;
    assert_eq!(normal(written).as_deref(), Ok(written));
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    let long = format!("{{\"summary\":\"{}\"}}", "é".repeat(SUMMARY_CHARS_MAX + 1));
    let large = format!("{{\"fields\":{{\"a\":\"{}\"}}}}", "x".repeat(5000));
    let grown = format!("{{\"classes\":[{}\"b\"]}}", "\"a\",".repeat(500));
    for (posted, code, pointer) in [
        (
            r#"{"items":[{"type":"label","label":"a"},{"type":"box","box":[0.5,0.1,0.4,0.2]}]}"#,
            "invalid_result",
            "/items/1/box",
        ),
        (r#"{"items":[{"type":"box","box":[0.1,0.1,1.4,0.2]}]}"#, "invalid_result", "/items/0/box"),
        (r#"{"items":[{"type":"box","box":[0.1,0.1,0.4,0.2,1]}]}"#, "invalid_result", "/items/0/box"),
        (r#"{"items":[{"type":"box"}]}"#, "invalid_result", "/items/0/box"),
        (r#"{"items":[{"type":"box","box":[0,0,300,1],"unit":"px"}]}"#, "invalid_result", "/items/0/box"),
        (r#"{"items":[{"type":"box","box":[0,0,9,9],"unit":"cm"}]}"#, "invalid_result", "/items/0/unit"),
        (r#"{"items":[{"type":"label"}]}"#, "invalid_result", "/items/0/label"),
        (r#"{"items":[{"type":"label","label":"a\nb"}]}"#, "invalid_result", "/items/0/label"),
        (r#"{"items":[{"type":"label","label":"a","score":1.2}]}"#, "invalid_result", "/items/0/score"),
        (r#"{"items":[{"type":"label","label":"a","score":"1"}]}"#, "invalid_result", "/items/0/score"),
        (r#"{"items":[{"type":"text"}]}"#, "invalid_result", "/items/0/text"),
        (r#"{"items":[{"type":"text","text":"a","polygon":[[0,2]]}]}"#, "invalid_result", "/items/0/polygon"),
        (r#"{"items":[{"type":"points","points":[]}]}"#, "invalid_result", "/items/0/points"),
        (r#"{"items":[{"type":"embedding","space":"s"}]}"#, "invalid_result", "/items/0/values"),
        (r#"{"items":[{"type":"embedding","space":"s","values":[1,null]}]}"#, "invalid_result", "/items/0/values"),
        (r#"{"items":[{"type":"embedding","space":"s","values":[1],"dim":2}]}"#, "invalid_result", "/items/0/dim"),
        (r#"{"items":[{"type":"embedding","values":[1]}]}"#, "invalid_result", "/items/0/space"),
        (r#"{"items":[{"type":"hash","value":"00"}]}"#, "invalid_result", "/items/0/algo"),
        (r#"{"items":[{"type":"hash","algo":"phash64","value":0}]}"#, "invalid_result", "/items/0/value"),
        (r#"{"items":[{"type":"file"}]}"#, "invalid_result", "/items/0/name"),
        (r#"{"items":[{"type":"file","name":"a","media_type":7}]}"#, "invalid_result", "/items/0/media_type"),
        (r#"{"classes":["a",7]}"#, "invalid_result", "/classes/1"),
        (r#"{"fields":{"":1}}"#, "invalid_result", "/fields/"),
        (r#"{"items":[{"type":3}]}"#, "invalid_result", "/items/0"),
        (r#"{"items":[["box",[0,0,1,1]]]}"#, "invalid_result", "/items/0"),
        (r#"{"items":[3]}"#, "invalid_result", "/items/0"),
        (r#"{"items":{}}"#, "invalid_result", "/items"),
        (r#"{"fields":[]}"#, "invalid_result", "/fields"),
        (r#"{"summary":7}"#, "invalid_result", "/summary"),
        (&long, "invalid_result", "/summary"),
        (&large, "result_too_large", ""),
        (&grown, "result_too_large", ""),
        (r#"{"fields":{"a":"\u0000"}}"#, "nul_character", ""),
        (r#"{"fields":{"a":1,"a":2}}"#, "duplicate_key", ""),
        (r#"{"items":[],"items":[]}"#, "duplicate_key", ""),
        (r#""\udc00""#, "invalid_result", ""),
        ("1e999", "invalid_result", ""),
        (&"[".repeat(33).chars().chain("]".repeat(33).chars()).collect::<String>(), "too_deep", ""),
    ] {
        let fault = normal(posted).expect_err(posted);
        let at: Vec<&str> = fault.errors.iter().map(|e| e.pointer.as_str()).collect();
        assert_eq!((fault.code.as_str(), at), (code, vec![pointer]), "{posted}");
    }
}

#[test]
fn what_is_searched_is_written_down() {
    let rows = |posted: &str| {
        let posted: &RawValue = serde_json::from_str(posted).expect("JSON");
        said(&normalise(posted, 1 << 20, None).expect("a result"))
    };
    let row = |place, kind, label: &str, value, text: Option<&str>| {
        let label = (!label.is_empty()).then(|| label.to_owned());
        ItemRow { place, kind, label, value, text: text.map(str::to_owned) }
    };
    let posted = r#"{"items":[{"type":"box","box":[0,0,1,1],"label":"face","score":0.5},{"type":"new"},{"type":"text","text":"a b"},
        {"type":"hash","algo":"phash64","value":"0f"},{"type":"embedding","space":"s","values":[1]}],
        "fields":{"faces":1,"blurred":true,"list":[1],"make":"Canon","none":null},"summary":null}"#;
    let expected = [
        row(0, "box", "face", Some(0.5), None),
        row(2, "text", "", None, Some("a b")),
        row(3, "hash", "phash64", None, Some("0f")),
        row(-1, "field", "blurred", None, Some("true")),
        row(-2, "field", "faces", Some(1.0), None),
        row(-3, "field", "make", None, Some("Canon")),
    ];
    assert_eq!(rows(posted), expected);
    let scored = |n: usize| format!(r#"{{"type":"label","label":"l{n}","score":{}}}"#, n as f64 / 1000.0);
    let many: Vec<String> = (0..ITEMS_INDEXED_MAX + 50).map(scored).collect();
    let kept = rows(&format!(r#"{{"items":[{{"type":"label","label":"no score"}},{}]}}"#, many.join(",")));
    assert_eq!(kept.len(), ITEMS_INDEXED_MAX);
    assert_eq!((kept[0].place, kept[ITEMS_INDEXED_MAX - 1].place), (150, 51), "those of the highest scores");
    assert_eq!(rows("7"), [row(-1, "field", "value", Some(7.0), None)]);
}
