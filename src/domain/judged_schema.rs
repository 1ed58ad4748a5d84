//! The JSON Schemas (draft 2020-12) that values are judged by: results by that of a version of their model, the parameters of a run by
//! that of its dataset. Each is admitted first: it is small enough that no value takes long.
//!
//! A schema for results is judged by whole: a keyword that [`judge`](super::judge) does not know is refused when it is registered, so that
//! nothing is asked that nobody checks. Of one for parameters, what is not known here is left to the service, which checks again.

use regex::RegexBuilder;
use serde_json::Value;

use super::fault::{Code, Fault};
use super::json::malformed;
use super::judge::{JUDGED, Judge, Miss, MissOf};
use super::name::{nearest, shorten};
use super::schema::below;

/// How many parts a schema may have, each counted as often as it is referred to: a value is compared with all of them.
const PARTS_MAX: usize = 1_000;
/// How deep its parts may lie in one another, references followed: both to admit and to judge goes as deep on the stack.
const DEPTH_MAX: usize = 64;
/// How many patterns a schema may have, and how large each may be when it is ready, in bytes: they are kept so.
const PATTERNS_MAX: usize = 20;
const PATTERN_BYTES_MAX: usize = 1 << 20;
/// What says nothing of a value.
const REMARKS: [&str; 12] = [
    "$schema",
    "$comment",
    "$defs",
    "title",
    "description",
    "format",
    "default",
    "examples",
    "deprecated",
    "readOnly",
    "writeOnly",
    "$vocabulary",
];

/// A schema ready to judge.
#[derive(Debug, Default)]
pub struct JudgedSchema {
    judge: Judge,
    parts: usize,
    /// Whether all that it asks is judged here.
    whole: bool,
}

impl JudgedSchema {
    /// One for results, whose form was checked; a fault names the place of what cannot be judged by.
    pub fn for_results(schema: Value) -> Result<Self, Fault> {
        Self { whole: true, ..Self::default() }.ready(schema)
    }

    /// One for the parameters of runs, whose form was checked; a fault names the place where it is too large.
    pub fn for_params(schema: Value) -> Result<Self, Fault> {
        Self::default().ready(schema)
    }

    /// With how many parts a value is compared.
    pub const fn parts(&self) -> usize {
        self.parts
    }

    /// Whether a result holds to it; the fault names the place in the result.
    pub fn check_result(&self, document: &str) -> Result<(), Fault> {
        let document: Value = serde_json::from_str(document).map_err(|why| malformed(&why))?;
        self.judge.check(&document).map_err(|Miss { pointer, why, .. }| {
            let detail = format!("{pointer} is not as the model's result_schema asks: {why}.");
            Fault::new(Code::InvalidResult, detail).on(pointer)
        })
    }

    /// Whether the parameters of a run hold to it; the fault names the place among them.
    pub fn check_params(&self, params: &Value) -> Result<(), Fault> {
        self.judge.check(params).map_err(|Miss { pointer, why, of }| {
            let (pointer, why) = match of {
                MissOf::Unknown(known) => return unknown(&pointer, &known),
                MissOf::Missing(name) => (below(&pointer, &name), "it is missing".to_owned()),
                MissOf::Value => (pointer, why),
            };
            let detail = format!("{} is not as the dataset asks: {why}.", pointer.trim_start_matches('/'));
            Fault::new(Code::InvalidField, detail)
                .mend("Choose what GET /training/datasets shows under `params_schema`.")
                .on(pointer)
        })
    }

    fn ready(mut self, schema: Value) -> Result<Self, Fault> {
        self.admit(&schema, &schema, "", 0)?;
        self.judge.root = schema;
        Ok(self)
    }

    fn admit(&mut self, schema: &Value, root: &Value, at: &str, depth: usize) -> Result<(), Fault> {
        self.parts += 1;
        if self.parts > PARTS_MAX {
            return Err(refused(at, &format!("it has more than {PARTS_MAX} parts")));
        }
        if depth > DEPTH_MAX {
            return Err(refused(at, &format!("it is nested deeper than {DEPTH_MAX} levels, or refers to itself")));
        }
        let deeper = depth + 1;
        for (keyword, value) in schema.as_object().into_iter().flatten() {
            let place = below(at, keyword);
            match (keyword.as_str(), value) {
                ("$ref", Value::String(target)) => {
                    match target.strip_prefix('#').and_then(|pointer| root.pointer(pointer)) {
                        Some(there) => self.admit(there, root, &place, deeper)?,
                        None => self.leave(&place, "it is not the place of a schema within this one, `#/…`")?,
                    }
                }
                ("pattern", Value::String(pattern)) => self.prepare(pattern, &place)?,
                ("items" | "additionalProperties" | "not", inner) => self.admit(inner, root, &place, deeper)?,
                ("allOf" | "anyOf" | "oneOf" | "prefixItems", Value::Array(schemas)) => {
                    for (n, inner) in schemas.iter().enumerate() {
                        self.admit(inner, root, &format!("{place}/{n}"), deeper)?;
                    }
                }
                ("properties", Value::Object(schemas)) => {
                    for (name, inner) in schemas {
                        self.admit(inner, root, &below(&place, name), deeper)?;
                    }
                }
                ("enum" | "required", Value::Array(values)) => self.parts += values.len(),
                (known, _) if JUDGED.contains(&known) || REMARKS.contains(&known) || known.starts_with("x-") => {}
                _ => self.leave(&place, "nothing is judged by this keyword here")?,
            }
        }
        Ok(())
    }

    fn prepare(&mut self, pattern: &str, place: &str) -> Result<(), Fault> {
        let patterns = &mut self.judge.patterns;
        if patterns.contains_key(pattern) {
            return Ok(());
        }
        if patterns.len() == PATTERNS_MAX {
            return self.leave(place, &format!("it has more than {PATTERNS_MAX} patterns"));
        }
        match RegexBuilder::new(pattern).size_limit(PATTERN_BYTES_MAX).build() {
            Ok(ready) => {
                patterns.insert(pattern.to_owned(), ready);
                Ok(())
            }
            Err(_) => self.leave(place, "it is no pattern that can be read here, or too large a one"),
        }
    }

    /// What cannot be judged here is refused, or left to others.
    fn leave(&mut self, place: &str, why: &str) -> Result<(), Fault> {
        self.judge.partly = true;
        if self.whole { Err(refused(place, why)) } else { Ok(()) }
    }
}

fn refused(at: &str, why: &str) -> Fault {
    Fault::new(Code::InvalidField, format!("Nothing can be judged by this schema: at {at:?}, {why}.")).on(at)
}

fn unknown(pointer: &str, known: &[String]) -> Fault {
    let name = pointer.rsplit('/').next().unwrap_or_default().replace("~1", "/").replace("~0", "~");
    let fault = Fault::new(Code::UnknownField, format!("The dataset's service has no parameter {:?}.", shorten(&name)));
    let fault = match nearest(&name, known.iter().map(String::as_str)) {
        Some(near) => fault.mend(format!("Did you mean {near:?}? GET /training/datasets shows them.")),
        None => fault.mend("Leave it out, or choose one that GET /training/datasets shows."),
    };
    fault.on(pointer)
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, json};

    use super::*;

    #[test]
    fn a_schema_judges_results_and_says_where() {
        let schema = json!({"$defs": {"score": {"type": "number", "minimum": 0.5, "exclusiveMaximum": 1}}, "type": "object", "properties": {
            "items": {"maxItems": 3, "items": {"properties": {"score": {"$ref": "#/$defs/score"}, "label": {"enum": ["a", "b"]},
                "box": {"prefixItems": [{"const": 0}], "items": {"multipleOf": 0.25}}}}},
            "fields": {"required": ["n"], "additionalProperties": false, "properties": {
                "n": {"type": "integer"}, "s": {"pattern": "^[0-9]+$", "maxLength": 3, "minLength": 2}, "v": {"anyOf": [{"type": "null"}, {"minimum": 3}]},
                "w": {"oneOf": [{"minimum": 1}, {"minimum": 5}]}, "x/y": {"not": {"type": ["string", "null"]}}}},
            "summary": {"allOf": [{"type": ["string", "null"]}]}}});
        let schema = JudgedSchema::for_results(schema).expect("a schema");
        let check = |document: Value| schema.check_result(&document.to_string());
        let good = json!({"items": [{"score": 0.5, "label": "a", "box": [0, 0.25, 1]}], "fields": {"n": 1.0, "s": "12", "v": null, "w": 2, "x/y": 1}, "summary": null});
        assert_eq!(check(good.clone()), Ok(()));
        for (pointer, bad) in [
            ("/items/0/score", json!(0.2)),
            ("/items/0/score", json!(1)),
            ("/items/0/score", json!("a")),
            ("/items/0/label", json!("c")),
            ("/items/0/box/0", json!(1)),
            ("/items/0/box/2", json!(0.3)),
            ("/items", json!([1, 2, 3, 4])),
            ("/fields/n", json!(1.5)),
            ("/fields/s", json!("1a")),
            ("/fields/s", json!("1234")),
            ("/fields/s", json!("1")),
            ("/fields/v", json!(2)),
            ("/fields/w", json!(6)),
            ("/fields/x~1y", json!(null)),
            ("/fields", json!({})),
            ("/summary", json!(7)),
        ] {
            let mut document = good.clone();
            *document.pointer_mut(pointer).expect("a place") = bad;
            let fault = check(document).expect_err(pointer);
            assert_eq!((fault.code, fault.errors[0].pointer.as_str()), (Code::InvalidResult, pointer));
        }
        let fault = check(json!({"fields": {"n": 1, "other": 1}})).expect_err("a member too many");
        assert_eq!(fault.errors[0].pointer, "/fields/other");
    }

    #[test]
    fn what_lies_within_another_is_judged_once() {
        let within = |n: usize| json!({"oneOf": [{"$ref": format!("#/$defs/{}", n + 1)}]});
        let mut parts: Map<String, Value> = (0..30).map(|n| (n.to_string(), within(n))).collect();
        parts.insert("30".to_owned(), json!({"type": "null"}));
        let schema = JudgedSchema::for_results(json!({"$defs": parts, "$ref": "#/$defs/0"})).expect("a schema");
        let fault = schema.check_result("{}").expect_err("no null");
        assert!(fault.detail.contains("it holds to 0 of oneOf"), "{}", fault.detail);
    }

    #[test]
    fn parameters_fit_their_schema_or_are_refused_by_place() {
        let schema = json!({"type": "object", "additionalProperties": false, "required": ["epochs"], "properties": {
            "epochs": {"type": "integer", "minimum": 1, "maximum": 100},
            "model": {"type": "string", "enum": ["mlp", "cnn"], "maxLength": 8},
            "rates": {"type": "array", "items": {"type": "number", "exclusiveMinimum": 0}, "minItems": 1},
            "rate": {"anyOf": [{"type": "number"}, {"type": "null"}]},
            "layers": {"type": "object", "properties": {"width": {"type": "integer"}}, "additionalProperties": {"type": "boolean"}}}});
        let schema = JudgedSchema::for_params(schema).expect("a schema");
        let check = |params: Value| schema.check_params(&params);
        for good in [
            json!({"epochs": 1}),
            json!({"epochs": 2.0, "model": "mlp", "rates": [0.1, 1], "rate": null, "layers": {"width": 3, "bias": true}}),
        ] {
            assert_eq!(check(good.clone()), Ok(()), "{good}");
        }
        for (bad, pointer, code) in [
            (json!({}), "/epochs", Code::InvalidField),
            (json!({"epochs": 0}), "/epochs", Code::InvalidField),
            (json!({"epochs": 101}), "/epochs", Code::InvalidField),
            (json!({"epochs": 1.5}), "/epochs", Code::InvalidField),
            (json!({"epochs": 1, "epoch": 1}), "/epoch", Code::UnknownField),
            (json!({"epochs": 1, "model": "svm"}), "/model", Code::InvalidField),
            (json!({"epochs": 1, "rates": []}), "/rates", Code::InvalidField),
            (json!({"epochs": 1, "rates": [1, 0]}), "/rates/1", Code::InvalidField),
            (json!({"epochs": 1, "rate": "fast"}), "/rate", Code::InvalidField),
            (json!({"epochs": 1, "layers": {"bias": 1}}), "/layers/bias", Code::InvalidField),
        ] {
            let fault = check(bad.clone()).expect_err("a fault");
            assert_eq!((fault.errors[0].pointer.as_str(), fault.code), (pointer, code), "{bad}");
        }
    }

    #[test]
    fn what_is_not_known_of_parameters_is_left_to_their_service() {
        let patterns = (0..=PATTERNS_MAX).map(|n| json!({"pattern": format!("^{n}")})).collect::<Vec<_>>();
        for asked in [
            json!({"if": {"required": ["a"]}, "then": false}),
            json!({"properties": {"a": {"pattern": "(?=1)"}}}),
            json!({"properties": {"a": {"$ref": "https://example.org/schema"}}}),
            json!({"patternProperties": {"^a": {}}, "additionalProperties": false}),
            json!({"properties": {"b": {"allOf": patterns}}}),
            // What is thought to hold may not.
            json!({"properties": {"a": {"not": {"contentEncoding": "base64"}}}}),
            json!({"oneOf": [{"required": ["a"]}, {"minContains": 3}]}),
        ] {
            let schema = JudgedSchema::for_params(asked.clone()).expect("a schema");
            assert_eq!(schema.check_params(&json!({"a": "2"})), Ok(()), "{asked}");
        }
    }

    #[test]
    fn what_cannot_judge_is_refused() {
        let circle = json!({"$defs": {"a": {"anyOf": [{"items": {"$ref": "#/$defs/a"}}, {"$ref": "#/$defs/a"}]}}, "$ref": "#/$defs/a"});
        let many = json!({"allOf": vec![json!({}); 1_000]});
        let deep = (0..100).fold(json!({}), |inner, _| json!({ "not": inner }));
        let patterns =
            json!({"allOf": (0..=PATTERNS_MAX).map(|n| json!({"pattern": n.to_string()})).collect::<Vec<_>>()});
        let abroad = json!({"$ref": "https://example.org/schema"});
        for large in [&circle, &many, &deep] {
            assert!(JudgedSchema::for_params(large.clone()).is_err(), "{large}");
        }
        for bad in [
            circle,
            many,
            deep,
            patterns,
            abroad,
            json!({"$ref": "#/nowhere"}),
            json!({"pattern": "("}),
            json!({"pattern": r"\w{1000}"}),
            json!({"if": {}}),
            json!({"$id": "a"}),
        ] {
            assert!(JudgedSchema::for_results(bad.clone()).is_err(), "{bad}");
        }
    }
}
