-- Gives up sessions whose time had passed at an instant; a session given up stays so.
-- $1 the most at once, $2 the instant at which this tick began: who lived then is not called dead for a tick that stood still.
WITH late AS (
  SELECT id FROM worker_session WHERE ended_at IS NULL AND alive_until < $2 ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED
), made AS (
  UPDATE worker_session AS s SET ended_at = clock_timestamp(), end_reason = 'lost'
  FROM late WHERE s.id = late.id AND s.ended_at IS NULL AND s.alive_until < $2
  RETURNING s.id, s.key_id, s.queue_id, s.host
), told AS (
  INSERT INTO job_event (code, key_id, session_id, queue_id) SELECT 'worker_lost', key_id, id, queue_id FROM made
)
SELECT m.id, q.path AS model, m.host FROM made AS m JOIN queue AS q ON q.id = m.queue_id
