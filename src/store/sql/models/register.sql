-- Makes a model or dataset and its version known, or refreshes what is said of it.
-- $1 name; $2 the owner of a new one; $3 version; $4 description, $5 tags, $6 labels and $7 schema of its params, where null stays as
-- it is; $8 the key that registers; $9 the kind; $10 the schema of its version's results, where null stays as it is.
-- Looked up before it is inserted, because ON CONFLICT burns an id; it only serves who makes the same at the same time.
WITH known AS (
  UPDATE queue SET last_version = $3, description = coalesce($4, description), tags = coalesce($5, tags), labels = coalesce($6, labels),
                   params_schema = coalesce($7, params_schema)
  WHERE name = $1 AND kind = $9
  RETURNING id, owner
), made AS (
  -- Of a dataset one run at a time, which may take a day.
  INSERT INTO queue AS q (kind, name, owner, last_version, description, tags, labels, params_schema, max_running, deadline_s)
  SELECT $9, $1, $2, $3, coalesce($4, ''), coalesce($5, '{}'), coalesce($6, '{}'), $7,
         CASE WHEN $9 = 'dataset' THEN 1 END, CASE WHEN $9 = 'dataset' THEN 86400 ELSE 600 END
  WHERE NOT EXISTS (SELECT FROM known)
  ON CONFLICT ON CONSTRAINT queue_name_key DO UPDATE SET
    last_version = excluded.last_version, description = coalesce($4, q.description), tags = coalesce($5, q.tags),
    labels = coalesce($6, q.labels), params_schema = coalesce($7, q.params_schema)
  RETURNING id, owner, (xmax = 0) AS new
), told AS (
  INSERT INTO job_event (code, key_id, queue_id) SELECT $9 || '_registered', $8, id FROM made WHERE new
), model AS (
  SELECT id, owner FROM known UNION ALL SELECT id, owner FROM made
), version AS (
  SELECT v.id FROM model_version AS v JOIN model AS m ON m.id = v.queue_id WHERE v.name = $3
), revised AS (
  UPDATE model_version AS v SET result_schema = $10::jsonb FROM version AS n WHERE v.id = n.id AND $10::jsonb IS NOT NULL AND v.result_schema IS DISTINCT FROM $10::jsonb
), added AS (
  INSERT INTO model_version (queue_id, name, result_schema) SELECT id, $3, $10::jsonb FROM model WHERE NOT EXISTS (SELECT FROM version)
  ON CONFLICT ON CONSTRAINT model_version_name_key DO UPDATE SET name = excluded.name
  RETURNING id
)
SELECT m.owner, m.id AS queue_id, coalesce((SELECT id FROM version), (SELECT id FROM added)) AS version_id,
       NOT EXISTS (SELECT FROM version) AS new_version FROM model AS m
