-- The depth of every queue, of models and of datasets, in one pass over the live jobs.
SELECT q.path AS model, coalesce(d.queued, 0) AS queued, coalesce(d.running, 0) AS running, coalesce(w.workers, 0) AS workers,
       d.oldest_due_at, extract(epoch FROM clock_timestamp() - d.oldest_due_at)::float8 AS oldest_wait_s
FROM queue AS q
LEFT JOIN (
  SELECT queue_id, count(*) FILTER (WHERE state = 'queued') AS queued, count(*) FILTER (WHERE state = 'running') AS running,
         min(run_at) FILTER (WHERE state = 'queued' AND due) AS oldest_due_at
  FROM job GROUP BY queue_id
) AS d ON d.queue_id = q.id
LEFT JOIN (SELECT queue_id, count(*) AS workers FROM worker_session WHERE ended_at IS NULL AND alive_until > clock_timestamp()
           GROUP BY queue_id) AS w ON w.queue_id = q.id
WHERE q.retired_at IS NULL
ORDER BY q.path
