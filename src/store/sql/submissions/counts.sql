-- How many requests of submissions are in which state, by model. A withdrawn request counts as cancelled.
-- $1 submissions.
SELECT c.submission_id, q.name AS model, c.state::text AS state, sum(c.jobs)::bigint AS jobs
FROM (
  SELECT r.submission_id, r.queue_id, count(*) AS jobs,
         CASE WHEN r.withdrawn_at IS NOT NULL THEN 'cancelled' ELSE coalesce(r.state, j.state, a.state, 'succeeded') END AS state
  FROM request AS r
  LEFT JOIN job AS j ON j.id = r.job_id
  -- Only those that did not succeed are looked for: they are few. How a job ended never changes: once the request knows it, nobody
  -- else is asked.
  LEFT JOIN job_archive AS a ON a.id = r.job_id AND a.state <> 'succeeded' AND r.state IS NULL
  WHERE r.submission_id = ANY($1)
  GROUP BY 1, 2, 4
) AS c
JOIN queue AS q ON q.id = c.queue_id
GROUP BY 1, 2, 3
ORDER BY 1, 2, 3
