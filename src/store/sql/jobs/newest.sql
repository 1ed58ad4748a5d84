-- The newest jobs of queues, or of all, live and ended: a walk along their ids, which looks at a bounded number of them. The last of
-- those is told as well when the walk ends with it, without being one that was looked for.
-- $1 queues, or null for all; $2 one of them, or null: what did not succeed has an index by it; $3 the state or null; $4 the reason or
-- null; $5 the id before which to begin; $6 how many to look at; $7 the most.
SELECT id, found
FROM (
  SELECT w.id, row_number() OVER (ORDER BY w.id DESC) AS place,
         ($1::integer[] IS NULL OR w.queue_id = ANY($1)) AND ($3::text IS NULL OR w.state = $3::job_state)
           AND ($4::text IS NULL OR w.reason = $4::fail_reason) AS found
  FROM (
    SELECT id, queue_id, state, reason
    FROM (
      SELECT 'live' AS part, id, queue_id, state, NULL::fail_reason AS reason FROM job
      UNION ALL
      SELECT 'ended', id, queue_id, state, reason FROM job_archive
      UNION ALL
      SELECT 'unsuccessful', id, queue_id, state, reason FROM job_archive
      UNION ALL
      SELECT 'unsuccessful of one', id, queue_id, state, reason FROM job_archive
    ) AS j
    -- Outside of the union: only so is it merged along the indexes, and not sorted whole.
    WHERE id < $5 AND (
      part = 'live' AND ($3::text IS NULL OR $3::text IN ('queued', 'running'))
      OR part = 'ended' AND ($3::text IS NULL OR $3::text = 'succeeded')
      OR part = 'unsuccessful' AND state <> 'succeeded' AND $3::text IN ('failed', 'cancelled') AND $2::integer IS NULL
      OR part = 'unsuccessful of one' AND state <> 'succeeded' AND $3::text IN ('failed', 'cancelled') AND queue_id = $2)
    ORDER BY id DESC LIMIT $6
  ) AS w
) AS walked
WHERE found OR place = $6
ORDER BY id DESC LIMIT $7
