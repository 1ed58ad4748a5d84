-- Images with a title, in whatever case, whose name contains something, by the index of threes of characters.
-- The account is asked for so that no other index could answer by itself, read whole.
-- $1 and $2 the patterns; $3 the most.
SELECT image_id FROM upload
WHERE (lower(name) LIKE $1 OR lower(name) LIKE $2) AND account_id IS DISTINCT FROM '00000000-0000-0000-0000-000000000000' LIMIT $3
