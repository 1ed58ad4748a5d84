//! What a filter means in the database: conditions, the indexes that may lead, and the cases that are looked into.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::domain::fault::Fault;
use crate::domain::filter::{FilterFlaw, FilterTerm, Measure, NumberRange, SearchFilter, TEXT_CHARS_MIN, TermAsk};
use crate::domain::job::JobState;
use crate::domain::name::nearest;
use crate::service::{Error, Result};
use crate::store::search::{self, ComparedVersion, Condition, Lead, Sought, TitlePlace};

/// What is searched for: a filter, in one case or in all that the user may see.
#[derive(Debug)]
pub struct SearchAsk {
    pub filter: SearchFilter,
    pub case: Option<Uuid>,
}

/// How a search is carried out.
pub(super) struct SearchPlan {
    pub(super) sought: Sought,
    /// In the order of the filter.
    pub(super) leads: Vec<Lead>,
    /// Titles from then on, and before this place, are looked at.
    pub(super) since: DateTime<Utc>,
    pub(super) before: TitlePlace,
    /// What the images are compared with, if they are.
    pub(super) compared: Option<FilterTerm>,
}

/// Kinds of conditions in the order in which they are looked at: the cheap ones first.
const KINDS: [&str; 18] = [
    "case", "uploaded", "name", "by", "tag", "words", "type", "width", "height", "bytes", "taken", "camera", "model",
    "versions", "label", "field", "text", "state",
];

/// Makes the plan for somebody who may see these cases, or all.
pub(super) async fn make(db: &mut PgConnection, scope: Option<Vec<Uuid>>, ask: &SearchAsk) -> Result<SearchPlan> {
    let cases = match ask.case {
        None => scope,
        Some(case) => {
            let seen = search::cases(db, scope.as_deref(), &case.to_string()).await?;
            if !seen.contains(&case) {
                return Err(Fault::not_found("case").into());
            }
            Some(vec![case])
        }
    };
    let terms = &ask.filter.terms;
    let named = terms.iter().any(|term| model_of(&term.asks).is_some());
    let models = if named { search::models(db).await? } else { Vec::new() };
    let mut plan = SearchPlan {
        sought: Sought { cases, conditions: Vec::new() },
        leads: Vec::new(),
        since: TitlePlace::LAST.at,
        before: TitlePlace::FIRST,
        compared: terms.iter().find(|term| term.asks.ranks()).cloned(),
    };
    for term in terms {
        if let TermAsk::Case(called) = &term.asks {
            plan.narrow(db, called, term.negated).await?;
        } else if !term.asks.ranks() {
            let queue_id = model_of(&term.asks).map(|name| queue_of(&models, name, term)).transpose()?;
            plan.add(term, queue_id);
        }
    }
    plan.sought.conditions.sort_by_key(|condition| KINDS.iter().position(|kind| *kind == condition.kind));
    if !plan.leads.is_empty() && !search::texts_are_indexed(db).await? {
        plan.leads.retain(|lead| !matches!(lead, Lead::Read(_) | Lead::Named(_) | Lead::Worded(_)));
    }
    Ok(plan)
}

fn model_of(asks: &TermAsk) -> Option<&str> {
    match asks {
        TermAsk::Model(model) | TermAsk::State { model: Some(model), .. } => Some(model),
        _ => None,
    }
}

fn queue_of(models: &[(String, i32)], name: &str, term: &FilterTerm) -> Result<i32> {
    let known = models.iter().find(|(known, _)| known == name).map(|(_, id)| *id);
    known.ok_or_else(|| {
        let near = nearest(name, models.iter().map(|(known, _)| known.as_str()));
        let near = near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
        Error::from(FilterFlaw { place: term.place, why: format!("no model is named `{name}`{near}") }.fault("/q"))
    })
}

impl SearchPlan {
    /// Looks into the cases of this name or id only, or not into them.
    async fn narrow(&mut self, db: &mut PgConnection, called: &str, negated: bool) -> Result<()> {
        let named = search::cases(db, self.sought.cases.as_deref(), called).await?;
        match &mut self.sought.cases {
            _ if !negated => self.sought.cases = Some(named),
            Some(cases) => cases.retain(|case| !named.contains(case)),
            None => self.sought.conditions.extend(named.into_iter().map(|case| Condition {
                kind: "case",
                of_title: true,
                negated,
                word: Some(case.to_string()),
                ..Condition::default()
            })),
        }
        Ok(())
    }

    fn add(&mut self, term: &FilterTerm, queue_id: Option<i32>) {
        let Some(condition) = condition(&term.asks) else { return };
        if !term.negated {
            self.leads.extend(lead(&term.asks, queue_id));
            if let TermAsk::Uploaded(range) = &term.asks {
                self.bound(*range);
            }
        }
        self.sought.conditions.push(Condition { negated: term.negated, queue_id, ..condition });
    }

    /// Keeps to images of which both versions of a model said something with the same params.
    pub(super) fn compare(&mut self, versions: &[ComparedVersion; 2]) {
        let [from, to] = versions;
        let newer = if from.id > to.id { from } else { to };
        self.leads.insert(0, Lead::OfVersion(newer.clone()));
        self.sought.conditions.push(Condition {
            kind: "versions",
            word: Some(from.id.to_string()),
            other: Some(to.id.to_string()),
            queue_id: Some(to.queue_id),
            ..Condition::default()
        });
    }

    /// Looks at titles of a time only.
    fn bound(&mut self, range: NumberRange) {
        let instant = |seconds: f64| DateTime::from_timestamp_micros((seconds * 1e6) as i64);
        if let Some(since) = instant(range.low.floor()) {
            self.since = self.since.max(since);
        }
        if let Some(at) = instant(range.high.ceil()) {
            self.before = self.before.min(TitlePlace { at, image_id: i64::MAX });
        }
    }
}

/// What is looked at of a title or an image; nothing for what is not one of its own.
fn condition(asks: &TermAsk) -> Option<Condition> {
    let title = |kind| Condition { kind, of_title: true, ..Condition::default() };
    let image = |kind| Condition { kind, ..Condition::default() };
    let like = |condition: Condition, text: &str| {
        let [word, other] = patterns(text);
        Condition { word: Some(word), other: Some(other), ..condition }
    };
    let word = |condition: Condition, word: &str| Condition { word: Some(word.to_owned()), ..condition };
    let range = |condition: Condition, range: NumberRange| Condition { range: Some(range), ..condition };
    Some(match asks {
        TermAsk::Words(text) => like(title("words"), text),
        TermAsk::Name(text) => like(title("name"), text),
        TermAsk::Text(text) => like(image("text"), text),
        TermAsk::Camera(text) => like(image("camera"), text),
        TermAsk::Tag(tag) => word(title("tag"), tag),
        TermAsk::By(account) => word(title("by"), account),
        TermAsk::Uploaded(time) => range(title("uploaded"), *time),
        TermAsk::Taken(time) => range(image("taken"), *time),
        TermAsk::Label { label, score } => Condition { range: *score, ..word(image("label"), label) },
        TermAsk::Model(_) => image("model"),
        TermAsk::Field { name, number, text } => {
            Condition { range: *number, other: text.clone(), ..word(image("field"), name) }
        }
        TermAsk::Measure(Measure::Width, pixels) => range(image("width"), *pixels),
        TermAsk::Measure(Measure::Height, pixels) => range(image("height"), *pixels),
        TermAsk::Measure(Measure::Bytes, bytes) => range(image("bytes"), *bytes),
        TermAsk::Type(media_type) => word(image("type"), media_type),
        TermAsk::State { state, .. } => word(image("state"), state.as_str()),
        TermAsk::Case(_) | TermAsk::Similar { .. } | TermAsk::Like(_) => return None,
    })
}

/// The index that names all images for which it could hold, if there is one.
fn lead(asks: &TermAsk, queue_id: Option<i32>) -> Option<Lead> {
    Some(match asks {
        TermAsk::Words(text) if has_threes(text) => Lead::Worded(patterns(text)),
        TermAsk::Name(text) if has_threes(text) => Lead::Named(patterns(text)),
        TermAsk::Text(text) if has_threes(text) => Lead::Read(patterns(text)),
        TermAsk::Camera(text) => Lead::Camera(patterns(text)),
        TermAsk::Tag(tag) => Lead::Tagged(tag.clone()),
        TermAsk::Taken(time) => Lead::Taken(*time),
        TermAsk::Label { label, score } => Lead::Said { label: label.clone(), range: *score, unnumbered: false },
        TermAsk::Field { name, number, text } => {
            Lead::Said { label: name.clone(), range: *number, unnumbered: text.is_some() }
        }
        TermAsk::Model(_) => Lead::OfModel(queue_id?),
        TermAsk::State { state: JobState::Failed | JobState::Cancelled, .. } => Lead::Unsuccessful(queue_id),
        TermAsk::State { state: JobState::Queued | JobState::Running, .. } => Lead::Live,
        TermAsk::State { state: JobState::Succeeded, .. } => Lead::OfModel(queue_id?),
        _ => return None,
    })
}

/// Whether the index of threes of characters knows any of a text: it keeps letters and digits only.
fn has_threes(text: &str) -> bool {
    text.split(|c: char| !c.is_alphanumeric()).any(|word| word.chars().count() >= TEXT_CHARS_MIN)
}

/// What a text is compared with by LIKE, once that was put into small letters: a database whose locale is C leaves letters beyond ASCII
/// as they are, so one pattern has them small, and one large.
fn patterns(text: &str) -> [String; 2] {
    let mut small = String::from("%");
    let mut large = String::from("%");
    for c in text.chars() {
        if matches!(c, '%' | '_' | '\\') {
            small.push('\\');
            large.push('\\');
        }
        small.extend(c.to_lowercase());
        if c.is_ascii() { large.push(c.to_ascii_lowercase()) } else { large.extend(c.to_uppercase()) }
    }
    [small + "%", large + "%"]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_looked_for_is_taken_literally() {
        assert_eq!(patterns("50%_a\\B"), [r"%50\%\_a\\b%", r"%50\%\_a\\b%"]);
        assert_eq!(patterns("Äpfel'"), ["%äpfel'%", "%Äpfel'%"]);
        assert!(has_threes("a-street") && has_threes("写真家") && !has_threes("a-b c.d"));
    }
}
