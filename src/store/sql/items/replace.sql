-- Writes down what results say, in place of what they said before. Their outcomes are locked.
-- $1 images, $2 params, $3 queues and $4 versions of the results, each once, and $5 their number; of their rows $6 the result's place
-- among these, $7 their own place in it, $8 kinds, $9 labels, $10 values, $11 texts.
WITH result AS MATERIALIZED (
  SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::integer[], $4::integer[]) WITH ORDINALITY
    AS r (image_id, params_id, queue_id, version_id, no)
  LIMIT $5
), dropped AS (
  -- Each is looked up by itself: OFFSET 0 keeps it from being joined the other way round.
  DELETE FROM item AS i
  USING (SELECT f.ctid FROM result AS r CROSS JOIN LATERAL (
           SELECT ctid FROM item
           WHERE image_id = r.image_id AND queue_id = r.queue_id AND params_id = r.params_id AND version_id = r.version_id OFFSET 0) AS f) AS f
  WHERE i.ctid = f.ctid
)
INSERT INTO item (image_id, params_id, queue_id, version_id, place, kind, label, value, text)
SELECT r.image_id, r.params_id, r.queue_id, r.version_id, s.place, s.kind, s.label, s.value, s.text
FROM unnest($6::bigint[], $7::smallint[], $8::text[], $9::text[], $10::double precision[], $11::text[])
  AS s (no, place, kind, label, value, text)
JOIN result AS r ON r.no = s.no
