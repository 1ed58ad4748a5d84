-- Puts locked jobs back into line, running ones with the try that ended.
-- $1 jobs, each once, with $2 when each may run again, $3 its attempt, $4 its deaths, $5 whether it is claimed alone, $6 the code of
-- the event, $7 how the try ended, $8 the error's type, $9 its message, $10 its traceback; $11 their number; $12 the instant.
WITH item AS (
  SELECT * FROM unnest($1::uuid[], $2::timestamptz[], $3::smallint[], $4::smallint[], $5::boolean[], $6::text[], $7::text[], $8::text[],
                       $9::text[], $10::text[])
    AS t (id, run_at, attempt, deaths, suspect, code, outcome, error_type, error_message, traceback)
  LIMIT $11
), old AS MATERIALIZED (
  -- As they are before the update below, whose snapshot is the same.
  SELECT j.id, j.queue_id, j.session_id, j.claim_id, j.lease_no, j.attempt, j.version, j.started_at, s.key_id
  FROM item AS t JOIN job AS j ON j.id = t.id LEFT JOIN worker_session AS s ON s.id = j.session_id
), back AS (
  UPDATE job AS j SET state = 'queued', session_id = NULL, claim_id = NULL, started_at = NULL, run_at = t.run_at, due = t.run_at <= $12,
                      attempt = t.attempt, deaths = t.deaths, suspect = t.suspect, version = j.version + 1
  FROM item AS t WHERE j.id = t.id
  RETURNING j.id, j.image_id, j.queue_id, j.lease_no, j.version, j.rank, j.due, j.suspect
), counted AS (
  UPDATE claim AS c SET open = c.open - n.jobs
  FROM (SELECT session_id, claim_id, count(*) AS jobs FROM old GROUP BY session_id, claim_id ORDER BY session_id, claim_id) AS n
  WHERE c.session_id = n.session_id AND c.claim_id = n.claim_id
), tried AS (
  INSERT INTO attempt (job_id, lease_no, attempt, version, session_id, outcome, error_type, error_message, traceback, started_at, ended_at)
  SELECT o.id, o.lease_no, o.attempt, o.version + 1, o.session_id, t.outcome, t.error_type, t.error_message, t.traceback, o.started_at, $12
  FROM old AS o JOIN item AS t ON t.id = o.id
), told AS (
  INSERT INTO job_event (at, code, job_id, version, queue_id, key_id, session_id, lease_no, attempt)
  SELECT $12, t.code, o.id, o.version + 1, o.queue_id, o.key_id, o.session_id, o.lease_no, o.attempt
  FROM old AS o JOIN item AS t ON t.id = o.id
)
SELECT b.id, b.image_id, b.queue_id, o.lease_no, o.session_id, b.version, 'queued' AS state, NULL AS reason, b.rank, b.due, b.suspect
FROM back AS b JOIN old AS o ON o.id = b.id
