-- Locks the jobs whose leases these sessions hold, with what decides how they go on.
-- $1 jobs, each lease once, with $2 the session and $3 the key that call and $4 the lease; $5 their number.
SELECT t.place, j.id, j.image_id, j.queue_id, j.lease_no, j.version, j.state::text AS state, j.attempt, j.deaths, j.suspect, j.run_at, j.finish_by,
       j.begun_at, j.session_id, q.max_attempts, q.backoff_base_s, q.backoff_cap_s, q.retry_budget_s, clock_timestamp() AS at, s.version_id
FROM (
  SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::integer[]) WITH ORDINALITY
    AS t (id, session_id, key_id, lease_no, place)
  LIMIT $5
) AS t
JOIN worker_session AS s ON s.id = t.session_id
JOIN job AS j ON j.id = t.id
JOIN queue AS q ON q.id = j.queue_id
-- The fence: this lease of this session, opened with this key, of a running job.
WHERE j.state = 'running' AND j.lease_no = t.lease_no AND j.session_id = t.session_id AND s.key_id = t.key_id
ORDER BY j.id FOR UPDATE OF j
