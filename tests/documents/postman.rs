//! The Postman collection: a request for every operation, each answered as its script expects.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use axum::body::Body;
use axum::http::{Method, Request, header};
use darkroom::domain::account::Role;
use serde_json::Value;

use super::{document, fits, operations};
use crate::kit::app::{PASSWORD, TestApp};
use crate::kit::client::Answer;
use crate::kit::form::{self, Form};

/// A request of the collection.
struct Step {
    name: String,
    request: Value,
    expectations: Vec<String>,
}

fn collection() -> (Value, Vec<Step>) {
    let text = std::fs::read_to_string("postman/darkroom.postman_collection.json").expect("the collection");
    let collection: Value = serde_json::from_str(&text).expect("JSON");
    let folders = collection["item"].as_array().expect("folders").clone();
    let steps = folders.iter().flat_map(|folder| folder["item"].as_array().expect("requests").clone()).map(|item| {
        let script = item["event"].as_array().into_iter().flatten().find(|e| e["listen"] == "test");
        let lines = script.and_then(|s| s["script"]["exec"].as_array().cloned()).unwrap_or_default();
        let lines = lines.iter().filter_map(|line| line.as_str()?.trim().strip_prefix("// ").map(str::to_owned));
        Step {
            name: item["name"].as_str().unwrap_or_default().to_owned(),
            request: item["request"].clone(),
            expectations: lines.collect(),
        }
    });
    let steps: Vec<Step> = steps.collect();
    (collection, steps)
}

#[test]
fn the_collection_has_a_request_for_every_operation_and_no_other() {
    let document = document();
    let known: HashSet<(String, String)> = operations(&document).into_iter().map(|(m, p, _)| (m, p)).collect();
    let mut seen = HashSet::new();
    for step in collection().1 {
        let method = step.request["method"].as_str().expect("a method").to_owned();
        let url = step.request["url"]["raw"].as_str().or(step.request["url"].as_str()).expect("a url");
        let path = url.trim_start_matches("{{base}}").split('?').next().unwrap_or_default().to_owned();
        let matching = known.iter().find(|(m, template)| *m == method && fits(template, &path));
        if path != "/nowhere" {
            seen.insert(matching.unwrap_or_else(|| panic!("{}: {method} {path} is no operation", step.name)).clone());
        }
    }
    let missing: Vec<_> = known.difference(&seen).collect();
    assert!(missing.is_empty(), "not in the collection: {missing:?}");
}

/// Fills `{{name}}` from the variables.
fn fill(text: &str, variables: &BTreeMap<String, String>) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(start) = rest.find("{{") {
        let end = rest[start..].find("}}").map_or(rest.len(), |e| start + e);
        out.push_str(&rest[..start]);
        match &rest[start + 2..end] {
            "$guid" | "$randomUUID" => out.push_str(&uuid::Uuid::new_v4().to_string()),
            name => out.push_str(variables.get(name).unwrap_or_else(|| panic!("{{{{{name}}}}} is not set"))),
        }
        rest = &rest[(end + 2).min(rest.len())..];
    }
    out + rest
}

/// The value at a dotted path; `length` of a list is its length.
fn at(body: &Value, path: &str) -> Value {
    path.split('.').filter(|p| !p.is_empty()).fold(body.clone(), |value, part| match &value {
        Value::Array(items) if part == "length" => items.len().into(),
        Value::Array(items) => part.parse().ok().and_then(|n: usize| items.get(n).cloned()).unwrap_or(Value::Null),
        other => other.get(part).cloned().unwrap_or(Value::Null),
    })
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Plays the collection in order through the router, as newman does over HTTP, and holds every answer to what its
/// script expects.
#[tokio::test]
async fn the_collection_runs_in_order() {
    let app = TestApp::new().await;
    app.user("demo-investigator", &[Role::Investigator]).await;
    app.user("demo-admin", Role::ALL).await;
    let (collection, steps) = collection();
    let mut variables: BTreeMap<String, String> = BTreeMap::new();
    for variable in collection["variable"].as_array().into_iter().flatten() {
        variables.insert(plain(&variable["key"]), plain(&variable["value"]));
    }
    let environment = [
        ("base", ""),
        ("investigator", "demo-investigator"),
        ("investigator_password", PASSWORD),
        ("admin", "demo-admin"),
        ("admin_password", PASSWORD),
        ("photo", "examples/photos/astronaut.jpg"),
    ];
    variables.extend(environment.map(|(k, v)| (k.to_owned(), v.to_owned())));
    for step in &steps {
        let answer = play(&app, step, &variables).await;
        let body = answer.json();
        for line in &step.expectations {
            let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
            let told = || {
                format!(
                    "{}: {line}\n{} {}",
                    step.name,
                    answer.status,
                    String::from_utf8_lossy(&answer.bytes[..answer.bytes.len().min(600)])
                )
            };
            match verb {
                "expect" => assert_eq!(answer.status.as_u16().to_string(), rest.trim(), "{}", told()),
                "capture" => {
                    let filled = fill(rest, &variables);
                    let (name, path) = filled.split_once(" = ").expect("a capture");
                    variables.insert(name.to_owned(), plain(&at(&body, path)));
                }
                "equal" => {
                    let filled = fill(rest, &variables);
                    let (path, expected) = filled.split_once(" = ").expect("an equality");
                    let expected: Value = serde_json::from_str(expected).unwrap_or_else(|_| panic!("{}", told()));
                    assert_eq!(at(&body, path), expected, "{}", told());
                }
                "header" => {
                    let filled = fill(rest, &variables);
                    let (name, expected) = filled.split_once(" = ").expect("a header");
                    assert_eq!(answer.headers.get(name).and_then(|v| v.to_str().ok()), Some(expected), "{}", told());
                }
                "length" => assert_eq!(answer.bytes.len().to_string(), fill(rest, &variables), "{}", told()),
                _ => {}
            }
        }
    }
    assert!(steps.len() > 30);
}

async fn play(app: &TestApp, step: &Step, variables: &BTreeMap<String, String>) -> Answer {
    let request = &step.request;
    let url = request["url"]["raw"].as_str().or(request["url"].as_str()).expect("a url");
    let mut built =
        Request::builder().method(request["method"].as_str().and_then(|m| m.parse::<Method>().ok()).expect("a method"));
    built = built.uri(fill(url, variables).replace(' ', "%20"));
    for header in request["header"].as_array().into_iter().flatten() {
        built = built.header(plain(&header["key"]), fill(&plain(&header["value"]), variables));
    }
    if let Some(token) = request["auth"]["bearer"][0]["value"].as_str() {
        built = built.header(header::AUTHORIZATION, format!("Bearer {}", fill(token, variables)));
    }
    let body = &request["body"];
    let (content_type, bytes) = match body["mode"].as_str() {
        Some("raw") => (Some("application/json".to_owned()), fill(&plain(&body["raw"]), variables).into_bytes()),
        Some("urlencoded") => {
            let fields = body["urlencoded"].as_array().expect("fields");
            let fields: Vec<(String, String)> =
                fields.iter().map(|f| (plain(&f["key"]), fill(&plain(&f["value"]), variables))).collect();
            (
                Some("application/x-www-form-urlencoded".to_owned()),
                serde_urlencoded::to_string(fields).expect("a form").into_bytes(),
            )
        }
        Some("formdata") => {
            let mut form = Form::default();
            for field in body["formdata"].as_array().expect("fields") {
                form = if field["type"] == "file" {
                    let path = fill(&plain(&field["src"]), variables);
                    let name = Path::new(&path).file_name().and_then(|n| n.to_str()).expect("a name").to_owned();
                    form.file(&name, &std::fs::read(&path).expect("the photograph"))
                } else {
                    form.text(&plain(&field["key"]), &fill(&plain(&field["value"]), variables))
                };
            }
            (Some(form::CONTENT_TYPE.to_owned()), form.finish())
        }
        _ => (None, Vec::new()),
    };
    let given = request["header"]
        .as_array()
        .into_iter()
        .flatten()
        .any(|h| plain(&h["key"]).eq_ignore_ascii_case("content-type"));
    if let (Some(content_type), false) = (content_type, given) {
        built = built.header(header::CONTENT_TYPE, content_type);
    }
    app.nobody().send(built.body(Body::from(bytes)).expect("a request")).await
}
