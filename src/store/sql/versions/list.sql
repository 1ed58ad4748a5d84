-- The versions of models, those registered last first, with their live workers.
-- $1 queues; $2 the most versions of each.
SELECT v.queue_id, v.name AS version, v.registered_at, v.served,
       (SELECT count(*) FROM worker_session AS s
        WHERE s.queue_id = v.queue_id AND s.version_id = v.id AND s.ended_at IS NULL AND s.alive_until > clock_timestamp()) AS workers
FROM unnest($1::integer[]) AS q (id)
CROSS JOIN LATERAL (SELECT * FROM model_version WHERE queue_id = q.id ORDER BY id DESC LIMIT $2) AS v
ORDER BY v.queue_id, v.id DESC
