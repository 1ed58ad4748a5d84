-- $1 more users, each with a case of its own; answers their ids.
WITH made AS (
  INSERT INTO account (name, password_hash, roles)
  SELECT 'user' || n, 'no password', '{investigator}' FROM generate_series(1, $1) AS n
  RETURNING id, name
), own AS (
  INSERT INTO casefile (name, own_of, created_by) SELECT name, id, id FROM made RETURNING id, own_of
), owner AS (
  INSERT INTO member (case_id, account_id, role, added_by) SELECT id, own_of, 'owner', own_of FROM own
)
SELECT id FROM made
