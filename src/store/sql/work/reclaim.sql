-- Answers a claim sent again: a new lease of what it still holds, at the same attempt and with the same deadline.
-- $1 session, $2 claim.
WITH live AS MATERIALIZED (
  -- As in claim.sql: who is just leaving, or given up, is given no new lease.
  SELECT id FROM worker_session WHERE id = $1 AND end_reason IS NULL FOR SHARE
), held AS MATERIALIZED (
  SELECT j.id, j.started_at, now.at, c.deadline_at
  FROM (SELECT clock_timestamp() AS at) AS now, live AS l
  JOIN claim AS c ON c.session_id = l.id
  CROSS JOIN unnest(c.jobs) AS listed (id)
  JOIN job AS j ON j.id = listed.id
  WHERE c.claim_id = $2 AND j.session_id = $1 AND j.claim_id = $2 AND j.state = 'running'
  ORDER BY j.id FOR NO KEY UPDATE OF j
), taken AS (
  UPDATE job AS j SET lease_no = j.lease_no + 1, version = j.version + 1, started_at = h.at FROM held AS h WHERE j.id = h.id
  RETURNING j.id, j.image_id, j.queue_id, j.params_id, j.lease_no, j.attempt, j.version, j.rank, j.session_id, j.claim_id, j.suspect,
            h.started_at AS former_at, h.at, h.deadline_at
), renewed AS (
  UPDATE claim AS c SET at = (SELECT min(at) FROM taken) WHERE c.session_id = $1 AND c.claim_id = $2 AND EXISTS (SELECT FROM taken)
), told AS (
  INSERT INTO job_event (at, former_at, code, job_id, version, queue_id, key_id, session_id, lease_no, attempt)
  SELECT t.at, t.former_at, 'reclaimed', t.id, t.version, t.queue_id, s.key_id, t.session_id, t.lease_no, t.attempt
  FROM taken AS t JOIN worker_session AS s ON s.id = t.session_id
)
SELECT session_id, claim_id, id, image_id, queue_id, params_id, lease_no, attempt, version, suspect,
       greatest(0, extract(epoch FROM deadline_at - at))::float8 AS deadline_s
FROM taken ORDER BY rank, id
