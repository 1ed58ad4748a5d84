-- Those of some jobs, live and ended, that are looked for, under one shape, in no order.
-- $1 jobs; $2 the cases of who asks, or null for all; $3 the state or null; $4 the reason or null; $5 whether only jobs count after which
-- nothing was tried for their image and model, nor is under way; $6 the account that asks, whose own a run may be.
SELECT j.id, j.image_id, j.queue_id, j.params_id, i.md5, q.path, q.owner AS model_owner, p.body AS params, q.max_attempts,
       j.state::text AS state, j.reason, j.priority, j.attempt, j.deaths, j.lease_no, j.session_id, v.name AS version, j.duration_s,
       j.job_version, j.retry_of, uuid_v7_at(j.id) AS created_at, j.started_at, j.run_at, j.finish_by, j.finished_at, j.progress,
       e.error_type, e.error_message,
       coalesce(j.run_id IS NOT NULL AND j.account_id = $6, false) AS own_run,
       EXISTS (SELECT FROM request AS r
               WHERE r.job_id = j.id AND EXISTS (
                 SELECT FROM submission AS s WHERE s.id = r.submission_id AND ($2::uuid[] IS NULL OR s.case_id = ANY($2)) OFFSET 0)
               OFFSET 0) AS asked
FROM unnest($1::uuid[]) AS w (id)
-- Each by its key: of the archive, from the one month in which it can be.
CROSS JOIN LATERAL (
  SELECT j.id, j.image_id, j.run_id, j.queue_id, j.params_id, j.state, NULL::text AS reason, j.priority, j.attempt, j.deaths, j.lease_no, j.session_id,
         s.version_id, NULL::real AS duration_s, j.version AS job_version, j.retry_of, j.started_at,
         CASE WHEN j.state = 'queued' THEN j.run_at END AS run_at, j.finish_by, NULL::timestamptz AS finished_at, j.account_id,
         -- What its worker last said of the lease that it now has.
         (SELECT (h ->> 'progress')::float8 FROM jsonb_array_elements(s.holds) AS h
          WHERE h ->> 'id' = j.id::text AND h ->> 'lease_no' = j.lease_no::text LIMIT 1) AS progress
  FROM job AS j LEFT JOIN worker_session AS s ON s.id = j.session_id
  WHERE j.id = w.id
  UNION ALL
  SELECT a.id, a.image_id, a.run_id, a.queue_id, a.params_id, a.state, a.reason::text, a.priority, a.attempt, a.deaths, a.lease_no, a.session_id,
         a.version_id, a.duration_s, a.version, a.retry_of, a.started_at, NULL, a.finish_by, a.finished_at, a.account_id, NULL
  FROM job_archive AS a
  WHERE a.id = w.id
  OFFSET 0
) AS j
-- OFFSET 0 keeps it a probe by key, whatever the planner takes the rows before to be.
LEFT JOIN LATERAL (SELECT md5 FROM image WHERE id = j.image_id OFFSET 0) AS i ON true
JOIN params AS p ON p.id = j.params_id
JOIN queue AS q ON q.id = j.queue_id
-- A job that the service or a person ended has version 0, which is none.
LEFT JOIN model_version AS v ON v.id = j.version_id
LEFT JOIN LATERAL (SELECT t.error_type, t.error_message FROM attempt AS t
                   WHERE t.job_id = j.id AND j.state = 'failed' ORDER BY t.lease_no DESC LIMIT 1) AS e ON true
-- A job goes out of sight with its image.
WHERE (j.run_id IS NOT NULL OR i.md5 IS NOT NULL) AND ($3::text IS NULL OR j.state::text = $3) AND ($4::text IS NULL OR j.reason = $4)
  AND (NOT $5 OR (
    -- Version 0 holds the newest job of its key that ended without success.
    EXISTS (SELECT FROM outcome AS o
            WHERE o.image_id = j.image_id AND o.queue_id = j.queue_id AND o.params_id = j.params_id AND o.version_id = 0 AND o.job_id = j.id)
    AND NOT EXISTS (SELECT FROM outcome AS o WHERE o.image_id = j.image_id AND o.queue_id = j.queue_id AND o.job_id > j.id)
    AND NOT EXISTS (SELECT FROM job AS l WHERE l.image_id = j.image_id AND l.queue_id = j.queue_id AND l.params_id = j.params_id)
  ))
