-- Rows of images $1 to $2, whose ids are these numbers, as if account $3 had uploaded to its own case photographs of 4 MiB.
WITH made AS (
  INSERT INTO image (md5, sha256, bytes, media_type, width, height, frames, blob)
  SELECT decode(md5(n::text), 'hex'), sha256(n::text::bytea), 4194304, 'image/jpeg', 4032, 3024, 1, gen_random_uuid()
  FROM generate_series($1, $2) AS n
  ORDER BY n
  RETURNING id
)
INSERT INTO upload (case_id, account_id, image_id, submission_id, name)
SELECT c.id, c.own_of, m.id, '00000000-0000-0000-0000-000000000000', m.id || '.jpg' FROM made AS m, casefile AS c WHERE c.own_of = $3
