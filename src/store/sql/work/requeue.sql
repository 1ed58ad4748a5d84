-- Puts locked jobs back into line, running ones with the try that ended.
-- $1 jobs, each once, with $2 when each may run again, $3 its attempt, $4 its deaths, $5 whether it is claimed alone, $6 the code of
-- the event, $7 how the try ended, $8 the error's type, $9 its message, $10 its traceback; $11 their number; $12 the instant.
WITH item AS (
  SELECT * FROM unnest($1::uuid[], $2::timestamptz[], $3::smallint[], $4::smallint[], $5::boolean[], $6::text[], $7::text[], $8::text[],
                       $9::text[], $10::text[])
    AS t (id, run_at, attempt, deaths, suspect, code, outcome, error_type, error_message, traceback)
  LIMIT $11
), old AS MATERIALIZED (
  -- As they are before the update below, whose snapshot is the same. They are locked, so that where each was found it is; OFFSET 0
  -- as in succeed.sql.
  SELECT t.*, j.*, s.key_id
  FROM item AS t
  CROSS JOIN LATERAL (
    SELECT ctid, queue_id, session_id, claim_id, lease_no, attempt AS tried_attempt, version + 1 AS version, started_at
    FROM job WHERE id = t.id OFFSET 0
  ) AS j
  LEFT JOIN LATERAL (SELECT key_id FROM worker_session WHERE id = j.session_id OFFSET 0) AS s ON true
), back AS (
  UPDATE job AS j SET state = 'queued', session_id = NULL, claim_id = NULL, started_at = NULL, run_at = o.run_at, due = o.run_at <= $12,
                      attempt = o.attempt, deaths = o.deaths, suspect = o.suspect, version = o.version
  FROM old AS o WHERE j.ctid = o.ctid
  RETURNING j.id, j.image_id, j.queue_id, j.lease_no, o.session_id, j.version, j.rank, j.due, j.suspect
), counted AS (
  -- As in succeed.sql.
  INSERT INTO claim AS c (session_id, claim_id, queue_id, at, deadline_at, open, jobs)
  SELECT session_id, claim_id, min(queue_id), $12, $12, 0, array_agg(id) FROM old WHERE session_id IS NOT NULL
  GROUP BY session_id, claim_id ORDER BY session_id, claim_id
  ON CONFLICT ON CONSTRAINT claim_pkey DO UPDATE SET open = greatest(0, c.open - cardinality(excluded.jobs))
), tried AS (
  INSERT INTO attempt (job_id, lease_no, attempt, version, session_id, outcome, error_type, error_message, traceback, started_at, ended_at)
  SELECT id, lease_no, tried_attempt, version, session_id, outcome, error_type, error_message, traceback, started_at, $12 FROM old
), told AS (
  INSERT INTO job_event (at, code, job_id, version, queue_id, key_id, session_id, lease_no, attempt)
  SELECT $12, code, id, version, queue_id, key_id, session_id, lease_no, tried_attempt FROM old
)
SELECT id, image_id, queue_id, lease_no, session_id, version, 'queued' AS state, NULL AS reason, rank, due, suspect FROM back
