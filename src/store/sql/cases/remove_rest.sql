-- Removes notes, tags and filters of a case, at most so many of each; answers how many.
-- $1 the case; $2 the most.
WITH notes AS (
  DELETE FROM note WHERE ctid = ANY(ARRAY(SELECT ctid FROM note WHERE case_id = $1 LIMIT $2)) RETURNING 1
), tags AS (
  DELETE FROM tag WHERE ctid = ANY(ARRAY(SELECT ctid FROM tag WHERE case_id = $1 LIMIT $2)) RETURNING 1
), filters AS (
  DELETE FROM saved_filter WHERE ctid = ANY(ARRAY(SELECT ctid FROM saved_filter WHERE case_id = $1 LIMIT $2)) RETURNING 1
)
SELECT (SELECT count(*) FROM notes), (SELECT count(*) FROM tags), (SELECT count(*) FROM filters)
