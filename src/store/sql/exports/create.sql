-- Asks for an export of a locked case, and writes that down; answers its id.
-- $1 case, $2 account, $3 filter, $4 format.
WITH made AS (
  INSERT INTO export (case_id, account_id, filter, format) VALUES ($1, $2, $3, $4) RETURNING id, case_id, account_id, format
), told AS (
  INSERT INTO job_event (code, account_id, subject_id, reason) SELECT 'case_exported', account_id, case_id::text, format FROM made
)
SELECT id FROM made
