//! The parameters of a training run that everybody takes for the same, and the names of what it brings.

use serde_json::{Map, Value};

use super::fault::{Code, Fault};
use super::json;
use super::text::is_control;

/// The most bytes of a run's parameters: a model's structure may be among them.
pub const RUN_PARAMS_BYTES_MAX: usize = 256 * 1024;
/// The most learning rates of one run.
const RATES_MAX: usize = 100;
/// The most epochs of one run, and the most images of one batch.
const COUNT_MAX: u64 = 1_000_000;
/// The greatest number of an epoch.
pub const EPOCH_MAX: i32 = 1_000_000;
/// The longest name of a model's file, in bytes: what file systems take.
const FILE_NAME_BYTES_MAX: usize = 255;
/// The most values that are measured after one epoch.
const VALUES_MAX: usize = 32;
/// The longest name of a value, in characters.
const VALUE_NAME_CHARS_MAX: usize = 64;

/// Whether a parameter is what its name says, and what that is.
type ParameterRule = (&'static str, fn(&Value) -> bool, &'static str);

const RULES: &[ParameterRule] = &[
    ("model", is_model, "a name, a structure as a JSON object, or a text that begins with { and is JSON"),
    ("loss", Value::is_string, "a text"),
    ("optimizer", |value| value.is_string() || value.is_object(), "a text or an object"),
    ("learning_rate", is_rate, "a number above 0, or a list of 1 to 100 such"),
    ("epochs", |value| is_count(value, 1), "a whole number from 1 to 1000000"),
    ("seed", Value::is_u64, "a whole number from 0 on"),
    ("split", |value| value.as_f64().is_some_and(|split| split > 0.0 && split < 1.0), "a number above 0 and below 1"),
    ("batch_size", |value| is_count(value, 1), "a whole number from 1 to 1000000"),
    ("save", Value::is_boolean, "true or false"),
];

/// Refuses a parameter that is not what its name says to everybody; the fault names it.
pub fn check_parameters(params: &Map<String, Value>) -> Result<(), Fault> {
    for (name, holds, what) in RULES {
        if let Some(value) = params.get(*name)
            && !holds(value)
        {
            let detail = format!("{name} is not {what}.");
            return Err(Fault::new(Code::InvalidField, detail).on(format!("/{name}")));
        }
    }
    Ok(())
}

fn is_model(value: &Value) -> bool {
    match value {
        Value::String(text) if text.trim_start().starts_with('{') => json::check_form(text).is_ok(),
        Value::String(text) => !text.is_empty(),
        value => value.is_object(),
    }
}

fn is_rate(value: &Value) -> bool {
    let positive = |value: &Value| value.as_f64().is_some_and(|rate| rate > 0.0 && rate.is_finite());
    match value {
        Value::Array(rates) => (1..=RATES_MAX).contains(&rates.len()) && rates.iter().all(positive),
        value => positive(value),
    }
}

fn is_count(value: &Value, least: u64) -> bool {
    value.as_u64().is_some_and(|count| (least..=COUNT_MAX).contains(&count))
}

/// Refuses what is no plain name of a file: it is given to those who download it.
pub fn check_file_name(name: &str) -> Result<(), Fault> {
    let why = match name {
        "" => "is empty",
        "." | ".." => "is no file's",
        _ if name.len() > FILE_NAME_BYTES_MAX => "has more than 255 bytes",
        _ if name.contains(['/', '\\']) => "is a path",
        _ if name.chars().any(is_control) => "holds a control character",
        _ => return Ok(()),
    };
    Err(Fault::new(Code::InvalidField, format!("The name of the file {why}."))
        .mend("Send a plain name, as `model.onnx`."))
}

/// Refuses values of an epoch that are too many, or whose names are none; the fault says where among them.
pub fn check_values<'n>(names: impl ExactSizeIterator<Item = &'n String>) -> Result<(), Fault> {
    let count = names.len();
    if !(1..=VALUES_MAX).contains(&count) {
        let detail = format!("values has {count} members; it has 1 to {VALUES_MAX}.");
        return Err(Fault::new(Code::InvalidField, detail).on(""));
    }
    let mut names = names;
    let first = |c: char| c.is_ascii_alphabetic() || c == '_';
    let form = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '/' | '-');
    let good = |name: &String| name.starts_with(first) && name.len() <= VALUE_NAME_CHARS_MAX && name.chars().all(form);
    match names.find(|name| !good(name)) {
        None => Ok(()),
        Some(name) => {
            let detail = format!(
                "{:?} is not the name of a value: 1 to {VALUE_NAME_CHARS_MAX} letters, digits, _, ., / and -, beginning with a letter or _.",
                super::name::shorten(name)
            );
            Err(Fault::new(Code::InvalidField, detail).on(""))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn parameters_are_what_their_names_say() {
        let check = |name: &str, value: Value| check_parameters(&Map::from_iter([(name.to_owned(), value)]));
        for (name, good) in [
            ("model", json!("mlp")),
            ("model", json!({"layers": [64, 10]})),
            ("model", json!(" {\"layers\": [64]}")),
            ("optimizer", json!({"name": "adam"})),
            ("learning_rate", json!(0.1)),
            ("learning_rate", json!([0.1, 1])),
            ("epochs", json!(1_000_000)),
            ("seed", json!(0)),
            ("split", json!(0.25)),
            ("save", json!(false)),
            ("whatever", json!([null])),
        ] {
            assert_eq!(check(name, good.clone()), Ok(()), "{name} {good}");
        }
        for (name, bad) in [
            ("model", json!("{\"layers\": [64}")),
            ("model", json!("")),
            ("model", json!(3)),
            ("loss", json!({})),
            ("learning_rate", json!([])),
            ("learning_rate", json!(vec![0.1; 10_000])),
            ("learning_rate", json!([0.1, -1])),
            ("learning_rate", json!("0.1")),
            ("epochs", json!(-3)),
            ("epochs", json!(1.5)),
            ("epochs", json!(1_000_001)),
            ("seed", json!(-1)),
            ("split", json!(1)),
            ("batch_size", json!(0)),
            ("save", json!("yes")),
        ] {
            let fault = check(name, bad.clone()).expect_err("a fault");
            assert_eq!(fault.errors[0].pointer, format!("/{name}"), "{bad}");
        }
    }

    #[test]
    fn a_files_name_is_no_path() {
        for good in ["model.onnx", "Gewichte für Zoë.pt", &"a".repeat(255)] {
            assert_eq!(check_file_name(good), Ok(()), "{good}");
        }
        for bad in ["", ".", "..", "a/b", "..\\b", "a\nb", "a\u{202e}b", &"a".repeat(256)] {
            assert!(check_file_name(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn values_have_names() {
        let check = |names: &[&str]| check_values(names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>().iter());
        assert_eq!(check(&["loss", "val/acc-1", "_x.y"]), Ok(()));
        for bad in [&[][..], &["1"], &[""], &["a b"], &["é"], &["a"; 33]] {
            assert!(check(bad).is_err(), "{bad:?}");
        }
        assert!(check(&["a".repeat(65).as_str()]).is_err());
    }
}
