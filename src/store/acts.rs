//! Acts of people that the audit tells, besides those which a statement of their own tells.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::{FromRow, PgConnection};
use uuid::Uuid;

use crate::domain::act::FrequentAct;
use crate::domain::image::ContentMd5;

/// How often somebody did the same within a short while.
#[derive(Debug, Clone, Copy)]
pub struct ActSum {
    pub act: FrequentAct,
    /// Nobody where a log-in named no account.
    pub account: Option<Uuid>,
    pub image: Option<i64>,
    pub count: i32,
    /// How long ago the first and the last were.
    pub first: Duration,
    pub last: Duration,
}

/// Writes sums down, a row each.
pub async fn tell(db: &mut PgConnection, sums: &[ActSum]) -> sqlx::Result<()> {
    sqlx::query(include_str!("sql/acts/tell.sql"))
        .bind(sums.iter().map(|sum| sum.act.as_str()).collect::<Vec<_>>())
        .bind(sums.iter().map(|sum| sum.account).collect::<Vec<_>>())
        .bind(sums.iter().map(|sum| sum.image).collect::<Vec<_>>())
        .bind(sums.iter().map(|sum| sum.count).collect::<Vec<_>>())
        .bind(sums.iter().map(|sum| sum.first.as_secs_f64()).collect::<Vec<_>>())
        .bind(sums.iter().map(|sum| sum.last.as_secs_f64()).collect::<Vec<_>>())
        .execute(db)
        .await?;
    Ok(())
}

/// Writes down that somebody logged in.
pub async fn tell_log_in(db: &mut PgConnection, account: Uuid) -> sqlx::Result<()> {
    sqlx::query("INSERT INTO job_event (code, account_id, subject_id) VALUES ('user_logged_in', $1, $1::text)")
        .bind(account)
        .execute(db)
        .await?;
    Ok(())
}

/// Which acts are looked for; what is nothing does not matter.
#[derive(Debug, Clone, Default)]
pub struct ActsSought {
    /// Only those before this place in the list.
    pub before_place: Option<ActPlace>,
    pub not_before: Option<DateTime<Utc>>,
    pub before: Option<DateTime<Utc>>,
    pub codes: Option<Vec<String>>,
    /// Who acted, by name.
    pub account: Option<String>,
    /// What was acted upon: an account, a case or a key by name or id, or an image by its MD5.
    pub subject: Option<String>,
    /// What the queue is called whose it was.
    pub model: Option<String>,
}

/// Where an act stands in the list: when it was, and the block and line of its row.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ActPlace(DateTime<Utc>, u32, u16);

impl ActPlace {
    fn read(act: &FoundAct) -> Option<Self> {
        let (block, line) = act.place.trim_matches(['(', ')']).split_once(',')?;
        Some(Self(act.at, block.parse().ok()?, line.parse().ok()?))
    }
}

/// An act, or an event that is of no job, with the names that there are now.
#[derive(Debug, Clone, FromRow)]
pub struct FoundAct {
    fits: bool,
    pub at: DateTime<Utc>,
    place: String,
    pub code: String,
    pub account: Option<String>,
    pub subject_id: Option<String>,
    pub subject: Option<String>,
    pub key_id: Option<String>,
    pub worker: Option<Uuid>,
    pub model: Option<String>,
    pub job_id: Option<Uuid>,
    pub submission_id: Option<Uuid>,
    pub reason: Option<String>,
    pub count: Option<i32>,
    pub since: Option<DateTime<Utc>>,
}

/// How many acts are looked at for one page: some tens of milliseconds. Who looks for what is rare goes on from where that ended.
const LOOKED_MAX: i64 = 20_000;

/// Acts that fit, newest first, and where to go on if there may be more: a page may be short, or empty, and not the last.
pub async fn find(
    db: &mut PgConnection,
    sought: &ActsSought,
    limit: i64,
) -> sqlx::Result<(Vec<FoundAct>, Option<ActPlace>)> {
    let md5 = sought.subject.as_deref().and_then(ContentMd5::parse);
    let mut found: Vec<FoundAct> = sqlx::query_as(include_str!("sql/acts/find.sql"))
        .bind(sought.before_place.map(|ActPlace(at, ..)| at))
        .bind(sought.before_place.map(|ActPlace(_, block, line)| format!("({block},{line})")))
        .bind(sought.not_before)
        .bind(sought.before)
        .bind(&sought.codes)
        .bind(&sought.account)
        .bind(&sought.subject)
        .bind(md5.map(|md5| md5.0.to_vec()))
        .bind(&sought.model)
        .bind(LOOKED_MAX)
        .bind(limit)
        .fetch_all(db)
        .await?;
    let end = found.pop_if(|last| !last.fits);
    let full = i64::try_from(found.len()).is_ok_and(|n| n >= limit);
    let last = found.last().filter(|_| full).or(end.as_ref());
    let next = last.and_then(ActPlace::read);
    Ok((found, next))
}
