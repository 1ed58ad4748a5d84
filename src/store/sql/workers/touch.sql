-- Prolongs live sessions, as every sign of life does, and says what each may do; nothing where a session is not alive, or is
-- another key's.
-- $1 sessions, with $2 the key that calls and $3 the claim that it comes with or null; $4 their number; $5 a lease in seconds;
-- $6 the same less what is not worth a row: a busy worker gives many signs of life in a second.
WITH ask AS (
  SELECT * FROM unnest($1::uuid[], $2::text[], $3::uuid[]) WITH ORDINALITY AS a (session_id, key_id, claim_id, place) LIMIT $4
), late AS MATERIALIZED (
  -- `end_reason` is no part of an index: a session is found by its id, not among all that live.
  SELECT s.id
  FROM (SELECT DISTINCT session_id, key_id FROM ask ORDER BY session_id) AS a
  CROSS JOIN LATERAL (
    SELECT id FROM worker_session
    WHERE id = a.session_id AND key_id = a.key_id AND end_reason IS NULL AND alive_until < clock_timestamp() + interval '1 s' * $6
    FOR NO KEY UPDATE
  ) AS s
), prolonged AS (
  UPDATE worker_session AS s
  SET alive_until = greatest(s.alive_until, clock_timestamp() + interval '1 s' * $5), beat_at = clock_timestamp()
  WHERE s.id = ANY(ARRAY(SELECT id FROM late))
)
SELECT a.place, s.queue_id, s.version_id, q.path AS model, q.paused, q.max_running IS NOT NULL AS limited,
       s.draining OR q.retired_at IS NOT NULL AS draining,
       -- The caller sent this claim before, and holds jobs of it.
       a.claim_id IS NOT NULL AND EXISTS (
         SELECT FROM claim AS c WHERE c.session_id = s.id AND c.claim_id = a.claim_id AND c.open > 0) AS replay,
       coalesce((SELECT sum(c.open) FROM claim AS c WHERE c.session_id = s.id), 0)::bigint AS held,
       CASE
         -- It runs a suspect, alone.
         WHEN s.solo_job IS NOT NULL AND (
           SELECT j.suspect AND j.session_id = s.id FROM job AS j WHERE j.id = s.solo_job) THEN 'wait'
         WHEN NOT EXISTS (
           SELECT FROM job AS j WHERE j.queue_id = q.id AND j.suspect AND j.state = 'queued' AND j.run_at <= clock_timestamp()) THEN 'open'
         WHEN NOT EXISTS (SELECT FROM claim AS c WHERE c.session_id = s.id AND c.open > 0) THEN 'suspect'
         WHEN s.reserved_until > clock_timestamp() THEN 'wait'
         -- One that takes no more would keep itself free for nothing.
         WHEN s.draining OR EXISTS (
           SELECT FROM worker_session AS o WHERE o.queue_id = q.id AND o.ended_at IS NULL AND o.reserved_until > clock_timestamp()) THEN 'open'
         ELSE 'reserve'
       END AS turn
FROM ask AS a
CROSS JOIN LATERAL (SELECT * FROM worker_session WHERE id = a.session_id AND key_id = a.key_id AND end_reason IS NULL OFFSET 0) AS s
JOIN queue AS q ON q.id = s.queue_id
