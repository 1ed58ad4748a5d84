-- Opens a session, or prolongs the live one of the same key, instance and model.
-- $1 key, $2 queue, $3 version, $4 instance, $5 the most jobs of one batch, $6 host, $7 SDK, $8 a lease in seconds.
WITH made AS (
  INSERT INTO worker_session AS s (key_id, queue_id, version_id, instance, batch_max, host, sdk, alive_until)
  VALUES ($1, $2, $3, $4, $5, $6, $7, clock_timestamp() + interval '1 s' * $8)
  ON CONFLICT (key_id, instance, queue_id) WHERE ended_at IS NULL DO UPDATE SET
    version_id = excluded.version_id, batch_max = excluded.batch_max, host = excluded.host, sdk = excluded.sdk,
    beat_at = clock_timestamp(), alive_until = greatest(s.alive_until, excluded.alive_until)
  RETURNING s.id, (xmax = 0) AS new
), told AS (
  INSERT INTO job_event (code, key_id, session_id, queue_id) SELECT 'worker_registered', $1, id, $2 FROM made WHERE new
)
SELECT id, new FROM made
