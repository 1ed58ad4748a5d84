//! Submissions and retries, as the service answers them: from what was asked before, from the cache, by a live job, by a new one.

use std::collections::BTreeSet;

use darkroom::domain::job::JobState;
use darkroom::store::images::Namer;
use darkroom::store::submissions::{self, Opening, Request};
use darkroom::store::submit::{self, Terms, Wanted, Wish};
use darkroom::store::{images, is_crossed};
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use super::cases::{Done, Report, is_deadlock};
use super::gate::STEP;
use super::world::Facts;

/// A submission for stored images, by their places among the facts.
pub struct Asks<'a> {
    pub account: Uuid,
    pub case: Uuid,
    pub named: Option<Uuid>,
    pub images: &'a [usize],
    pub takes_result: bool,
}

impl<'a> Asks<'a> {
    /// Ines's, to her own case.
    pub fn of_ines(f: &Facts, named: Option<Uuid>, images: &'a [usize], takes_result: bool) -> Self {
        Self { account: f.ines, case: f.cases[0], named, images, takes_result }
    }
}

pub async fn submit(db: &mut PgConnection, f: &Facts, asks: &Asks<'_>) -> Done {
    match submit_once(db, f, asks, false).await {
        Err(error) if is_crossed(&error) && !is_deadlock(&error) => Ok(submit_once(db, f, asks, true).await?),
        done => Ok(done?),
    }
}

/// The submission, whose case is open.
async fn open(tx: &mut PgConnection, id: Option<Uuid>, account: Uuid, case: Uuid) -> sqlx::Result<Uuid> {
    let opened = submissions::open(tx, &[Opening { id, account, case }]).await?.remove(0);
    Ok(opened.expect("an open case").id)
}

async fn submit_once(db: &mut PgConnection, f: &Facts, asks: &Asks<'_>, careful: bool) -> sqlx::Result<Report> {
    let mut report = Report::default();
    let mut tx = db.begin().await?;
    if asks.named.is_some() {
        sqlx::query(STEP).execute(&mut *tx).await?;
    }
    let submission = open(&mut tx, asks.named, asks.account, asks.case).await?;
    let md5s: Vec<_> = asks.images.iter().map(|at| (0, f.images[*at].1)).collect();
    let kept = images::lock_visible(&mut tx, &md5s, &[Namer { cases: None, into: asks.case }]).await?;
    let wish = |image_id: i64| Wish {
        wanted: Wanted { image_id, queue_id: f.queue, params_id: f.params },
        terms: Terms { priority: 3, run_at: None, finish_within_s: 3e6 },
        submission,
        account: asks.account,
        retry_of: None,
        takes_result: asks.takes_result,
    };
    let mut open: Vec<Wish> = kept.iter().map(|named| wish(named.image.known.id)).collect();
    open.sort_by_key(|wish| wish.wanted);
    let mut requests = Vec::new();
    let request = |wish: &Wish, job, ended| Request { submission, wanted: wish.wanted, job, ended };
    if asks.named.is_some() {
        let wanted: Vec<_> = open.iter().map(|wish| (submission, wish.wanted)).collect();
        let before: BTreeSet<usize> =
            submissions::answered_before(&mut tx, &wanted).await?.iter().map(|answer| answer.place.0).collect();
        open = keep(open, |at| !before.contains(&at));
    }
    if asks.takes_result {
        open = take_results(&mut tx, open, &mut requests).await?;
    }
    let mut attached = BTreeSet::new();
    for live in submit::attach(&mut tx, &open).await? {
        requests.push(request(&open[live.place.0], live.id, None));
        attached.insert(live.place.0);
    }
    open = keep(open, |at| !attached.contains(&at));
    submissions::add_requests(&mut tx, &requests).await?;
    if !open.is_empty() && careful {
        let made = submit::insert_or_attach(&mut tx, &open).await?;
        report.made.extend(made.iter().filter(|made| made.created).map(|made| made.job.id));
    } else if !open.is_empty() {
        let made = submit::insert(&mut tx, &open).await?;
        report.made.extend(made.iter().map(|made| made.id));
        if made.len() < open.len() {
            let places: BTreeSet<usize> = made.iter().map(|made| made.place.0).collect();
            let mut late = Vec::new();
            let left = take_results(&mut tx, keep(open, |at| !places.contains(&at)), &mut late).await?;
            assert!(left.is_empty(), "a success answers what was not made");
            submissions::add_requests(&mut tx, &late).await?;
        }
    }
    tx.commit().await?;
    if asks.takes_result && !careful {
        report.made_unanswered.clone_from(&report.made);
    }
    Ok(report)
}

/// Answers from the cache what it can; what is left is still open.
async fn take_results(tx: &mut PgConnection, open: Vec<Wish>, requests: &mut Vec<Request>) -> sqlx::Result<Vec<Wish>> {
    let wanted: Vec<Wanted> = open.iter().map(|wish| wish.wanted).collect();
    let mut answered = BTreeSet::new();
    for cached in submit::cached(tx, &wanted).await? {
        let wish = &open[cached.place.0];
        let ended = Some(JobState::Succeeded);
        requests.push(Request { submission: wish.submission, wanted: wish.wanted, job: cached.job_id, ended });
        answered.insert(cached.place.0);
    }
    Ok(keep(open, |at| !answered.contains(&at)))
}

fn keep(wishes: Vec<Wish>, which: impl Fn(usize) -> bool) -> Vec<Wish> {
    wishes.into_iter().enumerate().filter(|(at, _)| which(*at)).map(|(_, wish)| wish).collect()
}

/// Tries the job of the fifth image again, which was cancelled.
pub async fn retry(db: &mut PgConnection, f: &Facts) -> Done {
    let mut report = Report::default();
    let mut careful = false;
    loop {
        let mut tx = db.begin().await?;
        let submission = open(&mut tx, None, f.ines, f.cases[0]).await?;
        if images::lock_kept(&mut tx, &[f.images[4].0]).await?.is_empty() {
            return Ok(report);
        }
        let wish = Wish {
            wanted: Wanted { image_id: f.images[4].0, queue_id: f.queue, params_id: f.params },
            terms: Terms { priority: 0, run_at: None, finish_within_s: 3e6 },
            submission,
            account: f.ines,
            retry_of: Some(f.cancelled),
            takes_result: false,
        };
        let live = if careful { Vec::new() } else { submit::attach(&mut tx, &[wish]).await? };
        let done = match live.first() {
            Some(live) => {
                submissions::add_requests(
                    &mut tx,
                    &[Request { submission, wanted: wish.wanted, job: live.id, ended: None }],
                )
                .await
            }
            None if careful => {
                let made = submit::insert_or_attach(&mut tx, &[wish]).await;
                made.map(|made| report.made.extend(made.iter().filter(|made| made.created).map(|made| made.job.id)))
            }
            None => {
                submit::insert(&mut tx, &[wish]).await.map(|made| report.made.extend(made.iter().map(|made| made.id)))
            }
        };
        match done {
            Ok(()) => {
                tx.commit().await?;
                return Ok(report);
            }
            Err(error) if is_crossed(&error) && !is_deadlock(&error) && !careful => careful = true,
            Err(error) => return Err(error.into()),
        }
    }
}
