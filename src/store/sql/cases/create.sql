-- Makes a case with its owner, and writes it down.
-- $1 name, $2 description, $3 the account.
WITH made AS (
  INSERT INTO casefile (name, description, created_by) VALUES ($1, $2, $3) RETURNING id
), owner AS (
  INSERT INTO member (case_id, account_id, role, added_by) SELECT id, $3, 'owner', $3 FROM made
), told AS (
  INSERT INTO job_event (code, account_id, subject_id) SELECT 'case_made', $3, id::text FROM made
)
SELECT id FROM made
