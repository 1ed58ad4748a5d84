-- Writes down labels that a model has said for the first time, as long as it has room for more; answers all that it is known to have said.
-- $1 its queue; $2 labels, each once; $3 the most that are kept of one model.
WITH known AS (
  SELECT label FROM seen_label WHERE queue_id = $1
), added AS (
  INSERT INTO seen_label (queue_id, label)
  SELECT $1, n.label FROM unnest($2::text[]) AS n (label)
  WHERE n.label NOT IN (SELECT label FROM known)
  -- In one order, so that two that learn the same do not deadlock.
  ORDER BY n.label COLLATE "C" LIMIT greatest(0, $3 - (SELECT count(*) FROM known))
  ON CONFLICT ON CONSTRAINT seen_label_pkey DO NOTHING
  RETURNING label
)
SELECT label FROM known UNION ALL SELECT label FROM added
