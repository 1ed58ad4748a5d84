-- $1: names of models that are known from now on, as after their first registration.
WITH made AS (
  INSERT INTO queue (name, last_version) SELECT name, 'v1' FROM unnest($1::text[]) AS name RETURNING id
)
INSERT INTO model_version (queue_id, name) SELECT id, 'v1' FROM made
