-- Makes an account a member of a case, or gives it another role, and writes it down: the reason names the account and the role. Whose
-- member it is by whom stays: that is counted.
-- $1 case, $2 account, $3 role, $4 who does.
WITH made AS (
  INSERT INTO member AS m (case_id, account_id, role, added_by) VALUES ($1, $2, $3, $4)
  ON CONFLICT ON CONSTRAINT member_pkey DO UPDATE SET role = excluded.role, at = excluded.at
  WHERE m.role <> excluded.role
  RETURNING case_id, account_id, role
)
INSERT INTO job_event (code, account_id, subject_id, reason) SELECT 'member_set', $4, case_id::text, account_id || ' ' || role FROM made
