-- Makes an account and writes it down.
-- $1 name, $2 e-mail or null, $3 hash of the password, $4 roles; $5 the user who makes it, or null.
WITH made AS (
  INSERT INTO account (name, email, password_hash, roles) VALUES ($1, $2, $3, $4)
  RETURNING id, name, email, roles, token_generation, disabled_at, created_at
), told AS (
  INSERT INTO job_event (code, account_id, subject_id) SELECT 'user_created', $5, id::text FROM made
)
SELECT * FROM made
