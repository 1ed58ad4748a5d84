-- Datasets by name, with what is going on around them.
-- $1 one of them, or null for all; $2 the name after which to begin; $3 whether only those count that a live service trains on; $4 the
-- most.
SELECT q.id, q.name, q.description, q.tags, q.params_schema, q.last_version, w.workers,
       (SELECT count(*) FROM job AS j WHERE j.queue_id = q.id AND j.due AND NOT j.suspect AND j.state = 'queued')
         + (SELECT count(*) FROM job AS j WHERE j.queue_id = q.id AND j.suspect AND j.state = 'queued')
         + (SELECT count(*) FROM job AS j WHERE j.queue_id = q.id AND NOT j.due) AS queued,
       coalesce((SELECT sum(c.open) FROM claim AS c WHERE c.queue_id = q.id), 0)::bigint AS running
FROM queue AS q
CROSS JOIN LATERAL (
  SELECT count(*) AS workers FROM worker_session AS s
  WHERE s.queue_id = q.id AND s.ended_at IS NULL AND s.alive_until > clock_timestamp()
) AS w
WHERE q.kind = 'dataset' AND q.retired_at IS NULL AND ($1::text IS NULL OR q.name = $1) AND q.name > $2 AND (NOT $3 OR w.workers > 0)
ORDER BY q.name LIMIT $4
