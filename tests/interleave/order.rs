//! The order of locks: whatever waits for several rows of a kind holds none that comes after the one it waits for.

use darkroom::store::submit::{self, Terms, Wanted, Wish};
use darkroom::store::work::{self, Asked, ClaimKey, Hinted};
use darkroom::store::workers::{self, Beat, Touch};
use darkroom::store::{images, submissions};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection};
use uuid::Uuid;

use super::cases::RESULT;
use super::world::{Facts, World};
use crate::kit::servers;

/// Every statement that waits for more than one row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waits {
    Succeed,
    HoldLeases,
    HoldJobs,
    HoldOrphans,
    HoldUnlisted,
    Replay,
    Attach,
    LockJobs,
    Touch,
    Beat,
    ExtendAll,
    ClaimHinted,
    ClaimRanked,
    LockVisible,
    LockKept,
    Open,
}

const ALL: [Waits; 16] = [
    Waits::Succeed,
    Waits::HoldLeases,
    Waits::HoldJobs,
    Waits::HoldOrphans,
    Waits::HoldUnlisted,
    Waits::Replay,
    Waits::Attach,
    Waits::LockJobs,
    Waits::Touch,
    Waits::Beat,
    Waits::ExtendAll,
    Waits::ClaimHinted,
    Waits::ClaimRanked,
    Waits::LockVisible,
    Waits::LockKept,
    Waits::Open,
];

impl Waits {
    /// The table of the rows, and two of them in the order in which they are to be locked.
    fn rows(self, f: &Facts) -> (&'static str, [String; 2]) {
        let mut sessions = [f.busy.session, f.free.session];
        sessions.sort();
        let mut images = [f.images[0], f.images[1]];
        images.sort_by_key(|(_, md5)| *md5);
        let mut submissions = [f.submission, f.old];
        submissions.sort();
        match self {
            Self::Touch | Self::Beat | Self::ExtendAll | Self::ClaimHinted | Self::ClaimRanked => {
                ("worker_session", sessions.map(|id| id.to_string()))
            }
            Self::LockVisible | Self::LockKept => ("image", images.map(|(id, _)| id.to_string())),
            Self::Open => ("submission", submissions.map(|id| id.to_string())),
            _ => ("job", [f.live[0].to_string(), f.live[1].to_string()]),
        }
    }

    /// Asks for the rows in the wrong order.
    async fn run(self, db: &mut PgConnection, f: &Facts) -> sqlx::Result<()> {
        let jobs = [f.live[1], f.live[0]];
        let mut leases = f.leases();
        leases.reverse();
        match self {
            Self::Succeed => {
                let result = |lease: work::Lease<'_>| (lease.id, lease.lease_no);
                let mut results: Vec<work::LeasedResult<'_>> = leases
                    .into_iter()
                    .map(result)
                    .map(|(id, lease_no)| work::LeasedResult {
                        holder: &f.busy,
                        id,
                        lease_no,
                        document: RESULT,
                        duration_s: None,
                    })
                    .collect();
                work::succeed(db, &mut results, 1.0).await.map(drop)
            }
            Self::HoldLeases => work::hold_leases(db, &leases).await.map(drop),
            Self::HoldJobs => work::hold_jobs(db, &jobs).await.map(drop),
            Self::HoldOrphans => work::hold_orphans(db, &jobs).await.map(drop),
            Self::HoldUnlisted => work::hold_unlisted(db, f.busy.session, &[], 0.0).await.map(drop),
            Self::Replay => work::reclaim(db, ClaimKey { session: f.busy.session, claim: f.claim }).await.map(drop),
            Self::Attach => {
                let wish = |at: usize| Wish {
                    wanted: Wanted { image_id: f.images[at].0, queue_id: f.queue, params_id: f.params },
                    terms: Terms { priority: 9, run_at: None, finish_within_s: 3e6 },
                    submission: f.submission,
                    account: f.ines,
                    retry_of: None,
                    takes_result: false,
                };
                submit::attach(db, &[wish(1), wish(0)]).await.map(drop)
            }
            Self::LockJobs => submissions::lock_jobs(db, &jobs).await.map(drop),
            _ => self.run_on_others(db, f).await,
        }
    }

    /// The same of what are no jobs.
    async fn run_on_others(self, db: &mut PgConnection, f: &Facts) -> sqlx::Result<()> {
        let mut sessions = [f.busy.clone(), f.free.clone()];
        sessions.sort_by_key(|holder| std::cmp::Reverse(holder.session));
        let key = |session: Uuid| ClaimKey { session, claim: Uuid::new_v4() };
        let mut wanted = [f.images[0], f.images[1]];
        wanted.sort_by_key(|(_, md5)| std::cmp::Reverse(*md5));
        match self {
            Self::Touch => {
                let touches = sessions.map(|holder| Touch { holder, claim: None });
                workers::touch(db, &touches, 30.0).await.map(drop)
            }
            Self::Beat => {
                let beats = sessions.map(|holder| Beat {
                    holder,
                    draining: false,
                    holds: serde_json::json!([]),
                    trouble: None,
                });
                workers::beat(db, &beats, 30.0).await.map(drop)
            }
            Self::ExtendAll => workers::extend_all(db, 30.0, workers::Absence::default()).await.map(drop),
            Self::ClaimHinted => {
                let hints =
                    sessions.map(|holder| Hinted { job: f.live[2], session: holder.session, claim: Uuid::new_v4() });
                work::claim(db, &hints).await.map(drop)
            }
            Self::ClaimRanked => {
                let asked = sessions.map(|holder| Asked { key: key(holder.session), most: 1 });
                work::claim_ranked(db, &asked, 2, false).await.map(drop)
            }
            Self::LockVisible => {
                let namer = images::Namer { cases: None, into: f.cases[0] };
                images::lock_visible(db, &wanted.map(|(_, md5)| (0, md5)), &[namer]).await.map(drop)
            }
            Self::LockKept => images::lock_kept(db, &wanted.map(|(id, _)| id)).await.map(drop),
            _ => {
                let mut asked = [f.submission, f.old];
                asked.sort_by_key(|id| std::cmp::Reverse(*id));
                let opening = |id| submissions::Opening { id: Some(id), account: f.ines, case: f.cases[0] };
                submissions::open(db, &asked.map(opening)).await.map(drop)
            }
        }
    }
}

/// What a statement needs to find its rows, and to meet them in the wrong order: the first lies behind the second.
const BEFORE: &str = "
  UPDATE worker_session SET alive_until = clock_timestamp();
  UPDATE worker_session SET beat_at = beat_at WHERE id = (SELECT id FROM worker_session ORDER BY id LIMIT 1);
  UPDATE job SET version = version WHERE id = (SELECT id FROM job ORDER BY id LIMIT 1);
  UPDATE submission SET created_at = created_at WHERE id = (SELECT id FROM submission ORDER BY id LIMIT 1);
  UPDATE image SET bytes = bytes WHERE md5 = (SELECT md5 FROM image ORDER BY md5 LIMIT 1)";
const OVER: &str = "UPDATE worker_session SET ended_at = clock_timestamp(), end_reason = 'lost'";

#[tokio::test]
async fn whoever_waits_for_a_row_holds_none_that_comes_after_it() {
    let world = World::new().await;
    let facts = std::sync::Arc::clone(&world.facts);
    let url = servers::as_superuser(&world.app.settings.database.database_url.0);
    let options: PgConnectOptions = url.parse().expect("a URL");
    let (mut rival, mut observer) =
        (options.connect().await.expect("a connection"), options.connect().await.expect("a connection"));
    let mut wrong = Vec::new();
    for waits in ALL {
        world.set_back(&mut observer, [super::UseCase::Submit; 2]).await;
        sqlx::raw_sql(BEFORE).execute(&mut observer).await.expect("rows");
        if waits == Waits::HoldOrphans {
            sqlx::raw_sql(OVER).execute(&mut observer).await.expect("rows");
        }
        let (table, [first, second]) = waits.rows(&facts);
        let lock =
            |how: &str| AssertSqlSafe(format!("SELECT id::text FROM {table} WHERE id::text = $1 FOR UPDATE {how}"));
        let mut held = rival.begin().await.expect("a transaction");
        sqlx::query(lock("")).bind(&first).execute(&mut *held).await.expect("the first row");
        // As the group commits look at their rows.
        let pool = world.app.ctx.hot.pool().clone();
        let mut db = pool.acquire().await.expect("a connection");
        let pid: i32 = sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&mut *db).await.expect("a pid");
        let own = std::sync::Arc::clone(&facts);
        let waiting = tokio::spawn(async move {
            let mut tx = db.begin().await?;
            waits.run(&mut tx, &own).await
        });
        loop {
            let blocked = "SELECT cardinality(pg_blocking_pids($1)) > 0";
            let blocked = sqlx::query_scalar(blocked).bind(pid).fetch_one(&mut observer).await.expect("an answer");
            if blocked || waiting.is_finished() {
                break;
            }
        }
        if waiting.is_finished() {
            wrong.push(format!("{waits:?} does not wait for {first}"));
        }
        let free: Option<String> =
            sqlx::query_scalar(lock("SKIP LOCKED")).bind(&second).fetch_optional(&mut observer).await.expect("a look");
        if free.is_none() {
            wrong.push(format!("{waits:?} holds {second} of {table} while it waits for {first}"));
        }
        held.rollback().await.expect("the end");
        if let Err(error) = waiting.await.expect("a statement") {
            wrong.push(format!("{waits:?}: {error}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
