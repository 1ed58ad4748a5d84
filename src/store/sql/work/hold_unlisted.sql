-- Locks what a live session runs by our books but did not list, one lease after it was handed out: the answer to its claim
-- never arrived.
-- $1 session, $2 the jobs that it lists with $3 their leases, $4 a lease in seconds.
SELECT j.id, j.image_id, j.queue_id, j.lease_no, j.version, j.state::text AS state, j.attempt, j.deaths, j.suspect, j.run_at, j.finish_by,
       j.begun_at, j.session_id, q.max_attempts, q.backoff_base_s, q.backoff_cap_s, q.retry_budget_s, clock_timestamp() AS at, 0 AS version_id
FROM claim AS c
CROSS JOIN unnest(c.jobs) AS held (id)
JOIN job AS j ON j.id = held.id
JOIN queue AS q ON q.id = j.queue_id
WHERE c.session_id = $1 AND c.open > 0 AND j.session_id = $1 AND j.claim_id = c.claim_id AND j.state = 'running'
  AND j.started_at < clock_timestamp() - interval '1 s' * $4
  AND NOT EXISTS (SELECT FROM unnest($2::uuid[], $3::integer[]) AS t (id, lease_no) WHERE t.id = j.id AND t.lease_no = j.lease_no)
ORDER BY j.id FOR UPDATE OF j
