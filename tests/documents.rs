//! README, OpenAPI and Postman agree with the code.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use axum::body::Body;
use axum::http::{Method, Request, header};
use clap::CommandFactory;
use darkroom::domain::account::Role;
use serde_json::Value;

use crate::kit::app::{PASSWORD, TestApp};
use crate::kit::client::Answer;
use crate::kit::form::{self, Form};

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
        for status in ["4XX", "5XX"] {
            assert!(operation["responses"][status].is_object(), "{what} does not describe {status}");
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

#[test]
fn the_readme_lists_every_setting_as_it_is() {
    #[derive(clap::Parser)]
    struct Cli {
        #[command(flatten)]
        _serve: darkroom::config::Serve,
    }
    let command = Cli::command();
    let mut table = String::from("| variable | default | meaning |\n|---|---|---|\n");
    for argument in command.get_arguments().filter(|a| a.get_env().is_some()) {
        let name = argument.get_env().and_then(|e| e.to_str()).expect("a name");
        let default = argument.get_default_values().first().and_then(|v| v.to_str()).unwrap_or("");
        let default = if default.is_empty() { String::new() } else { format!("`{default}`") };
        table.push_str(&format!("| `{name}` | {default} | {} |\n", argument.get_help().expect("a help text")));
    }
    let readme = std::fs::read_to_string("README.md").expect("README.md");
    assert!(readme.contains(&table), "the README's table of settings should read:\n{table}");
}

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

fn fits(template: &str, path: &str) -> bool {
    let (a, b): (Vec<&str>, Vec<&str>) = (template.split('/').collect(), path.split('/').collect());
    // A literal path wins over a template, as in the router.
    a.len() == b.len()
        && a.iter().zip(b).all(|(t, p)| {
            *t == p
                || (t.starts_with('{')
                    && (p.starts_with("{{") || *t == "{code}" || *t == "{md5}" || *t == "{name}" || *t == "{model}"))
        })
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
    app.user("demo-admin", &Role::ALL).await;
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
