-- A session of key $1 for model $2, and the empty params; answers the session.
WITH empty AS (
  INSERT INTO params (hash, body) SELECT sha256('{}'), '{}' WHERE NOT EXISTS (SELECT FROM params) RETURNING id
)
INSERT INTO worker_session (key_id, queue_id, version_id, instance, batch_max, alive_until)
SELECT $1, q.id, v.id, gen_random_uuid(), 1000, clock_timestamp() + interval '1 hour'
FROM queue AS q JOIN model_version AS v ON v.queue_id = q.id WHERE q.name = $2
RETURNING id
