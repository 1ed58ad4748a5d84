-- Locks queued jobs of models that are retired. $1 the most at once of each; $2 whether also those whose time has not come: they
-- are found among those of all models.
SELECT j.id, j.image_id, j.queue_id, j.lease_no, j.version, j.state::text AS state, j.attempt, j.deaths, j.suspect, j.run_at, j.finish_by,
       j.begun_at, j.session_id, q.max_attempts, q.backoff_base_s, q.backoff_cap_s, q.retry_budget_s, clock_timestamp() AS at, 0 AS version_id
FROM job AS j
JOIN queue AS q ON q.id = j.queue_id
WHERE j.state = 'queued' AND j.id = ANY(ARRAY(
  SELECT w.id
  FROM queue AS r
  -- By its own queue's indexes the line and those that are claimed alone.
  CROSS JOIN LATERAL (
    (SELECT id FROM job WHERE queue_id = r.id AND due AND NOT suspect ORDER BY rank, id LIMIT $1)
    UNION ALL
    (SELECT id FROM job WHERE queue_id = r.id AND suspect ORDER BY rank, id LIMIT $1)
    UNION ALL
    (SELECT id FROM job WHERE $2 AND queue_id = r.id AND NOT due ORDER BY run_at LIMIT $1)
  ) AS w
  WHERE r.retired_at IS NOT NULL
))
ORDER BY j.id FOR UPDATE OF j SKIP LOCKED
