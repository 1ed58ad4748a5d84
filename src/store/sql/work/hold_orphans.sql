-- Those of the locked jobs that are still orphaned or overdue, and why: a statement of its own, because the one that locked may
-- have joined a job's new row with its old session. A running job without its claim's row is one whose session is dead.
-- $1 jobs.
SELECT j.id, j.image_id, j.queue_id, j.lease_no, j.version, j.state::text AS state, j.attempt, j.deaths, j.suspect, j.run_at, j.finish_by,
       j.begun_at, j.session_id, q.max_attempts, q.backoff_base_s, q.backoff_cap_s, q.retry_budget_s, clock_timestamp() AS at, 0 AS version_id,
       CASE WHEN s.end_reason = 'left' THEN 'released'
            WHEN s.id IS NULL OR s.ended_at IS NOT NULL OR c.session_id IS NULL THEN 'lost'
            ELSE 'deadline' END AS cause
FROM job AS j
JOIN queue AS q ON q.id = j.queue_id
LEFT JOIN worker_session AS s ON s.id = j.session_id
LEFT JOIN claim AS c ON c.session_id = j.session_id AND c.claim_id = j.claim_id AND c.open > 0
WHERE j.id = ANY($1) AND j.state = 'running'
  AND (s.id IS NULL OR s.ended_at IS NOT NULL OR c.session_id IS NULL OR c.deadline_at < clock_timestamp())
ORDER BY j.id FOR UPDATE OF j
