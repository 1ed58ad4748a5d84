//! What the form and the JSON of a submission have in common.

use std::collections::{BTreeMap, HashSet};

use chrono::{DateTime, Datelike, Utc};
use serde_json::Value;

use crate::domain::fault::{Code, Fault};
use crate::domain::json;
use crate::service::submit::Ask;

/// The longest that a job may wait, in seconds: a year.
const FINISH_WITHIN_MAX_S: f64 = 366.0 * 24.0 * 3600.0;

/// Params are an object keyed by model.
pub(super) fn read_params(text: &str, place: &'static str) -> Result<BTreeMap<String, Value>, Fault> {
    match json::parse(text).map_err(|fault| fault.at(place, "/params"))? {
        Value::Null => Ok(BTreeMap::new()),
        Value::Object(params) => Ok(params.into_iter().collect()),
        _ => Err(Fault::invalid(place, "/params", "params is not an object keyed by model.")),
    }
}

/// Model names without repeats, in the order they came.
pub(super) fn distinct(models: Vec<String>) -> Vec<String> {
    let mut seen = HashSet::new();
    models.into_iter().filter(|name| seen.insert(name.clone())).collect()
}

/// Checks the terms that concern all jobs of a request.
pub(super) fn check_terms(ask: &Ask) -> Result<(), Fault> {
    if !(-100..=100).contains(&ask.priority) {
        let detail = format!("priority is {}; it is from -100 to 100.", ask.priority);
        return Err(Fault::new(Code::InvalidField, detail).on("/priority"));
    }
    if let Some(s) = ask.finish_within_s.filter(|s| !(1.0..=FINISH_WITHIN_MAX_S).contains(s)) {
        let detail = format!("finish_within_s is {s}; it is from 1 to {FINISH_WITHIN_MAX_S}.");
        return Err(Fault::new(Code::InvalidField, detail).on("/finish_within_s"));
    }
    let far = |at: &DateTime<Utc>| !(2000..=2200).contains(&at.year());
    if let Some(at) = ask.run_at.filter(far) {
        let detail = format!("run_at is {at}; its year is from 2000 to 2200.");
        return Err(Fault::new(Code::InvalidField, detail).on("/run_at"));
    }
    Ok(())
}
