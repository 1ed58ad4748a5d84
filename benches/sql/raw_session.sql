-- A session of key $1 for model $2, and the empty params; answers the session.
WITH empty AS (
  INSERT INTO params (hash, body) VALUES (sha256('{}'), '{}') ON CONFLICT DO NOTHING
)
INSERT INTO worker_session (key_id, model, version, instance, batch_max, alive_until)
VALUES ($1, $2, 'v1', gen_random_uuid(), 1000, clock_timestamp() + interval '1 hour')
RETURNING id
