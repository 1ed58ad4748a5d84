-- Removes locked images that no case holds and that no job needs, and writes it down.
-- $1 images; $2 the account that deleted the case.
WITH gone AS (
  DELETE FROM image AS i
  WHERE i.id = ANY($1)
    AND NOT EXISTS (SELECT FROM upload AS u WHERE u.image_id = i.id)
    AND NOT EXISTS (SELECT FROM job AS j WHERE j.image_id = i.id)
  RETURNING i.id, i.md5, i.sha256, i.blob, i.bytes
), told AS (
  INSERT INTO job_event (code, account_id, subject_id) SELECT 'image_removed', $2, id::text FROM gone
)
-- What is known of them goes with them, and is still seen here.
SELECT g.md5, g.sha256, g.blob, d.thumbs_sha256, d.thumbs_blob, g.bytes FROM gone AS g LEFT JOIN derived AS d ON d.image_id = g.id
