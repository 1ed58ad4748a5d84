-- What was done with a case, in order, each as JSON with its id before it.
-- $1 the case; $2 the event after which to begin; $3 the most.
SELECT t.id, row_to_json(t)::text FROM (
  SELECT e.id, e.at, e.code, e.account, e.subject_id AS "case", e.reason
  FROM audit_events AS e WHERE e.subject_id = $1::uuid::text AND e.id > $2
  ORDER BY e.id LIMIT $3
) AS t
