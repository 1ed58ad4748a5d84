-- Locks live jobs, queued or running, with what decides how they go on. $1 jobs.
SELECT j.id, j.image_id, j.queue_id, j.lease_no, j.version, j.state::text AS state, j.attempt, j.deaths, j.suspect, j.run_at, j.finish_by,
       j.begun_at, j.session_id, q.max_attempts, q.backoff_base_s, q.backoff_cap_s, q.retry_budget_s, clock_timestamp() AS at, 0 AS version_id
FROM job AS j
JOIN queue AS q ON q.id = j.queue_id
WHERE j.id = ANY($1)
ORDER BY j.id FOR UPDATE OF j
