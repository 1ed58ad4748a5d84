-- The cases of a name, or the one of an id, among those that may be seen.
-- $1 cases, null for all; $2 the name or id.
SELECT id FROM casefile
WHERE deleted_at IS NULL AND ($1::uuid[] IS NULL OR id = ANY($1)) AND (lower(name) = lower($2) OR id::text = lower($2))
