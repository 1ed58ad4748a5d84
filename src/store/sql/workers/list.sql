-- Sessions that are not over, newest first. $1 a model or null, $2 the session before which they are to be or null, $3 the most,
-- $4 the only session that is meant or null.
SELECT s.id, CASE q.kind WHEN 'model' THEN 'predict' ELSE 'train' END AS service, q.name, v.name AS version, s.instance, s.host, s.sdk, s.batch_max, s.draining, s.trouble,
       s.registered_at, s.beat_at, q.path, k.owner, o.name AS owner_name,
       s.alive_until > clock_timestamp() AS alive,
       coalesce((SELECT sum(c.open) FROM claim AS c WHERE c.session_id = s.id), 0)::bigint AS running
FROM worker_session AS s
JOIN queue AS q ON q.id = s.queue_id
JOIN model_version AS v ON v.id = s.version_id
JOIN api_key AS k ON k.id = s.key_id
LEFT JOIN account AS o ON o.id = k.owner
WHERE s.ended_at IS NULL AND ($1::text IS NULL OR q.path = $1) AND ($2::uuid IS NULL OR s.id < $2) AND ($4::uuid IS NULL OR s.id = $4)
ORDER BY s.id DESC LIMIT $3
