-- Claims one suspect, alone, for a session that holds nothing. The session's row is locked by a statement before this one, so
-- that what it holds is read after the lock.
-- $1 session, $2 claim.
WITH candidate AS MATERIALIZED (
  SELECT j.id, j.lease_no, q.deadline_s, now.at
  FROM (SELECT clock_timestamp() AS at) AS now, worker_session AS s
  JOIN queue AS q ON q.id = s.queue_id
  JOIN job AS j ON j.queue_id = q.id
  WHERE s.id = $1 AND NOT s.draining AND NOT q.paused AND q.retired_at IS NULL
    AND j.suspect AND j.state = 'queued' AND j.run_at <= now.at AND j.finish_by > now.at
    AND NOT EXISTS (SELECT FROM claim AS c WHERE c.session_id = $1 AND c.open > 0)
  ORDER BY j.rank, j.id LIMIT 1 FOR NO KEY UPDATE OF j SKIP LOCKED
), alone AS (
  UPDATE worker_session SET solo_job = c.id, solo_lease = c.lease_no + 1, reserved_until = NULL FROM candidate AS c WHERE worker_session.id = $1
), taken AS (
  UPDATE job AS j SET state = 'running', lease_no = j.lease_no + 1, attempt = j.attempt + 1, version = j.version + 1,
                      session_id = $1, claim_id = $2, started_at = c.at, begun_at = coalesce(j.begun_at, c.at)
  FROM candidate AS c WHERE j.id = c.id
  RETURNING j.id, j.image_id, j.queue_id, j.params_id, j.lease_no, j.attempt, j.version, j.session_id, j.claim_id, c.deadline_s, c.at
), opened AS (
  INSERT INTO claim AS o (session_id, claim_id, queue_id, at, deadline_at, open, jobs)
  SELECT session_id, claim_id, queue_id, at, at + interval '1 s' * deadline_s, 1, ARRAY[id] FROM taken
  ON CONFLICT ON CONSTRAINT claim_pkey DO UPDATE SET
    at = excluded.at, deadline_at = excluded.deadline_at, jobs = excluded.jobs,
    open = CASE WHEN o.open = 0 THEN excluded.open ELSE -1 END
)
SELECT session_id, claim_id, id, image_id, queue_id, params_id, lease_no, attempt, version, deadline_s::float8 AS deadline_s FROM taken
