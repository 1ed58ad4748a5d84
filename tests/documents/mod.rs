//! OpenAPI, Postman and the pages agree with the code.

mod pages;
mod postman;

use std::collections::HashSet;

use serde_json::Value;

fn document() -> Value {
    serde_json::to_value(darkroom::http::openapi::document()).expect("a document")
}

fn operations(document: &Value) -> Vec<(String, String, &Value)> {
    let paths = document["paths"].as_object().expect("paths");
    let of_path = |(path, item): (&String, &'_ Value)| -> Vec<(String, String)> {
        item.as_object().expect("a path").keys().map(|method| (method.to_uppercase(), path.clone())).collect()
    };
    let keys: Vec<(String, String)> = paths.iter().flat_map(of_path).collect();
    keys.into_iter().map(|(m, p)| (m.clone(), p.clone(), &document["paths"][&p][m.to_lowercase()])).collect()
}

#[test]
fn the_committed_document_is_the_codes() {
    let committed = std::fs::read_to_string("openapi/openapi.json").expect("openapi/openapi.json");
    let made = darkroom::app::openapi_bytes().expect("a document");
    assert!(committed.as_bytes() == &made[..], "openapi/openapi.json is old: run `make openapi`");
    assert!(committed.contains("\"openapi\": \"3.1.0\""));
}

#[test]
fn every_operation_is_described() {
    let document = document();
    let mut ids = HashSet::new();
    for (method, path, operation) in operations(&document) {
        let what = format!("{method} {path}");
        assert!(ids.insert(operation["operationId"].as_str().expect("an id").to_owned()), "{what}: operationId twice");
        for field in ["summary", "description"] {
            assert!(operation[field].as_str().is_some_and(|text| text.len() > 5), "{what} has no {field}");
        }
        assert!(operation["tags"][0].is_string(), "{what} has no tag");
        let secured = operation["security"].as_array().is_some_and(|needs| !needs.is_empty());
        let statuses =
            ["422", "429", "500", "503"].into_iter().chain(secured.then_some(["401", "403"]).into_iter().flatten());
        for status in statuses {
            assert!(has_example(&document, &operation["responses"][status]), "{what} does not describe {status}");
        }
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            assert!(parameter["description"].is_string(), "{what} does not describe {}", parameter["name"]);
        }
        let success = operation["responses"].as_object().expect("responses").iter().find(|(s, _)| s.starts_with('2'));
        let (status, response) = success.unwrap_or_else(|| panic!("{what} has no success"));
        if status != "204" {
            assert!(has_example(&document, response), "{what}: the answer has no example");
        }
        if operation["requestBody"].is_object() {
            assert!(has_example(&document, &operation["requestBody"]), "{what}: the body has no example");
        }
    }
    assert_eq!(document["servers"][0]["url"], "/");
    let form = &document["paths"]["/predict"]["post"]["requestBody"]["content"]["multipart/form-data"];
    assert_eq!(form["encoding"]["models"], serde_json::json!({"style": "form", "explode": true}));
}

#[test]
fn everything_that_is_referred_to_is_there() {
    fn absent(document: &Value, value: &Value, told: &mut Vec<String>) {
        if let Some(to) = value.get("$ref").and_then(Value::as_str)
            && document.pointer(to.trim_start_matches('#')).is_none()
        {
            told.push(to.to_owned());
        }
        let below =
            value.as_array().into_iter().flatten().chain(value.as_object().into_iter().flat_map(|map| map.values()));
        below.for_each(|value| absent(document, value, told));
    }
    let (document, mut told) = (document(), Vec::new());
    absent(&document, &document, &mut told);
    assert!(told.is_empty(), "{told:?}");
}

/// An example somewhere below, or in the schemas that it refers to.
fn has_example(document: &Value, value: &Value) -> bool {
    match value {
        Value::Object(map) => {
            let referred =
                map.get("$ref").and_then(Value::as_str).and_then(|r| document.pointer(r.trim_start_matches('#')));
            map.contains_key("example")
                || map.contains_key("examples")
                || referred.is_some_and(|schema| has_example(document, schema))
                || map.values().any(|v| has_example(document, v))
        }
        Value::Array(items) => items.iter().any(|v| has_example(document, v)),
        _ => false,
    }
}

/// Whether a path is of this template.
fn fits(template: &str, path: &str) -> bool {
    let (a, b): (Vec<&str>, Vec<&str>) = (template.split('/').collect(), path.split('/').collect());
    // A literal path wins over a template, as in the router.
    a.len() == b.len()
        && a.iter().zip(b).all(|(t, p)| {
            *t == p
                || (t.starts_with('{')
                    && (p.starts_with("{{")
                        || *t == "{code}"
                        || *t == "{md5}"
                        || *t == "{name}"
                        || *t == "{model}"
                        || *t == "{file}"))
        })
}
