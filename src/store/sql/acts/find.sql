-- Acts of people, and events that are of no job, newest first: those that fit among the next so many, and, in a row that does not fit,
-- where the looking ended if there may be more.
-- $1 the instant, and $2 the place in its table, of that before which they are to be, or null; $3 not before, and $4 before which instant
-- they were, or null; $5 their codes, $6 who acted, $7 what was acted upon by its name or id, and $8 as an image by its MD5, $9 what the
-- queue is called: each null where it does not matter; $10 the most that are looked at; $11 the most that are told.
WITH sought AS MATERIALIZED (
  SELECT (SELECT id FROM account WHERE name = $6) AS account, (SELECT id FROM queue WHERE path = $9) AS queue,
         ARRAY(SELECT id::text FROM account WHERE name = $7 UNION ALL SELECT id::text FROM casefile WHERE name = $7
               UNION ALL SELECT id::text FROM image WHERE md5 = $8 UNION ALL SELECT lower($7)) AS subjects
), looked AS MATERIALIZED (
  SELECT e.at, e.ctid AS place, e.code, e.account_id, e.subject_id, e.key_id, e.session_id, e.queue_id, e.job_id, e.submission_id, e.reason,
         e.count, e.former_at
  FROM job_event AS e
  -- As job_event_act has them. Of one instant there may be several: the place in the table tells them apart.
  WHERE (e.job_id IS NULL OR (e.account_id IS NOT NULL AND e.code <> 'attached'))
    AND e.at <= coalesce($1, timestamptz 'infinity') AND (e.at < coalesce($1, timestamptz 'infinity') OR e.ctid < $2::text::tid)
    AND e.at >= coalesce($3, timestamptz '-infinity') AND e.at < coalesce($4, timestamptz 'infinity')
  ORDER BY e.at DESC, e.ctid DESC LIMIT $10
), fitting AS (
  SELECT l.* FROM looked AS l, sought AS s
  WHERE ($5::text[] IS NULL OR l.code = ANY($5)) AND ($6::text IS NULL OR l.account_id = s.account) AND ($9::text IS NULL OR l.queue_id = s.queue)
    AND ($7::text IS NULL OR l.subject_id = ANY(s.subjects) OR lower($7) IN (l.key_id, l.session_id::text)
         -- Whom a case let in or shut out is in the reason.
         OR l.code IN ('member_set', 'member_removed') AND split_part(l.reason, ' ', 1) = ANY(s.subjects))
  ORDER BY l.at DESC, l.place DESC LIMIT $11
)
SELECT true AS fits, f.at, f.place::text AS place, f.code, a.name AS account, f.subject_id,
       -- As audit_events has it.
       coalesce((SELECT s.name FROM account AS s WHERE s.id = CASE WHEN f.subject_id LIKE '________-%' THEN f.subject_id::uuid END),
                (SELECT nullif(c.name, '') FROM casefile AS c WHERE c.id = CASE WHEN f.subject_id LIKE '________-%' THEN f.subject_id::uuid END),
                (SELECT encode(i.md5, 'hex') FROM image AS i
                 WHERE i.id = CASE WHEN f.subject_id ~ '^[0-9]{1,18}$' THEN f.subject_id::bigint END)) AS subject,
       f.key_id, f.session_id AS worker, q.path AS model, f.job_id, f.submission_id,
       CASE WHEN m.name IS NULL THEN f.reason ELSE concat_ws(' ', m.name, nullif(split_part(f.reason, ' ', 2), '')) END AS reason,
       f.count, CASE WHEN f.count IS NOT NULL THEN f.former_at END AS since
FROM fitting AS f
LEFT JOIN account AS a ON a.id = f.account_id
LEFT JOIN queue AS q ON q.id = f.queue_id
LEFT JOIN account AS m ON m.id = CASE WHEN f.code IN ('member_set', 'member_removed') THEN split_part(f.reason, ' ', 1)::uuid END
UNION ALL
SELECT * FROM (
  SELECT false, at, place::text, '', NULL, NULL, NULL, NULL, NULL::uuid, NULL, NULL::uuid, NULL::uuid, NULL, NULL::integer, NULL::timestamptz
  FROM looked ORDER BY looked.at DESC, looked.place DESC OFFSET greatest($10 - 1, 0)
) AS last
ORDER BY fits DESC, at DESC
