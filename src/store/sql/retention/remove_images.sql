-- Removes those of the locked images that may still go, and writes it down. What was asked of an image while its lock was waited for
-- shows only to a statement after the one that locked.
-- $1 how long images are kept; $2 images.
WITH gone AS (
  DELETE FROM image AS i
  WHERE i.id = ANY($2)
    AND NOT EXISTS (SELECT FROM upload AS u WHERE u.image_id = i.id AND u.at >= clock_timestamp() - $1::interval)
    AND NOT EXISTS (SELECT FROM job AS j WHERE j.image_id = i.id)
  RETURNING i.id, i.md5, i.sha256, i.blob
), told AS (
  INSERT INTO job_event (code, subject_id) SELECT 'image_removed', id::text FROM gone
)
-- What is known of them goes with them, and is still seen here.
SELECT g.md5, g.sha256, g.blob, d.thumbs_sha256, d.thumbs_blob FROM gone AS g LEFT JOIN derived AS d ON d.image_id = g.id
