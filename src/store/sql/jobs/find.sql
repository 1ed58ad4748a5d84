-- Jobs, live and ended, under one shape, newest first.
-- $1 jobs; $2 the account that asks, or null.
SELECT j.id, j.image_id, j.queue_id, j.params_id, i.md5, q.name AS model, q.owner AS model_owner, p.body AS params, q.max_attempts,
       j.state::text AS state, j.reason, j.priority, j.attempt, j.deaths, j.lease_no, j.session_id, v.name AS version, j.duration_s,
       j.job_version, j.retry_of, uuid_v7_at(j.id) AS created_at, j.started_at, j.run_at, j.finish_by, j.finished_at, j.progress,
       e.error_type, e.error_message,
       coalesce(j.account_id = $2 OR EXISTS (
         SELECT FROM request AS r JOIN submission AS s ON s.id = r.submission_id WHERE r.job_id = j.id AND s.account_id = $2
       ), false) AS requested
FROM (
  SELECT j.id, j.image_id, j.queue_id, j.params_id, j.state, NULL::text AS reason, j.priority, j.attempt, j.deaths, j.lease_no, j.session_id,
         s.version_id, NULL::real AS duration_s, j.version AS job_version, j.retry_of, j.started_at,
         CASE WHEN j.state = 'queued' THEN j.run_at END AS run_at, j.finish_by, NULL::timestamptz AS finished_at, j.account_id,
         -- What its worker last said of the lease that it now has.
         (SELECT (h ->> 'progress')::float8 FROM jsonb_array_elements(s.holds) AS h
          WHERE h ->> 'id' = j.id::text AND h ->> 'lease_no' = j.lease_no::text LIMIT 1) AS progress
  FROM job AS j LEFT JOIN worker_session AS s ON s.id = j.session_id
  WHERE j.id = ANY($1)
  UNION ALL
  SELECT a.id, a.image_id, a.queue_id, a.params_id, a.state, a.reason::text, a.priority, a.attempt, a.deaths, a.lease_no, a.session_id,
         a.version_id, a.duration_s, a.version, a.retry_of, a.started_at, NULL, a.finish_by, a.finished_at, a.account_id, NULL
  FROM job_archive AS a
  WHERE a.id = ANY($1)
) AS j
JOIN image AS i ON i.id = j.image_id
JOIN params AS p ON p.id = j.params_id
JOIN queue AS q ON q.id = j.queue_id
-- A job that the service or a person ended has version 0, which is none.
LEFT JOIN model_version AS v ON v.id = j.version_id
LEFT JOIN LATERAL (SELECT t.error_type, t.error_message FROM attempt AS t
                   WHERE t.job_id = j.id AND j.state = 'failed' ORDER BY t.lease_no DESC LIMIT 1) AS e ON true
ORDER BY j.id DESC
