-- Asks a live session to take no more, or asks it no longer, and writes down who did. Its row's lock waits for claims under way, and those
-- that come after see it: what it holds now is all that it gets.
-- $1 session, $2 whether it is to take no more, $3 the user.
WITH made AS (
  UPDATE worker_session SET drain_asked = $2, draining = $2
  WHERE id = $1 AND ended_at IS NULL AND drain_asked <> $2 RETURNING id, key_id, queue_id
)
INSERT INTO job_event (code, account_id, key_id, session_id, queue_id, reason)
SELECT 'worker_changed', $3, key_id, id, queue_id, CASE WHEN $2 THEN 'draining' ELSE 'recalled' END FROM made
