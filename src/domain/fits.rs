//! Whether the parameters of a run are what their schema asks for, as far as it says so by types, choices, bounds, sizes, items and
//! properties. Whatever else a schema says is for the service to judge. It follows no references, so it ends where the schema does.

use serde_json::{Map, Value};

use super::fault::{Code, Fault};
use super::name::{nearest, shorten};
use super::schema::below;

/// Refuses parameters that a schema does not let pass; the fault names the place.
pub fn check_fits(params: &Map<String, Value>, schema: &Value) -> Result<(), Fault> {
    match schema {
        Value::Object(schema) => check_object(params, schema, ""),
        _ => Ok(()),
    }
}

fn check_value(value: &Value, schema: &Value, at: &str) -> Result<(), Fault> {
    let schema = match schema {
        Value::Object(schema) => schema,
        Value::Bool(false) => return Err(wrong(at, "not to be given".to_owned())),
        _ => return Ok(()),
    };
    check_kind(value, schema, at)?;
    match value {
        Value::Number(number) => check_bounds(number.as_f64().unwrap_or_default(), schema, at)?,
        Value::String(text) => check_size(text.chars().count(), schema, ("minLength", "maxLength"), "characters", at)?,
        Value::Array(items) => {
            check_size(items.len(), schema, ("minItems", "maxItems"), "items", at)?;
            if let Some(of) = schema.get("items") {
                items.iter().enumerate().try_for_each(|(n, item)| check_value(item, of, &format!("{at}/{n}")))?;
            }
        }
        Value::Object(members) => check_object(members, schema, at)?,
        Value::Null | Value::Bool(_) => {}
    }
    let all = schema.get("allOf").and_then(Value::as_array).into_iter().flatten();
    all.into_iter().try_for_each(|one| check_value(value, one, at))?;
    for any in ["anyOf", "oneOf"] {
        let Some(some) = schema.get(any).and_then(Value::as_array) else { continue };
        if !some.iter().any(|one| check_value(value, one, at).is_ok()) {
            return Err(wrong(at, "none of what its schema lets it be".to_owned()));
        }
    }
    Ok(())
}

fn check_kind(value: &Value, schema: &Map<String, Value>, at: &str) -> Result<(), Fault> {
    let kinds: Vec<&str> = match schema.get("type") {
        Some(Value::String(kind)) => vec![kind],
        Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    if !kinds.is_empty() && !kinds.iter().any(|kind| is_kind(value, kind)) {
        return Err(wrong(at, format!("not of the type {}", kinds.join(" or "))));
    }
    let choices = schema.get("enum").and_then(Value::as_array);
    let one = schema.get("const").map(std::slice::from_ref);
    match choices.map(Vec::as_slice).or(one) {
        Some(choices) if !choices.contains(value) => {
            let told: Vec<String> = choices.iter().take(20).map(|choice| shorten(&choice.to_string())).collect();
            Err(wrong(at, format!("not one of {}", told.join(", "))))
        }
        _ => Ok(()),
    }
}

fn is_kind(value: &Value, kind: &str) -> bool {
    match kind {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "number" => value.is_number(),
        "integer" => value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|number| number.fract() == 0.0),
        _ => true,
    }
}

fn check_bounds(number: f64, schema: &Map<String, Value>, at: &str) -> Result<(), Fault> {
    for (keyword, bound) in schema {
        let Some(bound) = bound.as_f64() else { continue };
        let missed = match keyword.as_str() {
            "minimum" if number < bound => "below",
            "maximum" if number > bound => "above",
            "exclusiveMinimum" if number <= bound => "not above",
            "exclusiveMaximum" if number >= bound => "not below",
            _ => continue,
        };
        return Err(wrong(at, format!("{number}, which is {missed} {bound}")));
    }
    Ok(())
}

fn check_size(
    size: usize,
    schema: &Map<String, Value>,
    (least, most): (&str, &str),
    of: &str,
    at: &str,
) -> Result<(), Fault> {
    let bound = |keyword| schema.get(keyword).and_then(Value::as_u64);
    let size = size as u64;
    if bound(least).is_some_and(|least| size < least) || bound(most).is_some_and(|most| size > most) {
        return Err(wrong(at, format!("{size} {of}, which is too few or too many")));
    }
    Ok(())
}

fn check_object(members: &Map<String, Value>, schema: &Map<String, Value>, at: &str) -> Result<(), Fault> {
    let properties = schema.get("properties").and_then(Value::as_object);
    let required = schema.get("required").and_then(Value::as_array).into_iter().flatten();
    if let Some(missing) = required.filter_map(Value::as_str).find(|name| !members.contains_key(*name)) {
        return Err(wrong(&below(at, missing), "missing".to_owned()));
    }
    for (name, value) in members {
        let place = below(at, name);
        match (properties.and_then(|properties| properties.get(name)), schema.get("additionalProperties")) {
            (Some(of), _) => check_value(value, of, &place)?,
            // By which names others go is not looked into.
            (None, _) if schema.contains_key("patternProperties") => {}
            (None, Some(Value::Bool(false))) => return Err(unknown(name, properties, &place)),
            (None, Some(of)) => check_value(value, of, &place)?,
            (None, None) => {}
        }
    }
    Ok(())
}

fn unknown(name: &str, properties: Option<&Map<String, Value>>, place: &str) -> Fault {
    let known = properties.into_iter().flat_map(Map::keys).map(String::as_str);
    let fault = Fault::new(Code::UnknownField, format!("The dataset's service has no parameter {:?}.", shorten(name)));
    let fault = match nearest(name, known) {
        Some(near) => fault.mend(format!("Did you mean {near:?}? GET /training/datasets shows them.")),
        None => fault.mend("Leave it out, or choose one that GET /training/datasets shows."),
    };
    fault.on(place)
}

fn wrong(at: &str, why: String) -> Fault {
    let detail = format!("{} is {why}.", at.trim_start_matches('/'));
    Fault::new(Code::InvalidField, detail)
        .mend("Choose what GET /training/datasets shows under `params_schema`.")
        .on(at)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn parameters_fit_their_schema_or_are_refused_by_place() {
        let schema = json!({"type": "object", "additionalProperties": false, "required": ["epochs"], "properties": {
            "epochs": {"type": "integer", "minimum": 1, "maximum": 100},
            "model": {"type": "string", "enum": ["mlp", "cnn"], "maxLength": 8},
            "rates": {"type": "array", "items": {"type": "number", "exclusiveMinimum": 0}, "minItems": 1},
            "rate": {"anyOf": [{"type": "number"}, {"type": "null"}]},
            "layers": {"type": "object", "properties": {"width": {"type": "integer"}}, "additionalProperties": {"type": "boolean"}}}});
        let check = |params: Value| check_fits(params.as_object().expect("an object"), &schema);
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
        assert_eq!(check_fits(&Map::new(), &json!({"$ref": "#"})), Ok(()), "what refers to itself ends");
    }
}
