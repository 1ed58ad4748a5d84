//! A model over stored images: those that a filter finds, page by page, each asked for in the case of its hit.
//!
//! Whoever stops goes on at the page where that was: the requests of a pass have one submission for each case, by which the server
//! recognises what it was asked before.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use super::error::{ApiError, ClientFault, Repeat};
use super::http::{Api, REQUEST_TIMEOUT};
use super::progress::{Progress, Stage};
use super::text;
use super::verdict::judge;
use crate::api::models::ModelOut;
use crate::api::page::{LIMIT_MAX, Page};
use crate::api::problem::Problem;
use crate::api::search::{CountsOut, Hit, ImagesCounted};
use crate::api::submit::SubmittedImage;

/// The most images that are asked for at once: a request of them takes a moment.
const AT_ONCE_MAX: f64 = 200.0;
/// How often is looked whether a newer version of the model has come up.
const VERSION_EVERY: Duration = Duration::from_secs(2);

/// Which model is to run on what, and how fast.
#[derive(Debug)]
pub struct BackfillOrder {
    pub model: String,
    pub filter: String,
    /// Only images of this case.
    pub case: Option<Uuid>,
    pub params: Option<Value>,
    /// From −100 to 100, higher is sooner.
    pub priority: i32,
    /// The most images that are asked for in a second; without it as many as the server takes.
    pub per_s: Option<f64>,
}

/// How far a backfill is: enough to go on, and what has come of it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct BackfillPlace {
    /// The newest version of the model; once a newer one is there, all begins again.
    pub version: String,
    /// Where the next page begins; nothing at the beginning.
    cursor: Option<String>,
    /// By case.
    pub submissions: BTreeMap<Uuid, Uuid>,
    /// Those of earlier versions.
    pub former: Vec<Uuid>,
    /// Images that were looked at.
    pub looked: usize,
    /// For which a job was made, one was under way, or the result is known.
    pub made: usize,
    pub attached: usize,
    pub known: usize,
    /// Which have gone since they were found.
    pub gone: usize,
    /// By case.
    pub passed_over: BTreeMap<Uuid, PassedOver>,
}

/// What was not asked for, because of its case.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct PassedOver {
    pub images: usize,
    /// What the server says of it.
    pub why: String,
}

/// How many images fit, as far as the server counts.
///
/// # Errors
/// See [`ApiError`]; 422 for a filter that does not hold.
pub async fn count(api: &Api, order: &BackfillOrder) -> Result<ImagesCounted, ApiError> {
    Ok(api.get::<CountsOut>(&["search", "counts"], &order.query(), REQUEST_TIMEOUT).await?.images)
}

/// The model.
///
/// # Errors
/// See [`ApiError`]; 404 if there is none of this name.
pub async fn model(api: &Api, order: &BackfillOrder) -> Result<ModelOut, ApiError> {
    api.get(&["models", &order.model], &[], REQUEST_TIMEOUT).await
}

/// How many images there are in which case; all are looked at.
///
/// # Errors
/// See [`ApiError`].
pub async fn by_case(api: &Api, order: &BackfillOrder, stage: &Stage) -> anyhow::Result<BTreeMap<Uuid, usize>> {
    let (mut found, mut cursor): (BTreeMap<Uuid, usize>, Option<String>) = (BTreeMap::new(), None);
    loop {
        let page = order.page(api, cursor, LIMIT_MAX).await?;
        for hit in page.items {
            *found.entry(hit.case).or_default() += 1;
        }
        let so_far = found.values().sum();
        stage.set(so_far, so_far, String::new());
        cursor = page.next_cursor;
        if cursor.is_none() {
            return Ok(found);
        }
    }
}

/// Asks for the model on all images that fit from this place on; `keep` is told of each place from which it could go on.
///
/// # Errors
/// See [`ApiError`]; whatever `keep` cannot do.
pub async fn backfill(
    api: &Api,
    order: &BackfillOrder,
    place: &mut BackfillPlace,
    total: usize,
    progress: Progress,
    mut keep: impl FnMut(&BackfillPlace) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let stage = progress.images(total as u64);
    let at_once = order.per_s.unwrap_or(AT_ONCE_MAX).ceil().clamp(1.0, AT_ONCE_MAX) as i64;
    let mut version_at: Option<Instant> = None;
    loop {
        if version_at.is_none_or(|at| at.elapsed() >= VERSION_EVERY) {
            place.look_at(newest(&model(api, order).await?), progress);
            version_at = Some(Instant::now());
        }
        let (began, page) = (Instant::now(), order.page(api, place.cursor.clone(), at_once).await?);
        let due = order.due(page.items.len());
        let mut next = place.clone();
        next.cursor = page.next_cursor;
        for (case, images) in in_cases(page.items) {
            next.looked += images.len();
            if let Some(passed) = next.passed_over.get_mut(&case) {
                passed.images += images.len();
                continue;
            }
            let is_new = !place.submissions.contains_key(&case);
            let submission = *place.submissions.entry(case).or_insert_with(Uuid::new_v4);
            if is_new {
                // Before the server knows of it.
                keep(place)?;
            }
            match ask(api, order, case, submission, &images).await? {
                Ok(taken) => {
                    next.submissions.insert(case, submission);
                    next.take(images.len(), &taken);
                }
                Err(problem) => {
                    next.passed_over.insert(case, PassedOver { images: images.len(), why: problem.detail });
                }
            }
            stage.set(next.looked, total.max(next.looked), String::new());
        }
        *place = next;
        keep(place)?;
        if place.cursor.is_none() && !place.look_at(newest(&model(api, order).await?), progress) {
            return Ok(());
        }
        tokio::time::sleep(due.saturating_sub(began.elapsed())).await;
    }
}

/// The version that was registered last.
fn newest(model: &ModelOut) -> &str {
    model.served.first().map_or(&model.last_version, |served| &served.version)
}

fn in_cases(hits: Vec<Hit>) -> BTreeMap<Uuid, Vec<String>> {
    let mut cases: BTreeMap<Uuid, Vec<String>> = BTreeMap::new();
    for hit in hits {
        cases.entry(hit.case).or_default().push(hit.md5);
    }
    cases
}

/// What becomes of some images of a case; what the server refuses because of the case, and because of nothing else, it says in the end.
async fn ask(
    api: &Api,
    order: &BackfillOrder,
    case: Uuid,
    submission: Uuid,
    images: &[String],
) -> Result<Result<Vec<SubmittedImage>, Box<Problem>>, ApiError> {
    let mut body = json!({"images": images, "models": [order.model], "case": case, "submission": submission, "priority": order.priority});
    if let Some(params) = &order.params {
        body["params"] = json!({ order.model.clone(): params });
    }
    let places: Vec<usize> = (0..images.len()).collect();
    match judge(&places, api.post(&["predict"], &body, Repeat::Harmless).await) {
        Ok(answer) => Ok(Ok(answer.taken.into_iter().map(|(_, image)| image).collect())),
        Err(ApiError::Refused { problem, .. }) if is_about(&problem, "/case") => Ok(Err(problem)),
        Err(error) => Err(error),
    }
}

/// Whether something is refused because of this field and of nothing else.
fn is_about(problem: &Problem, pointer: &str) -> bool {
    !problem.errors.is_empty() && problem.errors.iter().all(|error| error.pointer == pointer)
}

impl BackfillOrder {
    fn query(&self) -> Vec<(&'static str, String)> {
        let case = self.case.map(|case| ("case", case.to_string()));
        [("q", self.filter.clone())].into_iter().chain(case).collect()
    }

    /// How long it takes at least to ask for so many images. Each page has its own time: what a slow one missed is not made up for.
    fn due(&self, images: usize) -> Duration {
        let seconds = self.per_s.map_or(0.0, |per_s| images as f64 / per_s);
        Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
    }

    async fn page(&self, api: &Api, cursor: Option<String>, limit: i64) -> anyhow::Result<Page<Hit>> {
        let mut query = self.query();
        query.push(("limit", limit.to_string()));
        query.extend(cursor.map(|cursor| ("cursor", cursor)));
        match api.get(&["search"], &query, REQUEST_TIMEOUT).await {
            Err(ApiError::Refused { problem, .. }) if is_about(&problem, "/cursor") => {
                let told = "the server does not know any more where this was stopped: give --anew to begin anew";
                Err(ClientFault::Usage(told.to_owned()).into())
            }
            page => Ok(page?),
        }
    }
}

impl BackfillPlace {
    /// All submissions, of earlier versions too.
    pub fn all_submissions(&self) -> impl Iterator<Item = Uuid> {
        self.former.iter().chain(self.submissions.values()).copied()
    }

    /// Begins anew if another version is the newest; answers whether one has come up meanwhile.
    fn look_at(&mut self, newest: &str, progress: Progress) -> bool {
        if self.version == newest {
            return false;
        }
        let came_up = !self.version.is_empty();
        if came_up {
            let (new, old) = (text::one_line(newest, 80), text::one_line(&self.version, 80));
            progress.say(&format!(
                "Version {new} has come up after {old}: all begins again, and what {new} has said is known."
            ));
        }
        let former = self.all_submissions().collect();
        *self = Self { version: newest.to_owned(), former, made: self.made, ..Self::default() };
        came_up
    }

    fn take(&mut self, asked: usize, taken: &[SubmittedImage]) {
        self.gone += asked - taken.len();
        for job in taken.iter().flat_map(|image| &image.jobs) {
            match &*job.outcome {
                "created" => self.made += 1,
                "attached" => self.attached += 1,
                _ => self.known += 1,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_page_takes_its_own_time() {
        let order = |per_s| BackfillOrder {
            model: "ocr".into(),
            filter: String::new(),
            case: None,
            params: None,
            priority: 0,
            per_s,
        };
        assert_eq!(order(Some(20.0)).due(50), Duration::from_millis(2_500));
        assert_eq!((order(Some(0.5)).due(0), order(None).due(200)), (Duration::ZERO, Duration::ZERO));
        assert_eq!(order(Some(1e-300)).due(200), Duration::MAX);
    }
}
