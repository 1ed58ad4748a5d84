-- How a queue stood, oldest first, in steps of time: the most that waited, ran, and had been served by then; of workers the fewest.
-- $1 the queue, $2 since how many seconds, $3 seconds of a step.
SELECT to_timestamp(floor(extract(epoch FROM at) / $3) * $3) AS at, max(queued) AS queued, max(running) AS running, min(workers) AS workers,
       max(oldest_wait_s)::float8 AS oldest_wait_s, max(served) AS served
FROM queue_figure
WHERE queue_id = $1 AND at > clock_timestamp() - interval '1 s' * $2
GROUP BY 1 ORDER BY 1
