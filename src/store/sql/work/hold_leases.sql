-- Locks the jobs whose leases these sessions hold, with what decides how they go on.
-- $1 jobs, each lease once, with $2 the session and $3 the key that call and $4 the lease; $5 their number.
SELECT t.place, j.id, j.image_id, j.queue_id, j.lease_no, j.version, j.state::text AS state, j.attempt, j.deaths, j.suspect, j.run_at, j.finish_by,
       j.begun_at, j.session_id, q.max_attempts, q.backoff_base_s, q.backoff_cap_s, q.retry_budget_s, clock_timestamp() AS at, s.version_id
FROM (
  -- In order of id: the order of locks.
  SELECT * FROM (
    SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::integer[]) WITH ORDINALITY
      AS t (id, session_id, key_id, lease_no, place)
    LIMIT $5
  ) AS t ORDER BY id OFFSET 0
) AS t
CROSS JOIN LATERAL (SELECT version_id FROM worker_session WHERE id = t.session_id AND key_id = t.key_id OFFSET 0) AS s
-- The fence: this lease of this session, opened with this key, of a running job.
CROSS JOIN LATERAL (
  SELECT * FROM job WHERE id = t.id AND state = 'running' AND lease_no = t.lease_no AND session_id = t.session_id FOR UPDATE
) AS j
JOIN queue AS q ON q.id = j.queue_id
