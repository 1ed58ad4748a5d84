-- Changes an account and writes down what changed. What is null stays as it is, but for the e-mail, which has a flag of its own.
-- $1 account; $2 whether the e-mail changes, $3 to what; $4 hash of the password; $5 roles; $6 disabled; $7 the user, or null.
WITH made AS (
  UPDATE account SET
    email = CASE WHEN $2 THEN $3 ELSE email END,
    password_hash = coalesce($4, password_hash),
    roles = coalesce($5, roles),
    disabled_at = CASE WHEN $6::boolean IS NULL THEN disabled_at
                       WHEN $6 THEN coalesce(disabled_at, clock_timestamp()) END,
    -- A new password and disabling withdraw the tokens given out before.
    token_generation = token_generation + CASE WHEN $4 IS NOT NULL OR coalesce($6, false) THEN 1 ELSE 0 END
  WHERE id = $1
  RETURNING id, name, email, roles, token_generation, disabled_at, created_at
), told AS (
  INSERT INTO job_event (code, account_id, subject_id, reason)
  SELECT 'user_changed', $7, id::text,
         concat_ws(',', CASE WHEN $2 THEN 'email' END, CASE WHEN $4 IS NOT NULL THEN 'password' END,
                   CASE WHEN $5 IS NOT NULL THEN 'roles' END,
                   CASE WHEN $6 THEN 'disabled' WHEN NOT $6 THEN 'enabled' END) FROM made
)
SELECT * FROM made
