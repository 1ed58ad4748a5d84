-- $1 more users; answers their ids.
INSERT INTO account (name, password_hash, roles)
SELECT 'user' || n, 'no password', '{investigator}' FROM generate_series(1, $1) AS n
RETURNING id
