-- Opens submissions, or locks those that are open; answers with their owners. No id comes twice.
-- $1 ids, null for a new one, with $2 the account of each.
INSERT INTO submission (id, account_id)
SELECT coalesce(t.id, uuid_v7()) AS id, t.account_id FROM unnest($1::uuid[], $2::uuid[]) AS t (id, account_id) ORDER BY id
-- Written over with itself: what is there is locked, and told.
ON CONFLICT ON CONSTRAINT submission_pkey DO UPDATE SET id = excluded.id
RETURNING id, account_id
