-- Writes down that the bytes of an export are sent to somebody. What goes on where it broke off is no other download; but who begins later
-- than at the begin has most of it, too.
-- $1 account, $2 case, $3 format; $4 whether it is from the begin on; $5 since when another is enough for a part.
INSERT INTO job_event (code, account_id, subject_id, reason)
SELECT 'export_fetched', $1, $2, $3
WHERE $4 OR NOT EXISTS (
  SELECT FROM job_event AS e WHERE e.subject_id = $2 AND e.at >= $5 AND e.code = 'export_fetched' AND e.account_id = $1 AND e.reason = $3)
