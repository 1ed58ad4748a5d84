-- Changes a model or dataset and writes down what changed. What is null stays as it is, but for the limits with a flag of their own.
-- $1 queue; $2 paused; $3 whether the limit changes, $4 to what; $5 attempts; $6 base and $7 cap of the back-off and $8 the deadline in
-- seconds; $9 retired; $10 the user; $11 whether the retry budget changes, $12 to how many seconds;
-- $13 by which versions it is served.
WITH made AS (
  UPDATE queue SET
    paused = coalesce($2, paused),
    served_by = coalesce($13, served_by),
    max_running = CASE WHEN $3 THEN $4 ELSE max_running END,
    max_attempts = coalesce($5, max_attempts),
    backoff_base_s = coalesce($6, backoff_base_s),
    backoff_cap_s = coalesce($7, backoff_cap_s),
    deadline_s = coalesce($8, deadline_s),
    retry_budget_s = CASE WHEN $11 THEN $12 ELSE retry_budget_s END,
    retired_at = CASE WHEN $9::boolean IS NULL THEN retired_at WHEN $9 THEN coalesce(retired_at, clock_timestamp()) END
  WHERE id = $1 RETURNING id, kind
)
INSERT INTO job_event (code, account_id, queue_id, reason)
SELECT kind || '_changed', $10, id,
       concat_ws(',', CASE WHEN $2 THEN 'paused' WHEN NOT $2 THEN 'resumed' END, CASE WHEN $3 THEN 'limit' END,
                 CASE WHEN coalesce($5::real, $6, $7, $8) IS NOT NULL OR $11 THEN 'policy' END,
                 CASE WHEN $13::text IS NOT NULL THEN 'versions' END, CASE WHEN $9 THEN 'retired' WHEN NOT $9 THEN 'restored' END)
FROM made
