//! Every way a job leaves a state, in one shape: a head locks the jobs and rules on each (`ruled`), and one
//! shared tail carries the ruling out — requeue or archive, newest per image and model, result, attempt,
//! event — in the same statement. A claim is the one way into running.

mod moved;

/// The columns of `held` that the tail needs.
macro_rules! held_columns {
    () => {
        "j.id, j.image_id, j.model, j.params_hash, j.state, j.priority, j.run_at, j.finish_by, j.attempt, j.deaths, \
         j.lease_no, j.session_id, j.claim_id, j.started_at, j.deadline_at, j.retry_of, j.created_at, j.suspect"
    };
}

/// Carries out `ruled`, whose columns are those of `held` and: `next`, `next_reason`, `next_run_at`,
/// `next_attempt`, `next_deaths`, `next_suspect`, `new_event`, `at`, `code`, `outcome`, `by_session`, `by_account`, `version`,
/// `duration_s`, `document`, `error_type`, `error_message`, `traceback`.
macro_rules! tail {
    () => {
        concat!(
            ", back AS (
               UPDATE job SET state = 'queued', session_id = NULL, claim_id = NULL, deadline_at = NULL, started_at = NULL,
                      attempt = r.next_attempt, deaths = r.next_deaths, suspect = r.next_suspect, run_at = r.next_run_at,
                      due = r.next_run_at <= r.at, event_id = r.new_event
               FROM ruled AS r WHERE job.id = r.id AND r.next = 'queued'
               RETURNING r.id, r.image_id, r.model, r.lease_no, r.session_id, r.next, r.next_reason, r.next_attempt, r.new_event, r.created_at, r.started_at,
                         r.next_run_at, r.at, r.error_type, r.error_message, r.version, r.document, job.rank, job.due, job.suspect
             ), freed AS (
               UPDATE worker_session AS s SET solo_job = NULL FROM ruled AS r
               WHERE r.suspect AND s.id = r.session_id AND s.solo_job = r.id
             ), tried AS (
               INSERT INTO attempt (job_id, lease_no, attempt, session_id, outcome, error_type, error_message, traceback,
                      started_at, ended_at)
               SELECT id, lease_no, attempt, session_id, outcome, error_type, error_message, traceback, started_at, at
               FROM ruled WHERE outcome <> 'succeeded'
               ON CONFLICT ON CONSTRAINT attempt_pkey DO NOTHING
             ), newest AS (
               -- Of several ended jobs of one image and model the newest counts, and of those that succeeded the newest.
               SELECT DISTINCT ON (image_id, model) *,
                      first_value(CASE WHEN next = 'succeeded' THEN id END) OVER won AS success_job,
                      first_value(CASE WHEN next = 'succeeded' THEN params_hash END) OVER won AS success_params_hash,
                      first_value(CASE WHEN next = 'succeeded' THEN version END) OVER won AS success_version
               FROM ruled WHERE next <> 'queued'
               WINDOW won AS (PARTITION BY image_id, model ORDER BY (next = 'succeeded') DESC, id DESC)
               ORDER BY image_id, model, id DESC
             )",
            told!("s.key_id", "ruled AS r LEFT JOIN worker_session AS s ON s.id = r.session_id"),
            ended!(),
            moved_rows!("", " UNION ALL SELECT * FROM back")
        )
    };
}

/// Notes every ruling in the audit.
macro_rules! told {
    ($key:literal, $ruled:literal) => {
        concat!(
            ", told AS (
               INSERT INTO job_event (id, at, code, job_id, model, account_id, key_id, session_id, lease_no, attempt, reason)
               SELECT r.new_event, r.at, r.code, r.id, r.model, r.by_account, ", $key, ", r.session_id, r.lease_no, r.attempt,
                      r.next_reason::text
               FROM ", $ruled, "
             )"
        )
    };
}

/// Moves what ended to the archive, keeps results, and shows the newest of every image and model: from `ruled` and `newest`.
macro_rules! ended {
    () => {
        ", gone AS (
           DELETE FROM job USING ruled AS r WHERE job.id = r.id AND r.next <> 'queued' RETURNING job.id
         ), archived AS (
           INSERT INTO job_archive (id, image_id, model, params_hash, state, reason, priority, run_at, finish_by, attempt,
                  deaths, lease_no, session_id, version, duration_s, started_at, event_id, retry_of, created_at, finished_at)
           SELECT id, image_id, model, params_hash, next, next_reason, priority, run_at, finish_by, next_attempt,
                  next_deaths, lease_no, by_session, version, duration_s, started_at, new_event, retry_of, created_at, at
           FROM ruled WHERE next <> 'queued'
         ), kept AS (
           INSERT INTO result (image_id, model, params_hash, version, job_id, document, finished_at)
           SELECT image_id, model, params_hash, version, id, document, at FROM ruled WHERE next = 'succeeded'
           ON CONFLICT ON CONSTRAINT result_pkey DO UPDATE
           SET job_id = excluded.job_id, document = excluded.document, finished_at = excluded.finished_at
         ), shown AS (
           INSERT INTO image_model AS i (image_id, model, job_id, state, reason, attempt, error, event_id, created_at,
                  started_at, finished_at, success_job, success_params_hash, success_version)
           SELECT n.image_id, n.model, n.id, n.next, n.next_reason, n.next_attempt,
                  CASE WHEN n.error_type IS NOT NULL OR n.error_message IS NOT NULL
                       THEN jsonb_build_object('type', n.error_type, 'message', n.error_message) END,
                  n.new_event, n.created_at, n.started_at, n.at, n.success_job, n.success_params_hash, n.success_version
           FROM newest AS n
           ORDER BY n.image_id, n.model
           ON CONFLICT ON CONSTRAINT image_model_pkey DO UPDATE SET
             (job_id, state, reason, attempt, error, event_id, created_at, started_at, finished_at) = (
               SELECT excluded.job_id, excluded.state, excluded.reason, excluded.attempt, excluded.error, excluded.event_id,
                      excluded.created_at, excluded.started_at, excluded.finished_at WHERE excluded.job_id > i.job_id
               UNION ALL
               SELECT i.job_id, i.state, i.reason, i.attempt, i.error, i.event_id,
                      i.created_at, i.started_at, i.finished_at WHERE excluded.job_id <= i.job_id),
             (success_job, success_params_hash, success_version) = (
               SELECT excluded.success_job, excluded.success_params_hash, excluded.success_version
               WHERE excluded.success_job > coalesce(i.success_job, '00000000-0000-0000-0000-000000000000')
               UNION ALL
               SELECT i.success_job, i.success_params_hash, i.success_version
               WHERE (excluded.success_job > coalesce(i.success_job, '00000000-0000-0000-0000-000000000000')) IS NOT TRUE)
         )"
    };
}

/// Answers with what ended, and with what else moved: the columns of [`Moved`], and others of `ruled`.
macro_rules! moved_rows {
    ($columns:literal, $others:literal) => {
        concat!(
            "SELECT r.id, r.image_id, im.md5, r.model, r.lease_no, r.session_id, r.next::text AS state, r.next_reason::text AS reason,
                    r.next_attempt AS attempt, m.max_attempts, NULL::float8 AS progress, r.new_event AS event_id,
                    r.created_at, CASE WHEN r.next = 'queued' THEN NULL ELSE r.started_at END AS started_at,
                    CASE WHEN r.next = 'queued' THEN r.next_run_at END AS run_at,
                    CASE WHEN r.next <> 'queued' THEN r.at END AS finished_at, r.error_type, r.error_message,
                    r.rank, r.due, r.suspect, r.version, CASE WHEN r.next = 'succeeded' THEN r.document END AS document", $columns, "
             FROM (
               SELECT id, image_id, model, lease_no, session_id, next, next_reason, next_attempt, new_event, created_at, started_at, next_run_at, at,
                      error_type, error_message, version, document, 0::bigint AS rank, false AS due, false AS suspect", $columns, "
               FROM ruled WHERE next <> 'queued'", $others, "
             ) AS r
             JOIN image AS im ON im.id = r.image_id
             JOIN model AS m ON m.name = r.model"
        )
    };
}

mod claim;
mod complete;
mod end;
mod release;
mod rescue;
mod settled;

pub use claim::{
    ClaimKey, Claimed, ClaimedImage, claim_hinted, claim_ranked, claim_suspect, replay_claim, room_under_limit,
};
pub use complete::{Finish, Succeeded, complete, succeed};
pub use end::{cancel, cancel_queued_of, expire};
pub use moved::Moved;
pub use release::{release, release_unlisted};
pub use rescue::{DEATHS_MAX, lock_orphans, rescue};
pub use settled::{Fence, settled};
