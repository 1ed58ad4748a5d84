-- Writes down how queues stand, unless somebody just did, and forgets what is older than is kept.
-- $1 what they are called, $2 how many of each wait, $3 run, $4 workers live, $5 how long the first in line has waited or null;
-- $6 how old it may be, and $7 how long ago somebody did at the least, in seconds.
WITH now AS MATERIALIZED (
  SELECT clock_timestamp() AS at
), forgotten AS (
  -- By the key of each queue.
  DELETE FROM queue_figure AS f USING queue AS q, now WHERE f.queue_id = q.id AND f.at < now.at - interval '1 s' * $6
)
INSERT INTO queue_figure (queue_id, at, queued, running, workers, oldest_wait_s, served)
SELECT q.id, now.at, d.queued, d.running, d.workers, greatest(0, d.oldest_wait_s),
       (SELECT coalesce(sum(v.served), 0) FROM model_version AS v WHERE v.queue_id = q.id)
FROM now CROSS JOIN unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::float8[]) AS d (path, queued, running, workers, oldest_wait_s)
JOIN queue AS q ON q.path = d.path
WHERE NOT EXISTS (SELECT FROM queue_figure AS f WHERE f.queue_id = q.id AND f.at > now.at - interval '1 s' * $7)
