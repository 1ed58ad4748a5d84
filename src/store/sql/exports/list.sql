-- Exports from before a place, newest first. Those of a deleted case go step by step, and are not seen.
-- $1 whose, null for everybody's; $2 the cases of which everybody's are; $3 of which case, null for all; $4 the cases that are seen, null
-- for all; $5 the place; $6 the most.
SELECT e.id, e.case_id, a.name AS by, e.account_id, e.filter, e.format, e.state, e.images, e.images_done, e.bytes, e.sha256, e.blob, e.error,
       e.created_at, e.finished_at, e.expires_at
FROM export AS e
JOIN account AS a ON a.id = e.account_id
JOIN casefile AS c ON c.id = e.case_id
WHERE ($1::uuid IS NULL OR e.account_id = $1 OR e.case_id = ANY($2::uuid[])) AND ($3::uuid IS NULL OR e.case_id = $3)
  AND ($4::uuid[] IS NULL OR e.case_id = ANY($4)) AND e.id < $5 AND c.deleted_at IS NULL
ORDER BY e.id DESC LIMIT $6
