//! Parameters of a model: canonical JSON (RFC 8785), so that equal params are one job.

use serde_json::Value;
use sha2::{Digest, Sha256};

/// The most bytes that one model's canonical params may have: they travel with every claim.
pub const PARAMS_BYTES_MAX: usize = 16 * 1024;

/// Canonical params of one model and their identity.
#[derive(Debug, Clone, PartialEq)]
pub struct Params {
    /// SHA-256 of the canonical text.
    pub hash: [u8; 32],
    pub body: Value,
    text: String,
}

impl Params {
    /// Params that are no object, too large, or hold an integer beyond ±2^53 (where RFC 8785 would round
    /// two different values to one) are refused with a sentence.
    pub fn new(body: Value) -> Result<Self, String> {
        Self::within(body, PARAMS_BYTES_MAX)
    }

    /// The same with another limit to their bytes.
    pub fn within(body: Value, bytes_max: usize) -> Result<Self, String> {
        if !body.is_object() {
            return Err("Params of a model are an object.".to_owned());
        }
        if let Some(number) = inexact_integer(&body) {
            return Err(format!("{number} is beyond ±2^53 and would lose digits; send it as a string."));
        }
        let text = serde_json_canonicalizer::to_string(&body).map_err(|e| e.to_string())?;
        if text.len() > bytes_max {
            return Err(format!("Params have {} bytes; the limit is {bytes_max}.", text.len()));
        }
        Ok(Self { hash: Sha256::digest(text.as_bytes()).into(), body, text })
    }
}

impl Params {
    /// The canonical text.
    pub fn text(&self) -> String {
        self.text.clone()
    }
}

impl Default for Params {
    fn default() -> Self {
        let body = Value::Object(serde_json::Map::new());
        Self { hash: Sha256::digest(b"{}").into(), body, text: "{}".to_owned() }
    }
}

fn inexact_integer(value: &Value) -> Option<String> {
    const EXACT_MAX: u64 = 1 << 53;
    match value {
        Value::Number(n) => {
            // What has no place in 64 bits was read as a double, and may have lost its digits already.
            let magnitude = n.as_u64().or_else(|| n.as_i64().map(i64::unsigned_abs));
            let inexact =
                magnitude.map_or_else(|| n.as_f64().is_some_and(|n| n.abs() >= 2f64.powi(63)), |n| n > EXACT_MAX);
            inexact.then(|| n.to_string())
        }
        Value::Array(items) => items.iter().find_map(inexact_integer),
        Value::Object(map) => map.values().find_map(inexact_integer),
        Value::Null | Value::Bool(_) | Value::String(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn equal_params_have_one_hash() {
        let a = Params::new(json!({"b": 1.0, "a": [1e2]})).map(|p| p.hash);
        let b = Params::new(json!({"a": [100], "b": 1})).map(|p| p.hash);
        assert_eq!(a, b);
        assert_eq!(Params::new(json!({})), Ok(Params::default()));
        assert_ne!(a, Params::new(json!({"a": [100]})).map(|p| p.hash));
    }

    #[test]
    fn integers_that_would_round_are_refused() {
        assert!(Params::new(json!({"a": [9_007_199_254_740_993_u64]})).is_err());
        let read = |text| Params::new(serde_json::from_str(text).expect("JSON"));
        assert!(read(r#"{"a": 18446744073709551617}"#).is_err() && read(r#"{"a": -9223372036854775809}"#).is_err());
        assert!(read(r#"{"a": 1.5, "b": -1e15}"#).is_ok());
        assert!(Params::new(json!({"a": 9_007_199_254_740_992_u64})).is_ok());
        assert!(Params::new(json!([])).is_err());
    }
}
