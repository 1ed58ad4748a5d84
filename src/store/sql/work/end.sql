-- Ends locked jobs, queued or running: archive, outcome, the try that ended, and the event. What most completions need is
-- succeed.sql; this serves all else.
-- $1 jobs, each once, with $2 the state and $3 the reason it ends with, $4 whether a worker ended it, $5 its model's version (0 without
-- a success), $6 the result, $7 how long the model worked, $8 how the try ended or null, $9 the error's type, $10 its message,
-- $11 its traceback, $12 its attempts and $13 its deaths as they now count; $14 their number; $15 the instant; $16 the user who ended
-- them or null.
WITH sent AS (
  SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::boolean[], $5::integer[], $6::text[], $7::real[], $8::text[], $9::text[],
                       $10::text[], $11::text[], $12::smallint[], $13::smallint[])
    AS t (id, state, reason, by_worker, version_id, document, duration_s, outcome, error_type, error_message, traceback, attempts, deaths)
  LIMIT $14
), found AS (
  -- They are locked, so that where each was found it is; OFFSET 0 as in succeed.sql.
  SELECT t.*, j.ctid FROM sent AS t CROSS JOIN LATERAL (SELECT ctid FROM job WHERE id = t.id OFFSET 0) AS j
), gone AS (
  DELETE FROM job AS j USING found AS t WHERE j.ctid = t.ctid
  RETURNING j.*, t.state::job_state AS next, t.reason::fail_reason AS reason, t.by_worker, t.version_id, t.document, t.duration_s, t.outcome,
            t.error_type, t.error_message, t.traceback, t.attempts, t.deaths AS next_deaths
), ended AS MATERIALIZED (
  SELECT g.*, s.key_id, s.version_id AS served
  FROM gone AS g LEFT JOIN LATERAL (SELECT key_id, version_id FROM worker_session WHERE id = g.session_id OFFSET 0) AS s ON true
), counted AS (
  -- As in succeed.sql.
  INSERT INTO claim AS c (session_id, claim_id, queue_id, at, deadline_at, open, jobs)
  SELECT session_id, claim_id, min(queue_id), $15, $15, 0, array_agg(id) FROM ended WHERE session_id IS NOT NULL
  GROUP BY session_id, claim_id ORDER BY session_id, claim_id
  ON CONFLICT ON CONSTRAINT claim_pkey DO UPDATE SET open = greatest(0, c.open - cardinality(excluded.jobs))
), tried AS (
  INSERT INTO attempt (job_id, lease_no, attempt, version, session_id, outcome, error_type, error_message, traceback, started_at, ended_at)
  SELECT id, lease_no, attempt, version + 1, session_id, outcome, error_type, error_message, traceback, started_at, $15
  FROM ended WHERE session_id IS NOT NULL AND next <> 'succeeded'
), archived AS (
  INSERT INTO job_archive (id, image_id, run_id, params_id, run_at, finish_by, started_at, finished_at, queue_id, lease_no, version, version_id,
                           state, reason, duration_s, priority, attempt, deaths, submission_id, account_id, retry_of, session_id, key_id)
  SELECT id, image_id, run_id, params_id, run_at, finish_by, started_at, $15, queue_id, lease_no, version + 1, CASE WHEN by_worker THEN served ELSE 0 END,
         next, reason, duration_s, priority, attempts, next_deaths, submission_id, account_id, retry_of,
         CASE WHEN by_worker THEN session_id END, CASE WHEN by_worker THEN key_id END
  FROM ended
), kept AS (
  -- The newest job counts, whichever ends last.
  INSERT INTO outcome AS o (image_id, params_id, started_at, finished_at, queue_id, version_id, job_version, state, reason, attempt, job_id,
                            error, document)
  SELECT image_id, params_id, started_at, $15, queue_id, version_id, version + 1, next, reason, attempts, id,
         CASE WHEN error_type IS NOT NULL OR error_message IS NOT NULL
              THEN jsonb_build_object('type', error_type, 'message', error_message) END,
         document::jsonb
  FROM ended WHERE image_id IS NOT NULL ORDER BY image_id, queue_id, params_id, version_id
  ON CONFLICT ON CONSTRAINT outcome_pkey DO UPDATE SET
    job_id = excluded.job_id, job_version = excluded.job_version, state = excluded.state, reason = excluded.reason,
    attempt = excluded.attempt, started_at = excluded.started_at, finished_at = excluded.finished_at, error = excluded.error,
    document = excluded.document, written = excluded.written
  WHERE excluded.job_id > o.job_id
), run_ended AS (
  -- From here on the run tells by itself how it ended; the job's last version goes into its revision, so that this only rises.
  UPDATE training_run AS r SET
    state = e.next, reason = e.reason, attempt = e.attempts, lease_no = CASE WHEN e.next = 'succeeded' THEN e.lease_no END,
    result = e.document::jsonb, started_at = e.started_at, finished_at = $15, revision = r.revision + e.version + 1,
    error = CASE WHEN e.error_type IS NOT NULL OR e.error_message IS NOT NULL
                 THEN jsonb_build_object('type', e.error_type, 'message', e.error_message) END
  FROM ended AS e WHERE e.run_id IS NOT NULL AND r.job_id = e.run_id
), told AS (
  -- A success is told by the archive.
  INSERT INTO job_event (at, code, job_id, version, queue_id, account_id, key_id, session_id, lease_no, attempt, reason)
  SELECT $15, next::text, id, version + 1, queue_id, $16, key_id, session_id, lease_no, attempt, reason::text
  FROM ended WHERE next <> 'succeeded'
)
SELECT id, image_id, queue_id, lease_no, session_id, version + 1 AS version, next::text AS state, reason::text AS reason,
       0::bigint AS rank, false AS due, false AS suspect
FROM ended
