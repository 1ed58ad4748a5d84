-- The submissions to cases, newest first: a walk along those of each case.
-- $1 and $2 time and submission before which to begin; $3 the most; $4 the cases.
SELECT s.*
FROM unnest($4::uuid[]) AS c (id)
CROSS JOIN LATERAL (
  SELECT id, account_id, case_id, created_at, tally, xmin::text AS stamp FROM submission
  WHERE case_id = c.id AND (created_at, id) < ($1, $2) ORDER BY created_at DESC, id DESC LIMIT $3
) AS s
ORDER BY s.created_at DESC, s.id DESC LIMIT $3
