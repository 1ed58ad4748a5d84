//! How a filter is cut into terms: blanks, quotation marks, signs. What the terms mean is not known here.

use crate::domain::fault::{Code, Fault};

/// What is wrong with a filter, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilterFlaw {
    /// The character at which it lies, from 1.
    pub place: usize,
    /// A sentence without its full stop.
    pub why: String,
}

impl FilterFlaw {
    pub(super) fn at<T>(place: usize, why: impl Into<String>) -> Result<T, Self> {
        Err(Self { place, why: why.into() })
    }

    /// The fault of a request whose filter stands there.
    pub fn fault(self, pointer: &str) -> Fault {
        let Self { place, why } = self;
        Fault::new(Code::InvalidFilter, format!("The filter is wrong at character {place}: {why}.")).on(pointer)
    }
}

/// A word as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Spelt {
    pub text: String,
    pub quoted: bool,
    /// The character at which it begins, from 1.
    pub place: usize,
}

/// How a number is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sign {
    Less,
    AtMost,
    Equal,
    AtLeast,
    More,
}

/// A sign and what stands behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Comparison {
    pub sign: Sign,
    pub with: Spelt,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Shape {
    /// `beach`, `"two words"`
    Plain(Spelt),
    /// `key:value`, `key:value>=0.5`
    Keyed { key: Spelt, value: Spelt, comparison: Option<Comparison> },
    /// `faces>=1`
    Compared { name: Spelt, comparison: Comparison },
}

/// One term of a filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RawTerm {
    /// The character at which it begins, from 1.
    pub place: usize,
    /// `-` stands before it.
    pub negated: bool,
    pub shape: Shape,
}

/// Cuts a filter into its terms; `compares` says of which keys a comparison may follow the value, in which signs end it.
pub(super) fn cut(filter: &str, compares: impl Fn(&str) -> bool) -> Result<Vec<RawTerm>, FilterFlaw> {
    let mut reader = Reader { chars: filter.chars().collect(), next: 0 };
    let mut terms = Vec::new();
    while reader.skip_blanks() {
        terms.push(reader.term(&compares)?);
    }
    Ok(terms)
}

struct Reader {
    chars: Vec<char>,
    next: usize,
}

fn is_sign(c: char) -> bool {
    matches!(c, '<' | '>' | '=')
}

impl Reader {
    fn peek(&self) -> Option<char> {
        self.chars.get(self.next).copied()
    }

    fn place(&self) -> usize {
        self.next + 1
    }

    fn take(&mut self, wanted: char) -> bool {
        let there = self.peek() == Some(wanted);
        self.next += usize::from(there);
        there
    }

    /// Whether anything follows the blanks.
    fn skip_blanks(&mut self) -> bool {
        while self.peek().is_some_and(char::is_whitespace) {
            self.next += 1;
        }
        self.peek().is_some()
    }

    fn term(&mut self, compares: impl Fn(&str) -> bool) -> Result<RawTerm, FilterFlaw> {
        let place = self.place();
        let negated = self.take('-');
        if negated && self.peek().is_none_or(|c| c == '-' || c.is_whitespace()) {
            return FilterFlaw::at(place, "`-` stands before nothing that it could negate");
        }
        let head = self.word(|c| c == ':' || is_sign(c))?;
        let shape = match self.peek() {
            Some(':') if !head.quoted => self.keyed(head, compares)?,
            Some(c) if is_sign(c) => Shape::Compared { name: head, comparison: self.comparison()? },
            _ => Shape::Plain(head),
        };
        match self.peek() {
            Some(c) if !c.is_whitespace() => FilterFlaw::at(
                self.place(),
                format!("a blank is missing before `{c}`, or quotation marks around it all"),
            ),
            _ => Ok(RawTerm { place, negated, shape }),
        }
    }

    fn keyed(&mut self, key: Spelt, compares: impl Fn(&str) -> bool) -> Result<Shape, FilterFlaw> {
        self.next += 1;
        let compared = compares(&key.text);
        let value = self.word(|c| compared && is_sign(c))?;
        let signed = compared && self.peek().is_some_and(is_sign);
        let comparison = if signed { Some(self.comparison()?) } else { None };
        Ok(Shape::Keyed { key, value, comparison })
    }

    fn comparison(&mut self) -> Result<Comparison, FilterFlaw> {
        let first = self.peek();
        self.next += 1;
        let or_equal = first != Some('=') && self.take('=');
        let sign = match (first, or_equal) {
            (Some('<'), false) => Sign::Less,
            (Some('<'), true) => Sign::AtMost,
            (Some('>'), false) => Sign::More,
            (Some('>'), true) => Sign::AtLeast,
            _ => Sign::Equal,
        };
        if let Some(c) = self.peek().filter(|c| is_sign(*c)) {
            return FilterFlaw::at(self.place(), format!("`{c}` is one sign too many: there are < <= = >= >"));
        }
        Ok(Comparison { sign, with: self.word(|_| false)? })
    }

    /// What is quoted, or else all up to a blank, a quotation mark, or what ends it.
    fn word(&mut self, ends: impl Fn(char) -> bool) -> Result<Spelt, FilterFlaw> {
        let place = self.place();
        if self.take('"') {
            return Ok(Spelt { text: self.quotation(place)?, quoted: true, place });
        }
        let from = self.next;
        while self.peek().is_some_and(|c| !c.is_whitespace() && c != '"' && !ends(c)) {
            self.next += 1;
        }
        if from == self.next {
            let why = match self.peek().filter(|c| !c.is_whitespace()) {
                Some(c) => format!("something is missing before `{c}`"),
                None => "something is missing here, at the end of a term".to_owned(),
            };
            return FilterFlaw::at(place, why);
        }
        Ok(Spelt { text: self.chars[from..self.next].iter().collect(), quoted: false, place })
    }

    /// What is between quotation marks, in which `\"` and `\\` stand for `"` and `\`; another `\` is itself.
    fn quotation(&mut self, opened: usize) -> Result<String, FilterFlaw> {
        let mut text = String::new();
        loop {
            let Some(c) = self.peek() else {
                return FilterFlaw::at(opened, "the quotation marks that open here are not closed");
            };
            self.next += 1;
            match (c, self.peek()) {
                ('"', _) => return Ok(text),
                ('\\', Some(escaped @ ('"' | '\\'))) => {
                    self.next += 1;
                    text.push(escaped);
                }
                _ => text.push(c),
            }
        }
    }
}
