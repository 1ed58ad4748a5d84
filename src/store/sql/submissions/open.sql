-- Opens submissions, or locks those that are open; answers with their owners and cases. No id comes twice. Nothing is answered where
-- the case is closed or deleted: its row is locked before, so that it stays as it is seen.
-- $1 ids, null for a new one, with $2 the account and $3 the case of each.
INSERT INTO submission (id, account_id, case_id)
SELECT coalesce(t.id, uuid_v7()) AS id, t.account_id, c.id
FROM (SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[]) AS t (id, account_id, case_id) ORDER BY case_id OFFSET 0) AS t
CROSS JOIN LATERAL (SELECT id FROM casefile WHERE id = t.case_id AND closed_at IS NULL AND deleted_at IS NULL FOR KEY SHARE) AS c
ORDER BY 1
-- What is there is locked, and told; it is to be counted anew.
ON CONFLICT ON CONSTRAINT submission_pkey DO UPDATE SET tally = NULL
RETURNING id, account_id, case_id
