//! The gate before the parser of forms. What the parser would keep whole until it ends, the bytes before the first part and the
//! header of each part, is bounded here; and a character that no header can carry costs its own part, not the form.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, header};
use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, stream};
use memchr::memmem;
use parking_lot::Mutex;

use crate::domain::fault::{Code, Fault};

/// The most bytes before the first part, which mean nothing, and in the header of each part, which is a name.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// The longest boundary (RFC 2046 §5.1.1).
const BOUNDARY_CHARS_MAX: usize = 70;
const LINE_END: &[u8] = b"\r\n";
const HEAD_END: &[u8] = b"\r\n\r\n";

/// The places, among all parts, of those whose header held what no header can carry.
pub(super) type OddParts = Arc<Mutex<BTreeSet<usize>>>;

/// Why a form is not let through.
#[derive(Debug, thiserror::Error)]
pub(super) enum Barred {
    #[error("{0}")]
    Wrong(Fault),
    #[error(transparent)]
    Lost(axum::Error),
}

/// Puts the gate before the body of a form; nothing if it declares no boundary.
pub(super) fn guard(mut request: Request) -> Option<(Request, OddParts)> {
    let boundary = boundary(request.headers())?;
    // Written anew, so that the parser takes the same for it.
    let plain = format!("multipart/form-data; boundary=\"{boundary}\"");
    request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::try_from(plain).ok()?);
    let odd = OddParts::default();
    let gate = FormGate::new(&boundary, Arc::clone(&odd));
    let request = request.map(|body| {
        let passed = stream::unfold((body.into_data_stream(), Some(gate)), |(mut data, gate)| async move {
            let mut gate = gate?;
            let passed = match data.next().await {
                Some(Ok(chunk)) => gate.pass(&chunk).map_err(Barred::Wrong),
                Some(Err(error)) => Err(Barred::Lost(error)),
                // What is left may be the beginning of a boundary: the parser says that it misses the rest.
                None => return Some((Ok(gate.waiting.freeze()), (data, None))),
            };
            let on = passed.is_ok().then_some(gate);
            Some((passed, (data, on)))
        });
        axum::body::Body::from_stream(passed)
    });
    Some((request, odd))
}

fn boundary(headers: &HeaderMap) -> Option<String> {
    let mut parts = headers.get(header::CONTENT_TYPE)?.to_str().ok()?.split(';').map(str::trim);
    parts.next().filter(|kind| kind.eq_ignore_ascii_case("multipart/form-data"))?;
    let mut named = parts.filter_map(|part| part.split_once('='));
    let (_, value) = named.find(|(name, _)| name.trim().eq_ignore_ascii_case("boundary"))?;
    let value = value.trim().trim_matches('"');
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"'()+_,-./:=?".contains(&b);
    ((1..=BOUNDARY_CHARS_MAX).contains(&value.len()) && value.bytes().all(fits)).then(|| value.to_owned())
}

/// Where in the form the next byte is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum PlaceInForm {
    Before,
    Head,
    Content,
    Behind,
}

struct FormGate {
    /// What ends the content of a part; without the line's end, what begins the first.
    end: memmem::Finder<'static>,
    begin: memmem::Finder<'static>,
    place: PlaceInForm,
    /// Not let through yet.
    waiting: BytesMut,
    /// Heads let through.
    parts: usize,
    odd: OddParts,
}

impl FormGate {
    fn new(boundary: &str, odd: OddParts) -> Self {
        let end = format!("\r\n--{boundary}").into_bytes();
        let begin = memmem::Finder::new(&end[LINE_END.len()..]).into_owned();
        let end = memmem::Finder::new(&end).into_owned();
        Self { end, begin, place: PlaceInForm::Before, waiting: BytesMut::new(), parts: 0, odd }
    }

    /// Lets through what can be.
    fn pass(&mut self, chunk: &[u8]) -> Result<Bytes, Fault> {
        self.waiting.extend_from_slice(chunk);
        let mut let_through = 0;
        loop {
            let waiting = &mut self.waiting[let_through..];
            let (length, next) = match self.place {
                PlaceInForm::Before => match self.begin.find(waiting) {
                    Some(at) => (at + self.begin.needle().len(), PlaceInForm::Head),
                    None if waiting.len() > HEAD_BYTES_MAX => return Err(too_long("Before its first part the form")),
                    None => break,
                },
                PlaceInForm::Head if waiting.starts_with(b"--") => (0, PlaceInForm::Behind),
                PlaceInForm::Head => match head_length(waiting) {
                    Some((_, length)) if length > HEAD_BYTES_MAX => return Err(too_long("The header of a part")),
                    Some((from, length)) => {
                        if tame(&mut waiting[from..length]) {
                            self.odd.lock().insert(self.parts);
                        }
                        self.parts += 1;
                        (length, PlaceInForm::Content)
                    }
                    None if waiting.len() > HEAD_BYTES_MAX => return Err(too_long("The header of a part")),
                    None => break,
                },
                PlaceInForm::Content => match self.end.find(waiting) {
                    Some(at) => (at + self.end.needle().len(), PlaceInForm::Head),
                    None => {
                        // The last bytes may be the beginning of the end.
                        let_through += waiting.len().saturating_sub(self.end.needle().len() - 1);
                        break;
                    }
                },
                PlaceInForm::Behind => {
                    let_through += waiting.len();
                    break;
                }
            };
            let_through += length;
            self.place = next;
        }
        Ok(self.waiting.split_to(let_through).freeze())
    }
}

fn too_long(what: &str) -> Fault {
    let detail = format!("{what} has more than {HEAD_BYTES_MAX} bytes.");
    Fault::new(Code::TooLarge, detail).mend("Send each file under a shorter name, and nothing between the parts.")
}

/// Where a head begins, behind the line of its boundary, and where it ends.
fn head_length(waiting: &[u8]) -> Option<(usize, usize)> {
    let from = memmem::find(waiting, LINE_END)? + LINE_END.len();
    Some((from, from + memmem::find(&waiting[from..], HEAD_END)? + HEAD_END.len()))
}

/// Replaces what no header can carry; answers whether there was any. A line that is no field belongs to a name with a break in it.
fn tame(head: &mut [u8]) -> bool {
    let (mut at, mut odd) = (0, false);
    while at < head.len() {
        if head[at..].starts_with(LINE_END) && begins_line(&head[at + 2..]) {
            at += LINE_END.len();
            continue;
        }
        if head[at].is_ascii_control() && head[at] != b'\t' {
            head[at] = b'?';
            odd = true;
        }
        at += 1;
    }
    odd
}

fn begins_line(rest: &[u8]) -> bool {
    if rest.is_empty() || rest == LINE_END {
        return true;
    }
    let name = rest.iter().take_while(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b)).count();
    name > 0 && rest.get(name) == Some(&b':')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes of a form in pieces of this size, and which of its parts are odd.
    fn through(form: &[u8], piece: usize) -> Result<(Vec<u8>, Vec<usize>), Code> {
        let odd = OddParts::default();
        let mut gate = FormGate::new("b", Arc::clone(&odd));
        let mut passed = Vec::new();
        for piece in form.chunks(piece) {
            passed.extend(gate.pass(piece).map_err(|fault| fault.code)?);
        }
        passed.extend(gate.waiting);
        let odd = odd.lock().iter().copied().collect();
        Ok((passed, odd))
    }

    #[test]
    fn a_usual_form_passes_unchanged_in_pieces_of_any_size() {
        let form = b"before\r\n--b\r\nA: 1\r\nB: 2\r\n\r\none\r\n--\r\n--b \r\nA: x:\xe4\r\n\r\n\r\n--b\r\nA:\r\n\r\n\r\n\r\n--b--\r\nbehind";
        for piece in 1..form.len() {
            assert_eq!(through(form, piece), Ok((form.to_vec(), vec![])), "{piece}");
        }
    }

    #[test]
    fn what_is_kept_whole_is_bounded_and_content_is_not() {
        let long = "x".repeat(2 * HEAD_BYTES_MAX);
        for (form, fits) in [
            (long.clone(), false),
            (format!("--b\r\nA: {long}"), false),
            (format!("--b\r\nA: {long}\r\n\r\n"), false),
            (format!("--b{}", " ".repeat(2 * HEAD_BYTES_MAX)), false),
            (format!("--b\r\n\r\n{long}"), false),
            (format!("--b\r\nA: 1\r\n\r\n1\r\n--b\r\nA: {long}"), false),
            (format!("--b\r\nA: 1\r\n\r\n{long}\r\n--b--{long}"), true),
        ] {
            for piece in [1, 1000, 100_000] {
                let passed = through(form.as_bytes(), piece).map(|(passed, _)| passed);
                let expected = if fits { Ok(form.clone().into_bytes()) } else { Err(Code::TooLarge) };
                assert_eq!(passed, expected, "{form:.40} in pieces of {piece}");
            }
        }
    }

    #[test]
    fn what_no_header_can_carry_costs_its_own_part() {
        let form = b"--b\r\nA: \"a\0b\"\r\n\r\n1\0\r\n--b\r\nA: b\r\n\r\n2\r\n--b\r\nA: \"c\r\nd\re\n\x7f\"\r\nB: f\r\n\r\n3\r\n--b--";
        let tamed =
            b"--b\r\nA: \"a?b\"\r\n\r\n1\0\r\n--b\r\nA: b\r\n\r\n2\r\n--b\r\nA: \"c??d?e??\"\r\nB: f\r\n\r\n3\r\n--b--";
        for piece in 1..form.len() {
            assert_eq!(through(form, piece), Ok((tamed.to_vec(), vec![0, 2])), "{piece}");
        }
    }

    #[test]
    fn a_boundary_is_what_the_parser_takes_for_it() {
        let of = |kind: &str| {
            let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::try_from(kind).expect("a value"))]);
            boundary(&headers)
        };
        assert_eq!(of("multipart/form-data; boundary=a-b").as_deref(), Some("a-b"));
        assert_eq!(of("Multipart/Form-Data; charset=utf-8; BOUNDARY=\"a b\""), None);
        assert_eq!(of("multipart/form-data; boundary=\"a:b\"").as_deref(), Some("a:b"));
        for none in [
            "text/plain; boundary=a",
            "multipart/form-data",
            "multipart/form-data; boundary=",
            "multipart/mixed; boundary=a",
        ] {
            assert_eq!(of(none), None, "{none}");
        }
        assert_eq!(of(&format!("multipart/form-data; boundary={}", "a".repeat(71))), None);
    }
}
