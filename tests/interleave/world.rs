//! What the use cases meet: rows made through the front door once, set back before every schedule, and what must hold of them
//! afterwards.

use darkroom::domain::image::ContentMd5;
use darkroom::maintenance;
use darkroom::store::work::{Holder, Lease};
use serde_json::json;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::cases::{Report, UseCase, holder};
use crate::kit::app::{TestApp, Worker};
use crate::kit::images::{md5_of, photo};

/// Two jobs that run under one claim of a busy worker, one that is queued, one that is to be claimed alone, and two images
/// without a live job: a success, older than any horizon, and a cancelled job.
pub struct Facts {
    /// By id and MD5: those of the two that run, of the queued one, of the success, of the cancelled one, of the suspect.
    pub images: Vec<(i64, ContentMd5)>,
    pub queue: i32,
    pub params: i64,
    pub ines: Uuid,
    pub jo: Uuid,
    /// Their own cases.
    pub cases: [Uuid; 2],
    /// The two that run, the queued one, and the suspect.
    pub live: Vec<Uuid>,
    pub cancelled: Uuid,
    /// Who runs them, under which claim, and who is free.
    pub busy: Holder,
    pub claim: Uuid,
    pub free: Holder,
    /// For all that live; for the second and third; for the success.
    pub submission: Uuid,
    pub other_submission: Uuid,
    pub old: Uuid,
}

impl Facts {
    /// The leases of the busy worker.
    pub fn leases(&self) -> Vec<Lease<'_>> {
        self.live[..2].iter().map(|job| Lease { holder: &self.busy, id: *job, lease_no: 1 }).collect()
    }
}

pub struct World {
    pub facts: std::sync::Arc<Facts>,
    pub app: TestApp,
}

/// What is set back, in the order in which it is made.
const KEEP_ROWS: &str = "
  CREATE SCHEMA kept;
  CREATE FUNCTION kept.columns(name text) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute
    WHERE attrelid = ('public.' || name)::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = ''
  $$;
  CREATE FUNCTION kept.set_back() RETURNS void LANGUAGE plpgsql AS $$
  DECLARE
    names text[] := ARRAY['worker_session', 'submission', 'image', 'upload', 'job', 'claim', 'job_archive', 'outcome', 'item', 'attempt', 'request', 'job_event'];
  BEGIN
    IF to_regclass('kept.job') IS NULL THEN
      FOR i IN 1..cardinality(names) LOOP
        EXECUTE format('CREATE TABLE kept.%I AS TABLE public.%I', names[i], names[i]);
      END LOOP;
      RETURN;
    END IF;
    FOR i IN REVERSE cardinality(names)..1 LOOP
      EXECUTE format('DELETE FROM public.%I', names[i]);
    END LOOP;
    FOR i IN 1..cardinality(names) LOOP
      EXECUTE format('INSERT INTO public.%I (%s) OVERRIDING SYSTEM VALUE SELECT %2$s FROM kept.%1$I', names[i], kept.columns(names[i]));
    END LOOP;
    UPDATE queue SET max_running = NULL WHERE max_running IS NOT NULL;
  END
  $$;";

/// No time passes for them; the success is from years ago, before any partition.
const AGE: &str = "
  UPDATE worker_session SET alive_until = 'infinity';
  UPDATE claim SET deadline_at = clock_timestamp() + interval '1 year';
  UPDATE job SET suspect = true WHERE id = (SELECT id FROM job ORDER BY id DESC LIMIT 1);
  UPDATE job_archive SET id = '01800000-0000-7000-8000-000000000000', finished_at = finished_at - interval '3 years' WHERE state = 'succeeded';
  UPDATE outcome SET job_id = '01800000-0000-7000-8000-000000000000', finished_at = finished_at - interval '3 years' WHERE state = 'succeeded';
  UPDATE request SET job_id = '01800000-0000-7000-8000-000000000000' WHERE job_id NOT IN (SELECT id FROM job UNION ALL SELECT id FROM job_archive);
  SELECT kept.set_back();";

impl World {
    pub async fn new() -> Self {
        let app = TestApp::new().await;
        maintenance::make_partitions(&app.ctx).await.expect("partitions");
        let busy = app.worker("ocr").await;
        let free = Worker::register(busy.key.clone(), "ocr", "v1").await;
        let (ines, jo, admin) = (app.investigator("ines").await, app.investigator("jo").await, app.admin().await);
        admin.patch("/models/ocr", json!({ "backoff_base_s": 0, "backoff_cap_s": 0 })).await.ok(200);
        let uuid = |value: &serde_json::Value| Uuid::parse_str(value.as_str().expect("an id")).expect("a UUID");
        let file = |salt: u64| ("a.png", photo(salt));
        let old = uuid(&ines.submit(&[file(3)], &["ocr"]).await["submission"]);
        busy.succeed(&busy.claim(1).await[0]).await;
        let made = ines.submit(&[file(4)], &["ocr"]).await;
        let cancelled = uuid(&made["images"][0]["jobs"][0]["id"]);
        admin.post(&format!("/jobs/{cancelled}/cancel"), json!(null)).await.ok(200);
        let made = ines.submit(&[file(0), file(1), file(2), file(5)], &["ocr"]).await;
        // In order of their ids: so they are claimed, as equally urgent as they are.
        let mut live: Vec<(Uuid, u64)> = [0, 1, 2, 5]
            .into_iter()
            .enumerate()
            .map(|(at, salt)| (uuid(&made["images"][at]["jobs"][0]["id"]), salt))
            .collect();
        live.sort();
        let (submission, claim) = (uuid(&made["submission"]), Uuid::new_v4());
        assert_eq!(busy.claim_as(claim, 2, 0.0).await.len(), 2);
        let other_submission = uuid(&jo.submit(&[file(live[1].1), file(live[2].1)], &["ocr"]).await["submission"]);
        app.write_down_items().await;
        app.alter(KEEP_ROWS).await;
        app.alter(AGE).await;
        let salts = [live[0].1, live[1].1, live[2].1, 3, 4, live[3].1];
        let live: Vec<Uuid> = live.into_iter().map(|(job, _)| job).collect();
        let images = images(app.ctx.db.pool(), salts).await;
        let account =
            async |name: &str| -> Uuid { one(app.ctx.db.pool(), "SELECT id FROM account WHERE name = $1", name).await };
        let own_case = async |name: &str| -> Uuid {
            let own = "SELECT c.id FROM casefile AS c JOIN account AS a ON a.id = c.own_of WHERE a.name = $1";
            one(app.ctx.db.pool(), own, name).await
        };
        let key: String =
            one(app.ctx.db.pool(), "SELECT key_id FROM worker_session WHERE id = $1::uuid", &busy.id).await;
        let facts = Facts {
            images,
            queue: one(app.ctx.db.pool(), "SELECT id FROM queue WHERE name = $1", "ocr").await,
            params: one(app.ctx.db.pool(), "SELECT params_id FROM job WHERE id = $1::uuid", &live[0].to_string()).await,
            ines: account("ines").await,
            jo: account("jo").await,
            cases: [own_case("ines").await, own_case("jo").await],
            cancelled,
            busy: holder(busy.id.parse().expect("a UUID"), &key),
            free: holder(free.id.parse().expect("a UUID"), &key),
            claim,
            live,
            submission,
            other_submission,
            old,
        };
        Self { facts: std::sync::Arc::new(facts), app }
    }

    /// Sets everything back, and makes what these two need to be about something.
    pub async fn set_back(&self, db: &mut PgConnection, pair: [UseCase; 2]) {
        let run = async |db: &mut PgConnection, sql: &'static str| {
            sqlx::raw_sql(sql).execute(db).await.expect("rows");
        };
        run(db, "SELECT kept.set_back()").await;
        if pair.contains(&UseCase::Rescue) {
            let silent = "UPDATE worker_session AS s SET alive_until = clock_timestamp() - interval '1 s' FROM claim AS c WHERE c.session_id = s.id";
            run(db, silent).await;
        }
        if pair.contains(&UseCase::ClaimCounted) {
            run(db, "UPDATE queue SET max_running = 3").await;
        }
        if pair.contains(&UseCase::Expire) {
            run(
                db,
                "UPDATE job SET finish_by = clock_timestamp() - interval '1 s' WHERE state = 'queued' AND NOT suspect",
            )
            .await;
        }
    }

    /// Everything that is wrong after a schedule.
    pub async fn judge(&self, db: &mut PgConnection, pair: [UseCase; 2], reports: &[Report; 2]) -> Vec<String> {
        let all = |of: fn(&Report) -> &Vec<Uuid>| reports.iter().flat_map(of).copied().collect::<Vec<Uuid>>();
        let known: Vec<Uuid> =
            self.facts.live.iter().copied().chain([self.facts.cancelled]).chain(all(|r| &r.made)).collect();
        let moved: Vec<(Uuid, i32, bool)> = reports.iter().flat_map(|r| r.moved.iter().copied()).collect();
        let forgotten = pair.contains(&UseCase::RemoveResults);
        // An administrator asks nobody, and what is late or rejected ends whoever waits.
        let by_force = pair.contains(&UseCase::Cancel);
        let (jobs, versions, ended): (Vec<_>, Vec<_>, Vec<_>) = split(&moved);
        let refused: Vec<(Uuid, i32)> = reports.iter().flat_map(|r| r.refused.iter().copied()).collect();
        let mut wrong: Vec<String> = sqlx::query_scalar(include_str!("verdict.sql"))
            .bind(known)
            .bind(jobs)
            .bind(versions)
            .bind(ended)
            .bind(all(|r| &r.made_unanswered))
            .bind(refused.iter().map(|r| r.0).collect::<Vec<_>>())
            .bind(refused.iter().map(|r| r.1).collect::<Vec<_>>())
            .bind(self.facts.busy.session)
            .bind(forgotten)
            .bind(by_force)
            .fetch_all(db)
            .await
            .expect("a verdict");
        let twice = |what: &str, mut all: Vec<(Uuid, i32)>, wrong: &mut Vec<String>| {
            all.sort_unstable();
            wrong
                .extend(all.windows(2).filter(|two| two[0] == two[1]).map(|two| format!("{what} twice: {:?}", two[0])));
        };
        let leases = |of: fn(&Report) -> &Vec<(Uuid, i32)>| reports.iter().flat_map(of).copied().collect::<Vec<_>>();
        twice("a lease was given", leases(|r| &r.leases), &mut wrong);
        twice("a word was accepted", leases(|r| &r.accepted), &mut wrong);
        twice("a version was reached", moved.iter().map(|m| (m.0, m.1)).collect(), &mut wrong);
        wrong
    }
}

fn split(moved: &[(Uuid, i32, bool)]) -> (Vec<Uuid>, Vec<i32>, Vec<bool>) {
    (moved.iter().map(|m| m.0).collect(), moved.iter().map(|m| m.1).collect(), moved.iter().map(|m| m.2).collect())
}

async fn one<T: for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres> + Send + Unpin>(
    pool: &PgPool,
    sql: &'static str,
    value: &str,
) -> T {
    sqlx::query_scalar(sql).bind(value).fetch_one(pool).await.expect("a value")
}

async fn images(pool: &PgPool, salts: [u64; 6]) -> Vec<(i64, ContentMd5)> {
    let mut images = Vec::new();
    for salt in salts {
        let md5 = ContentMd5::parse(&md5_of(&photo(salt))).expect("an MD5");
        let id = sqlx::query_scalar("SELECT id FROM image WHERE md5 = $1").bind(md5.0.to_vec()).fetch_one(pool).await;
        images.push((id.expect("an image"), md5));
    }
    images
}
