-- Makes an account and its own case, and writes it down.
-- $1 name, $2 e-mail or null, $3 hash of the password, $4 roles; $5 the user who makes it, or null.
WITH made AS (
  INSERT INTO account (name, email, password_hash, roles) VALUES ($1, $2, $3, $4)
  RETURNING id, name, email, roles, token_generation, disabled_at, created_at
), own AS (
  INSERT INTO casefile (name, own_of, created_by) SELECT name, id, id FROM made RETURNING id, own_of
), owner AS (
  INSERT INTO member (case_id, account_id, role, added_by) SELECT id, own_of, 'owner', own_of FROM own
), told AS (
  INSERT INTO job_event (code, account_id, subject_id) SELECT 'user_created', $5, id::text FROM made
)
SELECT * FROM made
