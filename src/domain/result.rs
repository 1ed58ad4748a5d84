//! The result document: what a model said of an image.

use serde_json::{Map, Value, json};

/// The most items one result may have; more belongs in a file of the model's own.
pub const ITEMS_MAX: usize = 10_000;

/// Brings what a worker posted into the one shape `{"items":[…],"fields":{…},"summary":null}`.
///
/// The upstream style `{"classes":[…],"result":{…}}` becomes labels and fields; any other JSON is kept under
/// `fields.value`. The error is a sentence that says where the document is wrong.
pub fn normalise(posted: Value) -> Result<Value, String> {
    let document = match posted {
        Value::Object(map) if is_document(&map) => map,
        Value::Object(map) if is_upstream(&map) => from_upstream(map)?,
        other => {
            let mut map = Map::new();
            map.insert("fields".to_owned(), json!({ "value": other }));
            map
        }
    };
    let items = list(document.get("items"), "/items")?;
    let fields = match document.get("fields") {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(map)) => map.clone(),
        Some(_) => return Err("/fields is not an object.".to_owned()),
    };
    let summary = match document.get("summary") {
        None | Some(Value::Null) => Value::Null,
        Some(Value::String(text)) if text.chars().count() <= 1000 => Value::String(text.clone()),
        Some(_) => return Err("/summary is not a text of at most 1000 characters.".to_owned()),
    };
    if items.len() > ITEMS_MAX {
        return Err(format!("/items has {} items; the limit is {ITEMS_MAX}.", items.len()));
    }
    for (index, item) in items.iter().enumerate() {
        check_item(item).map_err(|why| format!("/items/{index}{why}"))?;
    }
    Ok(json!({ "items": items, "fields": fields, "summary": summary }))
}

fn is_document(map: &Map<String, Value>) -> bool {
    !map.is_empty() && map.keys().all(|key| matches!(key.as_str(), "items" | "fields" | "summary"))
}

fn is_upstream(map: &Map<String, Value>) -> bool {
    !map.is_empty() && map.keys().all(|key| matches!(key.as_str(), "classes" | "result"))
}

fn from_upstream(map: Map<String, Value>) -> Result<Map<String, Value>, String> {
    let labels = list(map.get("classes"), "/classes")?
        .into_iter()
        .map(|class| json!({ "type": "label", "label": class }))
        .collect();
    let fields = match map.get("result") {
        None | Some(Value::Null) => Value::Object(Map::new()),
        Some(Value::Object(fields)) => Value::Object(fields.clone()),
        Some(other) => json!({ "value": other }),
    };
    Ok(Map::from_iter([("items".to_owned(), Value::Array(labels)), ("fields".to_owned(), fields)]))
}

fn list(value: Option<&Value>, place: &str) -> Result<Vec<Value>, String> {
    match value {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(items)) => Ok(items.clone()),
        Some(_) => Err(format!("{place} is not a list.")),
    }
}

/// An item is an object with a `type`; the geometry of a box is checked, other types are kept as they are.
fn check_item(item: &Value) -> Result<(), String> {
    let Some(kind) = item.get("type").and_then(Value::as_str) else {
        return Err(" is not an object with a text `type`.".to_owned());
    };
    if kind == "box" {
        let corners: Option<Vec<f64>> =
            item.get("box").and_then(Value::as_array).map(|list| list.iter().filter_map(Value::as_f64).collect());
        let inside = |v: &f64| (0.0..=1.0).contains(v);
        match corners.as_deref() {
            Some([x0, y0, x1, y1]) if x0 < x1 && y0 < y1 && [x0, y0, x1, y1].into_iter().all(inside) => {}
            _ => {
                return Err(
                    "/box is not [x0, y0, x1, y1] in fractions 0…1 of the upright image with x0 < x1 and y0 < y1."
                        .to_owned(),
                );
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_posted_shape_becomes_the_document() {
        let cases = [
            (json!({"items": [], "summary": "x"}), json!({"items": [], "fields": {}, "summary": "x"})),
            (
                json!({"classes": ["cat"], "result": {"n": 1}}),
                json!({"items": [{"type": "label", "label": "cat"}], "fields": {"n": 1}, "summary": null}),
            ),
            (json!("text"), json!({"items": [], "fields": {"value": "text"}, "summary": null})),
            (json!({"a": 1}), json!({"items": [], "fields": {"value": {"a": 1}}, "summary": null})),
            (json!({}), json!({"items": [], "fields": {"value": {}}, "summary": null})),
        ];
        for (posted, kept) in cases {
            assert_eq!(normalise(posted), Ok(kept));
        }
    }

    #[test]
    fn a_box_outside_the_image_is_refused_with_its_place() {
        let bad = normalise(json!({"items": [{"type": "label"}, {"type": "box", "box": [0.5, 0.1, 0.4, 0.2]}]}));
        assert!(bad.is_err_and(|why| why.starts_with("/items/1/box")));
        assert!(normalise(json!({"items": [{"type": "box", "box": [0.1, 0.1, 1.4, 0.2]}]})).is_err());
        assert!(normalise(json!({"items": [3]})).is_err());
        assert!(normalise(json!({"items": {}})).is_err());
    }
}
