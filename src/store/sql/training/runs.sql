-- Runs, live and ended, newest first.
-- $1 one of them, or null for all; $2 whose, or null for everybody's; $3 of which dataset, or null; $4 in which state, or null; $5 the run
-- before which they were made, or null; $6 the most. Among others, each tells no params and result that are large: lists are answered
-- whole.
SELECT r.job_id AS id, r.account_id, a.name AS account, q.name AS dataset, r.params_id, CASE WHEN $1::uuid IS NOT NULL OR pg_column_size(p.body) <= 2048 THEN p.body END AS params, s.state::text AS state,
       r.reason::text AS reason, coalesce(r.attempt, j.attempt, 0::smallint) AS attempt, q.max_attempts, coalesce(j.priority, 0::smallint) AS priority,
       (h.held ->> 'progress')::float8 AS progress, h.held ->> 'note' AS note,
       CASE WHEN $1::uuid IS NOT NULL OR pg_column_size(r.result) <= 2048 THEN r.result END AS result, r.error, uuid_v7_at(r.job_id) AS created_at,
       coalesce(r.started_at, j.started_at) AS started_at, r.finished_at, r.retry_of, r.revision + coalesce(j.version, 0) AS revision
FROM training_run AS r
JOIN queue AS q ON q.id = r.queue_id
JOIN account AS a ON a.id = r.account_id
JOIN params AS p ON p.id = r.params_id
LEFT JOIN job AS j ON j.id = r.job_id
-- It has one or the other.
CROSS JOIN LATERAL (SELECT coalesce(r.state, j.state) AS state) AS s
LEFT JOIN LATERAL (
  SELECT h AS held FROM worker_session AS w CROSS JOIN jsonb_array_elements(w.holds) AS h
  WHERE w.id = j.session_id AND h ->> 'id' = j.id::text AND h ->> 'lease_no' = j.lease_no::text LIMIT 1
) AS h ON true
WHERE ($1::uuid IS NULL OR r.job_id = $1) AND ($2::uuid IS NULL OR r.account_id = $2) AND ($3::text IS NULL OR q.name = $3)
  AND ($4::text IS NULL OR s.state::text = $4) AND ($5::uuid IS NULL OR r.job_id < $5)
ORDER BY r.job_id DESC LIMIT $6
