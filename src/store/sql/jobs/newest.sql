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
    SELECT id, queue_id, state, NULL::fail_reason AS reason FROM job
    WHERE id < $5 AND ($3::text IS NULL OR $3::text IN ('queued', 'running'))
    UNION ALL
    SELECT id, queue_id, state, reason FROM job_archive
    WHERE id < $5 AND ($3::text IS NULL OR $3::text = 'succeeded')
    UNION ALL
    SELECT id, queue_id, state, reason FROM job_archive
    WHERE id < $5 AND state <> 'succeeded' AND $3::text IN ('failed', 'cancelled') AND $2::integer IS NULL
    UNION ALL
    SELECT id, queue_id, state, reason FROM job_archive
    WHERE id < $5 AND state <> 'succeeded' AND $3::text IN ('failed', 'cancelled') AND queue_id = $2
    ORDER BY id DESC LIMIT $6
  ) AS w
) AS walked
WHERE found OR place = $6
ORDER BY id DESC LIMIT $7
