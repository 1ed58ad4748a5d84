-- Gives cases titles to images whose rows this transaction holds, and answers which held them before.
-- $1 cases, $2 images, $3 submissions, $4 accounts, $5 names.
WITH t AS (
  SELECT DISTINCT ON (case_id, image_id, submission_id, name) *
  FROM unnest($1::uuid[], $2::bigint[], $3::uuid[], $4::uuid[], $5::text[]) AS t (case_id, image_id, submission_id, account_id, name)
), made AS (
  INSERT INTO upload (case_id, image_id, submission_id, account_id, name)
  SELECT case_id, image_id, submission_id, account_id, name FROM t ORDER BY image_id, case_id, submission_id, name
  ON CONFLICT ON CONSTRAINT upload_pkey DO UPDATE SET at = excluded.at
)
-- As it was before this statement: what it writes is not seen.
SELECT DISTINCT t.case_id, t.image_id
FROM t
WHERE EXISTS (SELECT FROM upload AS u WHERE u.case_id = t.case_id AND u.image_id = t.image_id)
