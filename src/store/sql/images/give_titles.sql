-- Gives accounts titles to images whose rows this transaction holds, and answers which had one before.
-- $1 accounts, $2 images, $3 submissions, $4 names.
WITH t AS (
  SELECT DISTINCT * FROM unnest($1::uuid[], $2::bigint[], $3::uuid[], $4::text[]) AS t (account_id, image_id, submission_id, name)
), made AS (
  INSERT INTO upload (account_id, image_id, submission_id, name)
  SELECT account_id, image_id, submission_id, name FROM t ORDER BY image_id, account_id, submission_id, name
  ON CONFLICT ON CONSTRAINT upload_pkey DO UPDATE SET at = excluded.at
)
-- As it was before this statement: what it writes is not seen.
SELECT DISTINCT t.account_id, t.image_id
FROM t
WHERE EXISTS (SELECT FROM upload AS u WHERE u.account_id = t.account_id AND u.image_id = t.image_id)
