//! What the form and the JSON of a submission have in common.

use std::collections::{BTreeMap, HashSet};

use chrono::{DateTime, Datelike, Utc};
use serde_json::Value;

use super::super::extract;
use crate::domain::fault::Fault;
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

/// Checks the terms that concern all jobs of a request, which came in this part of it.
pub(super) fn check_terms(ask: &Ask, part: &'static str) -> Result<(), Fault> {
    extract::within(part, "priority", ask.priority, -100..=100)?;
    if let Some(seconds) = ask.finish_within_s {
        extract::within(part, "finish_within_s", seconds, 1.0..=FINISH_WITHIN_MAX_S)?;
    }
    let far = |at: &DateTime<Utc>| !(2000..=2200).contains(&at.year());
    if let Some(at) = ask.run_at.filter(far) {
        let detail = format!("run_at is {at}; its year is from 2000 to 2200.");
        return Err(Fault::invalid(part, "/run_at", detail));
    }
    Ok(())
}
