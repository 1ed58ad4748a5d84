//! The JSON Schema (draft 2020-12) that a model's results must hold to, if its workers gave one.
//!
//! What is judged by: the keywords of [`JUDGED`]. One with another meaning is refused when it is registered, so that nothing
//! is asked that nobody checks.

use std::collections::HashMap;

use regex::{Regex, RegexBuilder};
use serde_json::{Map, Value};

use super::fault::{Code, Fault};
use super::json::malformed;
use super::name::shorten;
use super::schema::below;

/// How many parts a schema may have, each counted as often as it is referred to: a result is compared with all of them.
const PARTS_MAX: usize = 1_000;
/// How deep its parts may lie in one another, references followed: both to admit and to judge goes as deep on the stack.
const DEPTH_MAX: usize = 64;
/// How many patterns a schema may have, and how large each may be when it is ready, in bytes: they are kept so.
const PATTERNS_MAX: usize = 20;
const PATTERN_BYTES_MAX: usize = 1 << 20;
const JUDGED: [&str; 25] = [
    "type",
    "enum",
    "const",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "pattern",
    "minItems",
    "maxItems",
    "items",
    "prefixItems",
    "minProperties",
    "maxProperties",
    "required",
    "properties",
    "additionalProperties",
    "allOf",
    "anyOf",
    "oneOf",
    "not",
    "$ref",
];
/// What says nothing of a result.
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
#[derive(Debug)]
pub struct ResultSchema {
    root: Value,
    patterns: HashMap<String, Regex>,
}

/// Where a result does not hold, and why.
struct Miss {
    pointer: String,
    why: String,
}

type Holds = Result<(), Miss>;

impl ResultSchema {
    /// One whose form was checked; a fault names the place of what cannot be judged by.
    pub fn new(schema: Value) -> Result<Self, Fault> {
        let mut ready = Self { root: Value::Null, patterns: HashMap::new() };
        ready.admit(&schema, &schema, "", &mut 0, 0)?;
        Ok(Self { root: schema, ..ready })
    }

    /// Whether a result holds to it; the fault names the place in the result.
    pub fn check(&self, document: &str) -> Result<(), Fault> {
        let document: Value = serde_json::from_str(document).map_err(|why| malformed(&why))?;
        self.judge(&self.root, &document).map_err(|Miss { pointer, why }| {
            let detail = format!("{pointer} is not as the model's result_schema asks: {why}.");
            Fault::new(Code::InvalidResult, detail).on(pointer)
        })
    }

    fn admit(&mut self, schema: &Value, root: &Value, at: &str, parts: &mut usize, depth: usize) -> Result<(), Fault> {
        *parts += 1;
        if *parts > PARTS_MAX {
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
                    let there = target.strip_prefix('#').and_then(|pointer| root.pointer(pointer));
                    let there = there
                        .ok_or_else(|| refused(&place, "it is not the place of a schema within this one, `#/…`"))?;
                    self.admit(there, root, &place, parts, deeper)?;
                }
                ("pattern", Value::String(pattern)) => self.prepare(pattern, &place)?,
                ("items" | "additionalProperties" | "not", inner) => self.admit(inner, root, &place, parts, deeper)?,
                ("allOf" | "anyOf" | "oneOf" | "prefixItems", Value::Array(schemas)) => {
                    for (n, inner) in schemas.iter().enumerate() {
                        self.admit(inner, root, &format!("{place}/{n}"), parts, deeper)?;
                    }
                }
                ("properties", Value::Object(schemas)) => {
                    for (name, inner) in schemas {
                        self.admit(inner, root, &below(&place, name), parts, deeper)?;
                    }
                }
                ("enum" | "required", Value::Array(values)) => *parts += values.len(),
                (known, _) if JUDGED.contains(&known) || REMARKS.contains(&known) || known.starts_with("x-") => {}
                _ => return Err(refused(&place, "results are not judged by this keyword")),
            }
        }
        Ok(())
    }

    fn prepare(&mut self, pattern: &str, place: &str) -> Result<(), Fault> {
        if self.patterns.contains_key(pattern) {
            return Ok(());
        }
        if self.patterns.len() == PATTERNS_MAX {
            return Err(refused(place, &format!("it has more than {PATTERNS_MAX} patterns")));
        }
        let ready = RegexBuilder::new(pattern).size_limit(PATTERN_BYTES_MAX).build();
        let ready = ready.map_err(|_| refused(place, "it is no pattern that can be read here, or too large a one"))?;
        self.patterns.insert(pattern.to_owned(), ready);
        Ok(())
    }

    fn judge(&self, schema: &Value, value: &Value) -> Holds {
        match schema {
            Value::Bool(false) => miss("nothing may stand here"),
            Value::Object(keywords) => keywords.iter().try_for_each(|(keyword, asked)| {
                self.combined(keyword, asked, value)?;
                plain(keyword, asked, value)?;
                match value {
                    Value::Number(number) => measured(keyword, asked, number.as_f64().unwrap_or(f64::NAN)),
                    Value::String(text) => self.spelled(keyword, asked, text),
                    Value::Array(items) => self.listed(keyword, asked, items, keywords),
                    Value::Object(members) => self.named(keyword, asked, members, keywords),
                    Value::Null | Value::Bool(_) => Ok(()),
                }
            }),
            _ => Ok(()),
        }
    }

    fn combined(&self, keyword: &str, asked: &Value, value: &Value) -> Holds {
        let schemas = || asked.as_array().into_iter().flatten();
        let holding = || schemas().filter(|schema| self.judge(schema, value).is_ok()).count();
        match keyword {
            "$ref" => {
                let there = asked.as_str().and_then(|target| self.root.pointer(target.strip_prefix('#')?));
                there.map_or(Ok(()), |there| self.judge(there, value))
            }
            "allOf" => schemas().try_for_each(|schema| self.judge(schema, value)),
            "anyOf" if holding() == 0 => miss("it holds to none of anyOf"),
            "oneOf" => match holding() {
                1 => Ok(()),
                // Counted once: where one lies within another, twice would be twice as often with each.
                count => miss(&format!("it holds to {count} of oneOf, and not to one")),
            },
            "not" if self.judge(asked, value).is_ok() => miss("it holds to what it must not"),
            _ => Ok(()),
        }
    }

    fn spelled(&self, keyword: &str, asked: &Value, text: &str) -> Holds {
        let chars = || text.chars().count() as u64;
        match keyword {
            "minLength" if asked.as_u64().is_some_and(|least| chars() < least) => {
                miss(&format!("it has less than {asked} characters"))
            }
            "maxLength" if asked.as_u64().is_some_and(|most| chars() > most) => {
                miss(&format!("it has more than {asked} characters"))
            }
            "pattern" => {
                let pattern = asked.as_str().and_then(|pattern| self.patterns.get(pattern));
                if pattern.is_none_or(|pattern| pattern.is_match(text)) {
                    Ok(())
                } else {
                    miss(&format!("it does not match {asked}"))
                }
            }
            _ => Ok(()),
        }
    }

    fn listed(&self, keyword: &str, asked: &Value, items: &[Value], schema: &Map<String, Value>) -> Holds {
        let count = items.len() as u64;
        let within = |(n, held): (usize, Holds)| held.map_err(|miss| miss.within(&n.to_string()));
        match keyword {
            "minItems" if asked.as_u64().is_some_and(|least| count < least) => {
                miss(&format!("it has less than {asked} items"))
            }
            "maxItems" if asked.as_u64().is_some_and(|most| count > most) => {
                miss(&format!("it has more than {asked} items"))
            }
            "prefixItems" => {
                let pairs = asked.as_array().into_iter().flatten().zip(items).enumerate();
                pairs.map(|(n, (schema, item))| (n, self.judge(schema, item))).try_for_each(within)
            }
            "items" => {
                let before = schema.get("prefixItems").and_then(Value::as_array).map_or(0, Vec::len);
                items.iter().enumerate().skip(before).map(|(n, item)| (n, self.judge(asked, item))).try_for_each(within)
            }
            _ => Ok(()),
        }
    }

    fn named(&self, keyword: &str, asked: &Value, members: &Map<String, Value>, schema: &Map<String, Value>) -> Holds {
        let count = members.len() as u64;
        let judge =
            |name: &str, schema: &Value, member: &Value| self.judge(schema, member).map_err(|miss| miss.within(name));
        match keyword {
            "minProperties" if asked.as_u64().is_some_and(|least| count < least) => {
                miss(&format!("it has less than {asked} members"))
            }
            "maxProperties" if asked.as_u64().is_some_and(|most| count > most) => {
                miss(&format!("it has more than {asked} members"))
            }
            "required" => {
                let missing = asked
                    .as_array()
                    .into_iter()
                    .flatten()
                    .find(|name| !name.as_str().is_some_and(|name| members.contains_key(name)));
                missing.map_or(Ok(()), |name| miss(&format!("{name} is missing")))
            }
            "properties" => {
                let schemas = asked.as_object().into_iter().flatten();
                let mut there = schemas.filter_map(|(name, schema)| Some((name, schema, members.get(name)?)));
                there.try_for_each(|(name, schema, member)| judge(name, schema, member))
            }
            "additionalProperties" => {
                let known = schema.get("properties").and_then(Value::as_object);
                let mut others =
                    members.iter().filter(|(name, _)| known.is_none_or(|known| !known.contains_key(*name)));
                others.try_for_each(|(name, member)| judge(name, asked, member))
            }
            _ => Ok(()),
        }
    }
}

impl Miss {
    fn within(self, name: &str) -> Self {
        Self { pointer: below("", name) + &self.pointer, ..self }
    }
}

/// What is asked of values of any kind.
fn plain(keyword: &str, asked: &Value, value: &Value) -> Holds {
    let is = |kind: &Value| match kind.as_str() {
        Some("null") => value.is_null(),
        Some("boolean") => value.is_boolean(),
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("number") => value.is_number(),
        Some("integer") => value.as_f64().is_some_and(|number| number.fract() == 0.0),
        _ => false,
    };
    match keyword {
        "type" if !is(asked) && !asked.as_array().is_some_and(|kinds| kinds.iter().any(is)) => {
            miss(&format!("its type is not {asked}"))
        }
        "const" if !same(asked, value) => miss(&format!("it is not {}", shorten(&asked.to_string()))),
        "enum" if !asked.as_array().is_some_and(|values| values.iter().any(|one| same(one, value))) => {
            miss(&format!("it is none of {}", shorten(&asked.to_string())))
        }
        _ => Ok(()),
    }
}

/// Equal numbers are the same, however they are written.
fn same(a: &Value, b: &Value) -> bool {
    a == b || a.as_f64().zip(b.as_f64()).is_some_and(|(a, b)| a == b)
}

fn measured(keyword: &str, asked: &Value, number: f64) -> Holds {
    let Some(bound) = asked.as_f64() else { return Ok(()) };
    let multiple = number / bound;
    match keyword {
        "minimum" if number < bound => miss(&format!("it is less than {asked}")),
        "maximum" if number > bound => miss(&format!("it is more than {asked}")),
        "exclusiveMinimum" if number <= bound => miss(&format!("it is not more than {asked}")),
        "exclusiveMaximum" if number >= bound => miss(&format!("it is not less than {asked}")),
        "multipleOf" if (multiple - multiple.round()).abs() > 1e-9 => miss(&format!("it is no multiple of {asked}")),
        _ => Ok(()),
    }
}

fn miss(why: &str) -> Holds {
    Err(Miss { pointer: String::new(), why: why.to_owned() })
}

fn refused(at: &str, why: &str) -> Fault {
    Fault::new(Code::InvalidField, format!("No result can be judged by this schema: at {at:?}, {why}.")).on(at)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

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
        let schema = ResultSchema::new(schema).expect("a schema");
        let check = |document: Value| schema.check(&document.to_string());
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
        let schema = ResultSchema::new(json!({"$defs": parts, "$ref": "#/$defs/0"})).expect("a schema");
        let fault = schema.check("{}").expect_err("no null");
        assert!(fault.detail.contains("it holds to 0 of oneOf"), "{}", fault.detail);
    }

    #[test]
    fn what_cannot_judge_is_refused() {
        let circle = json!({"$defs": {"a": {"anyOf": [{"items": {"$ref": "#/$defs/a"}}, {"$ref": "#/$defs/a"}]}}, "$ref": "#/$defs/a"});
        let many = json!({"allOf": vec![json!({}); 1_000]});
        let deep = (0..100).fold(json!({}), |inner, _| json!({ "not": inner }));
        let patterns =
            json!({"allOf": (0..=PATTERNS_MAX).map(|n| json!({"pattern": n.to_string()})).collect::<Vec<_>>()});
        let abroad = json!({"$ref": "https://example.org/schema"});
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
            assert!(ResultSchema::new(bad.clone()).is_err(), "{bad}");
        }
    }
}
