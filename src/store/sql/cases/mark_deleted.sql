-- Deletes a locked case, and writes it down; answers who were its members.
-- $1 case, $2 the account that does, $3 an empty receipt.
WITH made AS (
  UPDATE casefile SET name = '', description = '', deleted_at = clock_timestamp(), deleted_by = $2, removed = $3 WHERE id = $1
  RETURNING id
), told AS (
  INSERT INTO job_event (code, account_id, subject_id) SELECT 'case_deleted', $2, id::text FROM made
)
DELETE FROM member WHERE case_id = $1 RETURNING account_id
