-- Locks queued jobs past `finish_by`: those that are short-lived by their index, and $1, which the sweep has seen to be late.
-- $2 the most at once. The clock is read in a sub-select, once: only so does the index serve.
SELECT j.id, j.image_id, j.queue_id, j.lease_no, j.version, j.state::text AS state, j.attempt, j.deaths, j.suspect, j.run_at, j.finish_by,
       j.begun_at, j.session_id, q.max_attempts, q.backoff_base_s, q.backoff_cap_s, q.retry_budget_s, clock_timestamp() AS at, 0 AS version_id
FROM job AS j
JOIN queue AS q ON q.id = j.queue_id
WHERE j.state = 'queued' AND j.finish_by <= clock_timestamp() AND j.id IN (
  SELECT unnest($1::uuid[])
  UNION ALL
  (SELECT id FROM job WHERE finish_by - run_at < interval '1 day' AND finish_by <= (SELECT clock_timestamp()) AND state = 'queued'
   ORDER BY finish_by LIMIT $2)
)
ORDER BY j.id FOR UPDATE OF j SKIP LOCKED
