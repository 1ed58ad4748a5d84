-- Changes a case whose row is locked, and writes down what changed. What is null stays as it is.
-- $1 case; $2 name, $3 description, $4 whether it is to be closed; $5 the account.
WITH before AS MATERIALIZED (
  SELECT id, name, description, closed_at IS NOT NULL AS closed FROM casefile WHERE id = $1
), made AS (
  UPDATE casefile SET
    name = coalesce($2, name), description = coalesce($3, description),
    closed_at = CASE WHEN $4::boolean IS NULL THEN closed_at WHEN $4 THEN coalesce(closed_at, clock_timestamp()) END
  WHERE id = $1
)
INSERT INTO job_event (code, account_id, subject_id, reason)
SELECT t.code, $5, b.id::text, t.reason
FROM before AS b
CROSS JOIN LATERAL (
  SELECT CASE WHEN $4 THEN 'case_closed' ELSE 'case_reopened' END AS code, NULL AS reason WHERE $4 <> b.closed
  UNION ALL
  SELECT 'case_changed', concat_ws(',', CASE WHEN $2 <> b.name THEN 'name' END, CASE WHEN $3 <> b.description THEN 'description' END)
  WHERE $2 <> b.name OR $3 <> b.description
) AS t
