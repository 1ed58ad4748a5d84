-- Opens submissions, or locks those that are open; answers with their owners. No id comes twice.
-- $1 ids, null for a new one, with $2 the account of each.
INSERT INTO submission (id, account_id)
SELECT coalesce(t.id, uuid_v7()) AS id, t.account_id FROM unnest($1::uuid[], $2::uuid[]) AS t (id, account_id) ORDER BY id
-- What is there is locked, and told; it is to be counted anew.
ON CONFLICT ON CONSTRAINT submission_pkey DO UPDATE SET tally = NULL
RETURNING id, account_id
