-- Those of some images that fit, each by its newest title that does, newest first. An image is looked at until a condition does not hold,
-- and no image behind the last that is wanted.
-- OFFSET 0: each is looked up by itself, and no table is read whole to be asked often.
-- $1 images, each once; $2 the cases whose titles count, null for all; $3 no later title counts; times and images of titles: from
-- ($4, $5) on and before ($6, $7); $8 the most.
-- The conditions, in the order in which they are looked at: $9 kinds, $10 whether it is about a title, and so about the same as the
-- others that are, $11 whether it must not hold; what is asked: $12 a word, $13 the same in other letters, $14 and $15 numbers from
-- and to, $16 a model.
WITH wanted AS MATERIALIZED (
  SELECT * FROM unnest($9::text[], $10::boolean[], $11::boolean[], $12::text[], $13::text[], $14::double precision[],
                       $15::double precision[], $16::integer[])
    AS w (kind, of_title, negated, word, other, low, high, queue_id)
)
SELECT f.image_id, f.case_id, f.submission_id, f.name, f.at
FROM (
  SELECT a.image_id, t.case_id, t.submission_id, t.name, t.at
  FROM unnest($1::bigint[]) AS a (image_id)
  CROSS JOIN LATERAL (
    SELECT u.case_id, u.submission_id, u.name, u.at
    FROM upload AS u
    WHERE u.image_id = a.image_id AND ($2::uuid[] IS NULL OR u.case_id = ANY($2)) AND u.at <= $3
      -- The titles of a case that was deleted go step by step.
      AND ($2 IS NOT NULL OR NOT EXISTS (SELECT FROM casefile AS c WHERE c.id = u.case_id AND c.deleted_at IS NOT NULL OFFSET 0))
      AND NOT EXISTS (
        SELECT FROM wanted AS w
        WHERE w.of_title AND w.negated = coalesce(CASE w.kind
          WHEN 'case' THEN u.case_id::text = w.word
          WHEN 'uploaded' THEN extract(epoch FROM u.at)::double precision BETWEEN w.low AND w.high
          WHEN 'name' THEN lower(u.name) LIKE w.word OR lower(u.name) LIKE w.other
          WHEN 'by' THEN u.account_id = (SELECT b.id FROM account AS b WHERE b.name = w.word)
          WHEN 'tag' THEN EXISTS (SELECT FROM tag AS g WHERE g.case_id = u.case_id AND g.image_id = u.image_id AND g.tag = w.word OFFSET 0)
          WHEN 'words' THEN lower(u.name) LIKE w.word OR lower(u.name) LIKE w.other OR EXISTS (
            SELECT FROM (SELECT * FROM item WHERE image_id = u.image_id AND kind = 'text' OFFSET 0) AS s
            WHERE (lower(s.text) LIKE w.word OR lower(s.text) LIKE w.other)
              AND (s.params_id, s.version_id) = (
                SELECT o.params_id, o.version_id FROM outcome AS o
                WHERE o.image_id = s.image_id AND o.queue_id = s.queue_id AND o.version_id > 0 ORDER BY o.job_id DESC LIMIT 1) OFFSET 0)
          END, false))
    ORDER BY u.at DESC, u.case_id DESC, u.submission_id DESC, u.name DESC LIMIT 1
  ) AS t
  WHERE (t.at, a.image_id) >= ($4, $5) AND (t.at, a.image_id) < ($6, $7)
  ORDER BY t.at DESC, a.image_id DESC OFFSET 0
) AS f
WHERE NOT EXISTS (
  SELECT FROM wanted AS w
  WHERE NOT w.of_title AND w.negated = coalesce(CASE w.kind
    WHEN 'type' THEN EXISTS (SELECT FROM image AS i WHERE i.id = f.image_id AND i.media_type = w.word OFFSET 0)
    WHEN 'width' THEN EXISTS (SELECT FROM image AS i WHERE i.id = f.image_id AND i.width BETWEEN w.low AND w.high OFFSET 0)
    WHEN 'height' THEN EXISTS (SELECT FROM image AS i WHERE i.id = f.image_id AND i.height BETWEEN w.low AND w.high OFFSET 0)
    WHEN 'bytes' THEN EXISTS (SELECT FROM image AS i WHERE i.id = f.image_id AND i.bytes BETWEEN w.low AND w.high OFFSET 0)
    WHEN 'taken' THEN EXISTS (
      SELECT FROM (SELECT taken_at FROM derived WHERE image_id = f.image_id OFFSET 0) AS d
      WHERE extract(epoch FROM d.taken_at)::double precision BETWEEN w.low AND w.high OFFSET 0)
    WHEN 'camera' THEN EXISTS (
      SELECT FROM (SELECT camera FROM derived WHERE image_id = f.image_id OFFSET 0) AS d
      WHERE lower(d.camera) LIKE w.word OR lower(d.camera) LIKE w.other OFFSET 0)
    -- The newest job of a model is that of the greatest id, live or ended.
    WHEN 'state' THEN EXISTS (
      SELECT FROM (
        SELECT DISTINCT ON (j.queue_id) j.queue_id, j.state FROM (
          SELECT queue_id, id, state FROM job WHERE image_id = f.image_id
          UNION ALL SELECT queue_id, job_id, state FROM outcome WHERE image_id = f.image_id
        ) AS j ORDER BY j.queue_id, j.id DESC
      ) AS n WHERE n.state::text = w.word AND (w.queue_id IS NULL OR n.queue_id = w.queue_id) OFFSET 0)
    WHEN 'model' THEN EXISTS (SELECT FROM outcome AS o WHERE o.image_id = f.image_id AND o.queue_id = w.queue_id AND o.version_id > 0 OFFSET 0)
    -- Two versions of a model answered with the same params.
    WHEN 'versions' THEN EXISTS (
      SELECT FROM outcome AS o
      WHERE o.image_id = f.image_id AND o.queue_id = w.queue_id AND o.version_id = w.word::integer AND EXISTS (
        SELECT FROM outcome AS n
        WHERE n.image_id = o.image_id AND n.queue_id = o.queue_id AND n.params_id = o.params_id AND n.version_id = w.other::integer OFFSET 0) OFFSET 0)
    -- What was said counts while nothing newer was, by the same model: that is what is shown.
    WHEN 'label' THEN EXISTS (
      SELECT FROM item AS s
      WHERE s.image_id = f.image_id AND s.label = w.word AND s.kind NOT IN ('field', 'hash') AND (w.low IS NULL OR s.value BETWEEN w.low AND w.high)
        AND (s.params_id, s.version_id) = (
          SELECT o.params_id, o.version_id FROM outcome AS o
          WHERE o.image_id = s.image_id AND o.queue_id = s.queue_id AND o.version_id > 0 ORDER BY o.job_id DESC LIMIT 1) OFFSET 0)
    WHEN 'field' THEN EXISTS (
      SELECT FROM item AS s
      WHERE s.image_id = f.image_id AND s.label = w.word AND s.kind = 'field' AND (s.value BETWEEN w.low AND w.high OR lower(s.text) = lower(w.other))
        AND (s.params_id, s.version_id) = (
          SELECT o.params_id, o.version_id FROM outcome AS o
          WHERE o.image_id = s.image_id AND o.queue_id = s.queue_id AND o.version_id > 0 ORDER BY o.job_id DESC LIMIT 1) OFFSET 0)
    WHEN 'text' THEN EXISTS (
      SELECT FROM (SELECT * FROM item WHERE image_id = f.image_id AND kind = 'text' OFFSET 0) AS s
      WHERE (lower(s.text) LIKE w.word OR lower(s.text) LIKE w.other)
        AND (s.params_id, s.version_id) = (
          SELECT o.params_id, o.version_id FROM outcome AS o
          WHERE o.image_id = s.image_id AND o.queue_id = s.queue_id AND o.version_id > 0 ORDER BY o.job_id DESC LIMIT 1) OFFSET 0)
    END, false))
ORDER BY f.at DESC, f.image_id DESC LIMIT $8
