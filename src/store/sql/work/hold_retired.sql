-- Locks queued jobs of models that are retired. $1 the most at once.
SELECT j.id, j.image_id, j.queue_id, j.lease_no, j.version, j.state::text AS state, j.attempt, j.deaths, j.suspect, j.run_at, j.finish_by,
       j.begun_at, j.session_id, q.max_attempts, q.backoff_base_s, q.backoff_cap_s, q.retry_budget_s, clock_timestamp() AS at, 0 AS version_id
FROM job AS j
JOIN queue AS q ON q.id = j.queue_id
WHERE q.retired_at IS NOT NULL AND j.state = 'queued'
ORDER BY j.id LIMIT $1 FOR UPDATE OF j SKIP LOCKED
