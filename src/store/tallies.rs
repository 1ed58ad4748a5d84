//! How many requests of a submission are in which state: counted in bites, and kept once all have ended.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use sqlx::types::Json;
use sqlx::{FromRow, PgConnection};
use uuid::Uuid;

use crate::domain::job::JobState;

/// Some requests of a submission: of how many images, and how many of each model (by its queue) are in which state.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    pub images: i64,
    counts: Vec<(i32, JobState, i64)>,
}

impl Tally {
    /// By queue and state, each pair once.
    pub fn counts(&self) -> &[(i32, JobState, i64)] {
        &self.counts
    }

    /// Whether nothing of it lives.
    pub fn ended(&self) -> bool {
        self.counts.iter().all(|(_, state, _)| state.ended())
    }

    /// Counts these in.
    pub fn add(&mut self, other: &Self) {
        self.images += other.images;
        for (queue, state, jobs) in &other.counts {
            match self.counts.iter_mut().find(|(q, s, _)| q == queue && s == state) {
                Some((_, _, counted)) => *counted += jobs,
                None => self.counts.push((*queue, *state, *jobs)),
            }
        }
    }
}

/// What was counted of a submission's next images.
#[derive(Debug, Clone)]
pub struct Bite {
    pub tally: Tally,
    /// The last of these images.
    pub last: i64,
}

/// Counts the requests of each of these submissions for at most `images` images after one; nothing where none follows.
pub async fn count(db: &mut PgConnection, places: &[(Uuid, i64)], images: i64) -> sqlx::Result<HashMap<Uuid, Bite>> {
    #[derive(FromRow)]
    struct BiteRow {
        submission: Uuid,
        images: i64,
        last: i64,
        queue: i32,
        #[sqlx(try_from = "String")]
        state: JobState,
        jobs: i64,
    }
    let rows: Vec<BiteRow> = sqlx::query_as(include_str!("sql/tallies/count.sql"))
        .bind(places.iter().map(|(id, _)| *id).collect::<Vec<_>>())
        .bind(places.iter().map(|(_, after)| *after).collect::<Vec<_>>())
        .bind(images)
        .bind(places.len() as i64)
        .fetch_all(db)
        .await?;
    let mut bites: HashMap<Uuid, Bite> = HashMap::new();
    for row in rows {
        let bite = bites.entry(row.submission).or_insert_with(|| Bite { tally: Tally::default(), last: row.last });
        bite.tally.images = row.images;
        bite.tally.counts.push((row.queue, row.state, row.jobs));
    }
    Ok(bites)
}

/// Keeps what submissions have come to, with the stamp that each had when it began to be counted: one to which something was
/// added since is passed over. Whatever adds a request to a submission, or takes one away, forgets it.
pub async fn keep(db: &mut PgConnection, done: &[(Uuid, &str, Tally)]) -> sqlx::Result<()> {
    sqlx::query(
        "WITH free AS (SELECT id FROM submission WHERE id = ANY($1) ORDER BY id FOR NO KEY UPDATE SKIP LOCKED)
         UPDATE submission AS s SET tally = t.tally
         FROM free JOIN unnest($1::uuid[], $2::text[], $3::jsonb[]) AS t (id, stamp, tally) ON t.id = free.id
         WHERE s.id = free.id AND s.xmin::text = t.stamp",
    )
    .bind(done.iter().map(|(id, _, _)| *id).collect::<Vec<_>>())
    .bind(done.iter().map(|(_, stamp, _)| *stamp).collect::<Vec<_>>())
    .bind(done.iter().map(|(_, _, tally)| Json(tally)).collect::<Vec<_>>())
    .execute(db)
    .await?;
    Ok(())
}
