//! JSON as we take it: parsed once, refusing what later floors could not keep or would read two ways.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::fault::{Code, Fault};

/// How deep arrays and objects may be nested.
pub const DEPTH_MAX: usize = 32;

/// Parses a whole JSON text. Refuses duplicate keys, U+0000 in strings, and nesting beyond [`DEPTH_MAX`].
pub fn parse(text: &[u8]) -> Result<Value, Fault> {
    let mut input = serde_json::Deserializer::from_slice(text);
    let value = Strict { depth: DEPTH_MAX }.deserialize(&mut input).map_err(to_fault)?;
    input.end().map_err(to_fault)?;
    Ok(value)
}

/// Whether a text may be stored: PostgreSQL keeps no U+0000.
pub fn check_text(text: &str) -> Result<(), Fault> {
    if text.contains('\0') { Err(Fault::new(Code::NulCharacter, "A string holds U+0000.")) } else { Ok(()) }
}

fn to_fault(error: serde_json::Error) -> Fault {
    let text = error.to_string();
    let ours = [(DUPLICATE, Code::DuplicateKey), (NUL, Code::NulCharacter), (DEEP, Code::TooDeep)];
    match ours.into_iter().find(|(mark, _)| text.starts_with(mark)) {
        Some((_, code)) => Fault::new(code, format!("{text}.")),
        None if text.starts_with("recursion limit") => Fault::new(Code::TooDeep, format!("{text}.")),
        None => Fault::new(Code::MalformedJson, format!("The body is not JSON: {text}.")),
    }
}

const DUPLICATE: &str = "the key ";
const NUL: &str = "a string holds U+0000";
const DEEP: &str = "nested deeper than";

struct Strict {
    depth: usize,
}

impl Strict {
    fn deeper<E: serde::de::Error>(&self) -> Result<Self, E> {
        match self.depth.checked_sub(1) {
            Some(depth) => Ok(Self { depth }),
            None => Err(E::custom(format!("{DEEP} {DEPTH_MAX} levels"))),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;
    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<Value, D::Error> {
        input.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }
    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }
    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }
    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }
    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("a number is not finite"))
    }
    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Value, E> {
        if value.contains('\0') { Err(E::custom(NUL)) } else { Ok(Value::String(value.to_owned())) }
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self.deeper()?)? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            if key.contains('\0') {
                return Err(A::Error::custom(NUL));
            }
            if map.contains_key(&key) {
                return Err(A::Error::custom(format!("{DUPLICATE}{:?} is given twice", super::name::shorten(&key))));
            }
            let value = entries.next_value_seed(self.deeper()?)?;
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> Option<Code> {
        parse(text.as_bytes()).err().map(|fault| fault.code)
    }

    #[test]
    fn strange_json_is_refused_by_name() {
        assert_eq!(code(r#"{"a":[1,2.5,null,true,"x"]}"#), None);
        assert_eq!(code(r#"{"a":1,"a":2}"#), Some(Code::DuplicateKey));
        assert_eq!(code("\"a\\u0000b\""), Some(Code::NulCharacter));
        assert_eq!(code("{\"a\\u0000\":1}"), Some(Code::NulCharacter));
        assert_eq!(code(r#""\ud800""#), Some(Code::MalformedJson));
        assert_eq!(code("NaN"), Some(Code::MalformedJson));
        assert_eq!(code("{} {}"), Some(Code::MalformedJson));
        assert_eq!(code("1e999"), Some(Code::MalformedJson));
        assert_eq!(code(&"[".repeat(40)), Some(Code::TooDeep));
        assert_eq!(code(&"[".repeat(100_000)), Some(Code::TooDeep));
    }
}
