-- Writes down how every queue stands, unless somebody just did, and forgets what is older than is kept.
-- $1 how old it may be, and $2 how long ago somebody did at the least, in seconds.
WITH now AS MATERIALIZED (
  SELECT clock_timestamp() AS at
), forgotten AS (
  -- By the key of each queue.
  DELETE FROM queue_figure AS f USING queue AS q, now WHERE f.queue_id = q.id AND f.at < now.at - interval '1 s' * $1
)
INSERT INTO queue_figure (queue_id, at, queued, running, workers, oldest_wait_s, served)
SELECT q.id, now.at, coalesce(d.queued, 0), coalesce(d.running, 0), coalesce(w.workers, 0),
       greatest(0, extract(epoch FROM now.at - d.oldest_due_at)), (SELECT coalesce(sum(v.served), 0) FROM model_version AS v WHERE v.queue_id = q.id)
FROM now CROSS JOIN queue AS q
LEFT JOIN (
  SELECT queue_id, count(*) FILTER (WHERE state = 'queued') AS queued, count(*) FILTER (WHERE state = 'running') AS running,
         min(run_at) FILTER (WHERE state = 'queued' AND due) AS oldest_due_at
  FROM job GROUP BY queue_id
) AS d ON d.queue_id = q.id
LEFT JOIN (SELECT queue_id, count(*) AS workers FROM worker_session WHERE ended_at IS NULL AND alive_until > clock_timestamp()
           GROUP BY queue_id) AS w ON w.queue_id = q.id
WHERE q.retired_at IS NULL
  AND NOT EXISTS (SELECT FROM queue_figure AS f WHERE f.queue_id = q.id AND f.at > now.at - interval '1 s' * $2)
