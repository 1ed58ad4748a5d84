//! What the parameters of paths and queries mean and may hold, by their names.

use serde_json::{Value, json};
use utoipa::openapi::path::Parameter;
use utoipa::openapi::schema::Schema;
use utoipa::openapi::{RefOr, path::Operation};

/// A parameter's name, the part of the path before it (or nothing), its meaning, and what its schema says besides its type.
type Rule = (&'static str, &'static str, &'static str, fn() -> Value);

const RULES: &[Rule] = &[
    (
        "id",
        "/auth/key/",
        "The key's id: the part between the underscores of `dr_…_…`.",
        || json!({"pattern": "^[a-z0-9]{12}$"}),
    ),
    ("id", "/cases/", "The case's id.", || json!({})),
    ("id", "/exports/", "The export's id.", || json!({})),
    ("id", "/jobs/", "The job's id.", || json!({})),
    ("id", "/submissions/", "The submission's id.", || json!({})),
    ("id", "/training/", "The run's id.", || json!({})),
    ("id", "/workers/", "The session's id, as registering answered it.", || json!({})),
    ("name", "/auth/users/", "The account's name.", name),
    ("name", "/cases/", "The filter's name.", || json!({"minLength": 1, "maxLength": 64})),
    ("note", "/cases/", "The note's id.", || json!({})),
    ("user", "/cases/", "The account's name.", name),
    ("name", "/models/", "The model's name.", name),
    ("name", "/training/datasets/", "The dataset's name.", name),
    ("model", "/queues/", "The model's name.", name),
    ("code", "/problems/", "The problem's `code`.", || json!({"pattern": "^[a-z0-9_]{1,64}$"})),
    ("md5", "", "The MD5 of the image's bytes, in either case.", || json!({"pattern": "^[0-9A-Fa-f]{32}$"})),
    ("limit", "", "", || json!({"minimum": 1, "maximum": 500, "default": 100})),
    ("wait_s", "", "", || json!({"minimum": 0, "maximum": 50, "default": 0})),
];

fn name() -> Value {
    json!({"pattern": "^[a-z0-9][a-z0-9_.-]{0,63}$"})
}

/// Describes the parameters of an operation on a path.
pub fn describe(path: &str, operation: &mut Operation) {
    for parameter in operation.parameters.iter_mut().flatten() {
        let RefOr::T(parameter) = parameter else { continue };
        let rule = RULES.iter().find(|(name, before, ..)| *name == parameter.name && path.starts_with(before));
        if let Some((_, _, meaning, bounds)) = rule {
            apply(parameter, meaning, bounds());
        }
    }
}

fn apply(parameter: &mut Parameter, meaning: &str, bounds: Value) {
    if !meaning.is_empty() {
        parameter.description = Some(meaning.to_owned());
    }
    let Some(RefOr::T(schema)) = &parameter.schema else { return };
    let Ok(Value::Object(mut said)) = serde_json::to_value(schema) else { return };
    for (keyword, value) in bounds.as_object().into_iter().flatten() {
        // What an operation says of its own parameter is closer.
        said.entry(keyword).or_insert_with(|| value.clone());
    }
    if let Ok(schema) = serde_json::from_value::<Schema>(said.into()) {
        parameter.schema = Some(RefOr::T(schema));
    }
}
