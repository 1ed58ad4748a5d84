-- Images on which jobs live, if they are few.
-- $1 the most jobs.
SELECT image_id FROM job WHERE image_id IS NOT NULL ORDER BY id LIMIT $1
