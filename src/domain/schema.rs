//! JSON Schemas of params and results, as far as they are checked: that what has a meaning in draft 2020-12 has the form that it must have.
//!
//! A schema is an object or a boolean; the outermost is an object and asks for one. Keywords that are not listed here are taken
//! for remarks, as JSON Schema has it. What values are judged by is in [`super::judged_schema`].

use serde_json::{Map, Value};

use super::fault::{Code, Fault};

/// What the value of a keyword must be.
#[derive(Clone, Copy)]
enum Form {
    Text,
    Flag,
    Number,
    /// A number above 0.
    Step,
    /// A whole number from 0 on.
    Count,
    /// A type's name, or several.
    Types,
    /// Names, each once.
    Names,
    Array,
    Schema,
    /// Some schemas, at least one.
    Schemas,
    /// Schemas by name.
    SchemasByName,
}

const KEYWORDS: &[(&str, Form)] = &[
    ("$schema", Form::Text),
    ("$id", Form::Text),
    ("$ref", Form::Text),
    ("$comment", Form::Text),
    ("title", Form::Text),
    ("description", Form::Text),
    ("format", Form::Text),
    ("pattern", Form::Text),
    ("deprecated", Form::Flag),
    ("readOnly", Form::Flag),
    ("writeOnly", Form::Flag),
    ("uniqueItems", Form::Flag),
    ("minimum", Form::Number),
    ("maximum", Form::Number),
    ("exclusiveMinimum", Form::Number),
    ("exclusiveMaximum", Form::Number),
    ("multipleOf", Form::Step),
    ("minLength", Form::Count),
    ("maxLength", Form::Count),
    ("minItems", Form::Count),
    ("maxItems", Form::Count),
    ("minContains", Form::Count),
    ("maxContains", Form::Count),
    ("minProperties", Form::Count),
    ("maxProperties", Form::Count),
    ("type", Form::Types),
    ("required", Form::Names),
    ("enum", Form::Array),
    ("examples", Form::Array),
    ("items", Form::Schema),
    ("contains", Form::Schema),
    ("additionalProperties", Form::Schema),
    ("propertyNames", Form::Schema),
    ("not", Form::Schema),
    ("if", Form::Schema),
    ("then", Form::Schema),
    ("else", Form::Schema),
    ("allOf", Form::Schemas),
    ("anyOf", Form::Schemas),
    ("oneOf", Form::Schemas),
    ("prefixItems", Form::Schemas),
    ("properties", Form::SchemasByName),
    ("patternProperties", Form::SchemasByName),
    ("dependentSchemas", Form::SchemasByName),
    ("$defs", Form::SchemasByName),
];

const TYPES: [&str; 7] = ["null", "boolean", "object", "array", "number", "string", "integer"];

/// Checks a schema of params or results; the fault names the place.
pub fn check_schema(schema: &Value) -> Result<(), Fault> {
    let Value::Object(outermost) = schema else {
        return Err(Fault::new(Code::InvalidField, "The schema is not an object.").on(""));
    };
    check_object(outermost, "")?;
    match outermost.get("type") {
        None => Ok(()),
        Some(kind) if kind == "object" => Ok(()),
        Some(_) => Err(wrong("/type", "`object`: that is what it is of")),
    }
}

fn check_object(schema: &Map<String, Value>, at: &str) -> Result<(), Fault> {
    for (keyword, value) in schema {
        if let Some((_, form)) = KEYWORDS.iter().find(|(known, _)| known == keyword) {
            check_value(*form, value, &below(at, keyword))?;
        }
    }
    Ok(())
}

fn check_value(form: Form, value: &Value, at: &str) -> Result<(), Fault> {
    let strings = || value.as_array().filter(|items| items.iter().all(Value::is_string));
    let (fits, expected) = match form {
        Form::Text => (value.is_string(), "a string"),
        Form::Flag => (value.is_boolean(), "true or false"),
        Form::Number => (value.is_number(), "a number"),
        Form::Step => (value.as_f64().is_some_and(|step| step > 0.0), "a number above 0"),
        Form::Count => (value.is_u64(), "a whole number from 0 on"),
        Form::Array => (value.is_array(), "an array"),
        Form::Names => (strings().is_some_and(|names| each_once(names)), "an array of strings, each once"),
        Form::Types => {
            let known = |kind: &Value| kind.as_str().is_some_and(|kind| TYPES.contains(&kind));
            let several =
                strings().is_some_and(|kinds| !kinds.is_empty() && kinds.iter().all(known) && each_once(kinds));
            (known(value) || several, "a type of JSON Schema, or an array of some")
        }
        Form::Schema => return check_at(value, at),
        Form::Schemas => match value.as_array().filter(|schemas| !schemas.is_empty()) {
            None => (false, "an array of schemas"),
            Some(schemas) => {
                return schemas.iter().enumerate().try_for_each(|(n, schema)| check_at(schema, &format!("{at}/{n}")));
            }
        },
        Form::SchemasByName => match value.as_object() {
            None => (false, "an object of schemas"),
            Some(schemas) => {
                return schemas.iter().try_for_each(|(name, schema)| check_at(schema, &below(at, name)));
            }
        },
    };
    if fits { Ok(()) } else { Err(wrong(at, expected)) }
}

/// How deep this goes is bounded by the depth of JSON that is read at all.
fn check_at(schema: &Value, at: &str) -> Result<(), Fault> {
    match schema {
        Value::Bool(_) => Ok(()),
        Value::Object(schema) => check_object(schema, at),
        _ => Err(wrong(at, "a schema: an object, true or false")),
    }
}

fn each_once(items: &[Value]) -> bool {
    let distinct: std::collections::BTreeSet<&str> = items.iter().filter_map(Value::as_str).collect();
    distinct.len() == items.len()
}

pub(super) fn below(at: &str, name: &str) -> String {
    format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"))
}

fn wrong(at: &str, expected: &str) -> Fault {
    Fault::new(Code::InvalidField, format!("This is no JSON Schema: {at} is not {expected}.")).on(at)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_schema_has_the_form_that_its_keywords_ask_for() {
        for good in [
            json!({}),
            json!({"type": "object", "title": "P", "properties": {"size": {"type": ["integer", "null"], "minimum": 1, "default": 3}},
                   "required": ["size"], "additionalProperties": false, "$defs": {"a": true}, "x-order": [1]}),
            json!({"anyOf": [{"$ref": "#/$defs/a"}, {"items": {"enum": [1, "a"]}}]}),
        ] {
            assert_eq!(check_schema(&good), Ok(()), "{good}");
        }
        for (bad, pointer) in [
            (json!([]), ""),
            (json!({"type": "array"}), "/type"),
            (json!({"type": "text"}), "/type"),
            (json!({"type": []}), "/type"),
            (json!({"required": "size"}), "/required"),
            (json!({"required": ["a", "a"]}), "/required"),
            (json!({"properties": []}), "/properties"),
            (json!({"properties": {"a/b": 3}}), "/properties/a~1b"),
            (json!({"properties": {"a": {"minLength": -1}}}), "/properties/a/minLength"),
            (json!({"properties": {"a": {"multipleOf": 0}}}), "/properties/a/multipleOf"),
            (json!({"anyOf": []}), "/anyOf"),
            (json!({"anyOf": [{}, 1]}), "/anyOf/1"),
            (json!({"items": {"enum": 3}}), "/items/enum"),
        ] {
            let fault = check_schema(&bad).expect_err("a fault");
            assert_eq!(fault.errors[0].pointer, pointer, "{bad}");
        }
    }
}
