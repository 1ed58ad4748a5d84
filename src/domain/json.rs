//! JSON as we take it: what later floors could not keep, or would read two ways, is refused by name.

use std::borrow::Cow;
use std::collections::HashSet;

use memchr::{memchr2, memmem};
use serde::de::IgnoredAny;
use serde_json::Value;

use super::fault::{Code, Fault};
use super::name::shorten;

/// How deep arrays and objects may be nested.
pub const DEPTH_MAX: usize = 32;
/// The most bytes of JSON of free form that are taken apart: its tree may take a hundred times as much.
pub const FREE_BYTES_MAX: usize = 64 * 1024;
/// The longest number, in characters: a double needs fewer, and PostgreSQL's numbers end somewhere as well.
const NUMBER_CHARS_MAX: usize = 300;
/// The greatest exponent of ten, up or down, that a double has, and some.
const EXPONENT_MAX: u32 = 400;
/// How many keys of one object are compared one by one.
const KEYS_COMPARED: usize = 16;

/// Parses JSON of free form, at most [`FREE_BYTES_MAX`] of it.
pub fn parse(text: &str) -> Result<Value, Fault> {
    if text.len() > FREE_BYTES_MAX {
        let detail = format!("The JSON has {} bytes; the limit is {FREE_BYTES_MAX}.", text.len());
        return Err(Fault::new(Code::TooLarge, detail));
    }
    check(text)?;
    serde_json::from_str(text).map_err(|error| malformed(&error))
}

/// Refuses what a parser lets pass: U+0000 in strings, a key given twice, nesting beyond [`DEPTH_MAX`], halves of characters, and
/// numbers that no double holds. One pass, which keeps the keys of the open objects. Of a text that is no JSON at all it may
/// say nothing.
pub fn check(text: &str) -> Result<(), Fault> {
    scan(text, Some(SeenKeys::default()))
}

/// Says why a text that could not be read is no JSON, or none that may come in; keeps nothing, whatever its size.
pub fn check_form(text: &str) -> Result<(), Fault> {
    scan(text, None)?;
    serde_json::from_str::<IgnoredAny>(text).map(drop).map_err(|error| malformed(&error))
}

/// Whether a string of this JSON may hold U+0000: only its escape can bring it in.
pub fn may_hold_nul(text: &str) -> bool {
    memmem::find(text.as_bytes(), br"\u0000").is_some()
}

/// Whether a text may be stored: PostgreSQL keeps no U+0000.
pub fn check_text(text: &str) -> Result<(), Fault> {
    if text.contains('\0') { Err(Fault::new(Code::NulCharacter, "A string holds U+0000.")) } else { Ok(()) }
}

/// What a parser says of a text that is not JSON.
pub fn malformed(why: &serde_json::Error) -> Fault {
    Fault::new(Code::MalformedJson, format!("This is not JSON: {why}."))
}

fn scan<'t>(text: &'t str, mut keys: Option<SeenKeys<'t>>) -> Result<(), Fault> {
    let bytes = text.as_bytes();
    let (mut at, mut depth) = (0, 0_usize);
    while let Some(byte) = bytes.get(at) {
        at = match byte {
            b'{' | b'[' => {
                depth += 1;
                if depth > DEPTH_MAX {
                    return Err(Fault::new(Code::TooDeep, format!("Nested deeper than {DEPTH_MAX} levels.")));
                }
                keys.iter_mut().for_each(SeenKeys::open);
                at + 1
            }
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                keys.iter_mut().for_each(SeenKeys::close);
                at + 1
            }
            b'"' => {
                let Some(end) = string_end(bytes, at + 1) else { return Ok(()) };
                let string = read_string(&text[at..end])?;
                if let Some(keys) = keys.as_mut().filter(|_| is_key(&bytes[end..])) {
                    keys.add(string)?;
                }
                end
            }
            b'-' | b'0'..=b'9' => {
                let rest = &bytes[at..];
                let length = rest.iter().take_while(|b| matches!(b, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E'));
                let end = at + length.count();
                check_number(&text[at..end])?;
                end
            }
            _ => at + 1,
        };
    }
    Ok(())
}

/// Where the string ends whose first character is at `at`: behind its closing quote, if it has one.
fn string_end(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        at += memchr2(b'"', b'\\', bytes.get(at..)?)?;
        if bytes[at] == b'"' {
            return Some(at + 1);
        }
        at += 2;
    }
}

fn is_key(rest: &[u8]) -> bool {
    rest.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b':')
}

/// The string of a token in its quotes.
fn read_string(token: &str) -> Result<Cow<'_, str>, Fault> {
    let inside = &token[1..token.len() - 1];
    if memchr::memchr(b'\\', inside.as_bytes()).is_none() {
        return Ok(Cow::Borrowed(inside));
    }
    let string: String = serde_json::from_str(token).map_err(|error| malformed(&error))?;
    check_text(&string)?;
    Ok(Cow::Owned(string))
}

fn check_number(number: &str) -> Result<(), Fault> {
    let exponent = number.split_once(['e', 'E']).map(|(_, exponent)| exponent.parse::<i32>());
    let double = match exponent {
        None => true,
        Some(Ok(exponent)) if exponent.unsigned_abs() <= EXPONENT_MAX => number.parse().is_ok_and(f64::is_finite),
        Some(_) => false,
    };
    if double && number.len() <= NUMBER_CHARS_MAX {
        return Ok(());
    }
    Err(Fault::new(Code::InvalidField, format!("{} is not a number that a double holds.", shorten(number))))
}

/// The keys of the objects that are open.
#[derive(Default)]
struct SeenKeys<'t> {
    /// The first of each, outermost object first.
    names: Vec<Cow<'t, str>>,
    /// Where those of an object begin, and what it has beyond [`KEYS_COMPARED`].
    open: Vec<(usize, HashSet<Cow<'t, str>>)>,
}

impl<'t> SeenKeys<'t> {
    fn open(&mut self) {
        self.open.push((self.names.len(), HashSet::new()));
    }

    fn close(&mut self) {
        if let Some((from, _)) = self.open.pop() {
            self.names.truncate(from);
        }
    }

    fn add(&mut self, key: Cow<'t, str>) -> Result<(), Fault> {
        let Some((from, more)) = self.open.last_mut() else { return Ok(()) };
        let first = &self.names[*from..];
        let known = first.contains(&key) || more.contains(&key);
        if known {
            return Err(Fault::new(Code::DuplicateKey, format!("The key {:?} is given twice.", shorten(&key))));
        }
        if first.len() < KEYS_COMPARED {
            self.names.push(key);
        } else {
            more.insert(key);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> Option<Code> {
        parse(text).err().map(|fault| fault.code)
    }

    #[test]
    fn strange_json_is_refused_by_name() {
        assert_eq!(code(r#"{"a":[1,-2.5e-3,null,true,"x\\u0000",{"a":"\"a\":\ud83d\ude00"}],"b":{"a":1}}"#), None);
        assert_eq!(code(r#"{"a":1,"a":2}"#), Some(Code::DuplicateKey));
        assert_eq!(code(r#"[{"a":{"b":1}, "\u0061" : 2}]"#), Some(Code::DuplicateKey));
        assert_eq!(code("\"a\\u0000b\""), Some(Code::NulCharacter));
        assert_eq!(code("{\"a\\u0000\":1}"), Some(Code::NulCharacter));
        assert_eq!(code(r#""\ud800""#), Some(Code::MalformedJson));
        assert_eq!(code("NaN"), Some(Code::MalformedJson));
        assert_eq!(code("{} {}"), Some(Code::MalformedJson));
        assert_eq!(code(&"[".repeat(40)), Some(Code::TooDeep));
        assert_eq!(code(&"[".repeat(100_000)), Some(Code::TooLarge));
        assert_eq!(check_form(&"[".repeat(100_000)).map_err(|fault| fault.code), Err(Code::TooDeep));
        for broken in ["\"", "\"\\", "{\"a\"", "}]", "[1", "-", ""] {
            assert_eq!(code(broken), Some(Code::MalformedJson), "{broken}");
        }
    }

    #[test]
    fn a_key_is_given_once_in_an_object_of_any_size() {
        let keys = |count: usize| (0..count).map(|n| format!("\"{n}\":0")).collect::<Vec<_>>().join(",");
        assert_eq!(code(&format!("{{{}}}", keys(5000))), None);
        for twice in [3, KEYS_COMPARED - 1, KEYS_COMPARED, 4999] {
            let text = format!("{{{},\"{twice}\":1}}", keys(5000));
            assert_eq!(code(&text), Some(Code::DuplicateKey), "{twice}");
        }
    }

    #[test]
    fn numbers_are_those_of_a_double() {
        for good in ["0", "-0.0", "1e308", "5E-324", "18446744073709551616", "0.1234567890123456789"] {
            assert_eq!(code(good), None, "{good}");
        }
        for bad in ["1e999", "-1e400", "0e-20000", "1e99999999999", &"1".repeat(301), &format!("0.{}", "0".repeat(300))]
        {
            assert_eq!(code(bad), Some(Code::InvalidField), "{bad}");
        }
    }
}
