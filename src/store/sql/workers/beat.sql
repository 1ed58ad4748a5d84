-- Prolongs live sessions and keeps what they say they hold; nothing where a session is not alive, or is another key's.
-- $1 sessions, none twice, with $2 the key that calls, $3 whether it takes no more, $4 what it holds; $5 a lease in seconds.
WITH beat AS (
  SELECT * FROM unnest($1::uuid[], $2::text[], $3::boolean[], $4::jsonb[]) AS b (session_id, key_id, draining, holds)
), alive AS MATERIALIZED (
  SELECT s.id, b.draining, b.holds, q.retired_at
  FROM beat AS b JOIN worker_session AS s ON s.id = b.session_id JOIN queue AS q ON q.id = s.queue_id
  WHERE s.key_id = b.key_id AND s.end_reason IS NULL
  ORDER BY s.id FOR NO KEY UPDATE OF s
)
UPDATE worker_session AS s
SET alive_until = greatest(s.alive_until, clock_timestamp() + interval '1 s' * $5), beat_at = clock_timestamp(),
    draining = a.draining, holds = a.holds
FROM alive AS a WHERE s.id = a.id
RETURNING s.id, s.key_id, s.draining OR a.retired_at IS NOT NULL AS draining
