-- Prolongs live sessions and keeps what they say they hold; nothing where a session is not alive, or is another key's.
-- $1 sessions, none twice, with $2 the key that calls, $3 whether it takes no more, $4 what it holds, $5 what
-- troubles it; $6 a lease in seconds.
WITH beat AS (
  SELECT * FROM unnest($1::uuid[], $2::text[], $3::boolean[], $4::jsonb[], $5::text[]) AS b (session_id, key_id, draining, holds, trouble)
), alive AS MATERIALIZED (
  SELECT s.id, b.draining, b.holds, b.trouble, q.retired_at
  FROM (SELECT * FROM beat ORDER BY session_id OFFSET 0) AS b
  CROSS JOIN LATERAL (
    SELECT id, queue_id FROM worker_session WHERE id = b.session_id AND key_id = b.key_id AND end_reason IS NULL FOR NO KEY UPDATE
  ) AS s
  CROSS JOIN LATERAL (SELECT retired_at FROM queue WHERE id = s.queue_id OFFSET 0) AS q
)
UPDATE worker_session AS s
SET alive_until = greatest(s.alive_until, clock_timestamp() + interval '1 s' * $6), beat_at = clock_timestamp(),
    draining = a.draining OR s.drain_asked, holds = a.holds, trouble = a.trouble
FROM alive AS a WHERE s.id = a.id AND s.id = ANY($1)
RETURNING s.id, s.key_id, s.draining OR a.retired_at IS NOT NULL AS draining
