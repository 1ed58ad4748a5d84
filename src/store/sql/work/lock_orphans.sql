-- Locks running jobs whose session is over or missing, or whose attempt is past its deadline. $1 the most at once.
SELECT j.id
FROM claim AS c
LEFT JOIN worker_session AS s ON s.id = c.session_id
CROSS JOIN unnest(c.jobs) AS held (id)
JOIN job AS j ON j.id = held.id
WHERE c.open > 0 AND (s.id IS NULL OR s.ended_at IS NOT NULL OR c.deadline_at < clock_timestamp())
  AND j.session_id = c.session_id AND j.claim_id = c.claim_id AND j.state = 'running'
ORDER BY j.id LIMIT $1 FOR UPDATE OF j SKIP LOCKED
