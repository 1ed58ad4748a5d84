//! How a value is judged by a JSON Schema (draft 2020-12): keyword by keyword, on a schema whose form and bounds were checked. Keywords
//! that it does not know say nothing.

use std::collections::HashMap;

use regex::Regex;
use serde_json::{Map, Value};

use super::name::shorten;
use super::schema::below;

/// What is judged by.
pub(super) const JUDGED: [&str; 25] = [
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

/// A schema with its patterns, by which values are judged.
#[derive(Debug, Default)]
pub(super) struct Judge {
    pub(super) root: Value,
    /// A pattern that is not here says nothing.
    pub(super) patterns: HashMap<String, Regex>,
    /// Something that it asks is not judged: what is found to hold may not. Then nothing is refused for holding.
    pub(super) partly: bool,
}

/// Where a value does not hold, and why.
#[derive(Debug)]
pub(super) struct Miss {
    pub(super) pointer: String,
    pub(super) why: String,
    pub(super) of: MissOf,
}

/// What is wrong there.
#[derive(Debug)]
pub(super) enum MissOf {
    Value,
    /// A member is missing.
    Missing(String),
    /// It is a member that may not be there; others may be, of these names.
    Unknown(Vec<String>),
}

pub(super) type Holds = Result<(), Miss>;

impl Judge {
    /// Whether a value holds.
    pub(super) fn check(&self, value: &Value) -> Holds {
        self.judge(&self.root, value)
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
                count if self.partly && count > 0 => Ok(()),
                // Counted once: where one lies within another, twice would be twice as often with each.
                count => miss(&format!("it holds to {count} of oneOf, and not to one")),
            },
            "not" if !self.partly && self.judge(asked, value).is_ok() => miss("it holds to what it must not"),
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
                let names = asked.as_array().into_iter().flatten().filter_map(Value::as_str);
                let mut missing = names.filter(|name| !members.contains_key(*name));
                missing.next().map_or(Ok(()), |name| {
                    let of = MissOf::Missing(name.to_owned());
                    Err(Miss { pointer: String::new(), why: format!("{name:?} is missing"), of })
                })
            }
            "properties" => {
                let schemas = asked.as_object().into_iter().flatten();
                let mut there = schemas.filter_map(|(name, schema)| Some((name, schema, members.get(name)?)));
                there.try_for_each(|(name, schema, member)| judge(name, schema, member))
            }
            // Which of the members are the patterns', only who judges by them knows.
            "additionalProperties" if !schema.contains_key("patternProperties") => {
                let known = schema.get("properties").and_then(Value::as_object);
                let mut others =
                    members.iter().filter(|(name, _)| known.is_none_or(|known| !known.contains_key(*name)));
                let told = |miss: Miss| match asked {
                    Value::Bool(false) => {
                        let names = known.into_iter().flat_map(Map::keys).cloned();
                        Miss { of: MissOf::Unknown(names.collect()), ..miss }
                    }
                    _ => miss,
                };
                others.try_for_each(|(name, member)| judge(name, asked, member).map_err(told))
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
    Err(Miss { pointer: String::new(), why: why.to_owned(), of: MissOf::Value })
}
