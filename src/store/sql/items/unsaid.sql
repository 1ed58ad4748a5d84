-- Results whose items are not written down yet, in order of the transactions that wrote them, and of the last of these all. Who
-- replaces one meanwhile writes it anew, later; who removes one is not waited for: then nothing is answered, and asked again.
-- $1 the first transaction to look at; $2 the first that may not be over; $3 the most results and $4 the most bytes of them, but
-- for what the last transaction adds.
WITH next AS MATERIALIZED (
  SELECT written, octet_length(document::text) AS bytes
  FROM outcome
  WHERE version_id > 0 AND written >= $1::text::xid8 AND written < $2::text::xid8
  ORDER BY written
  FETCH FIRST $3 ROWS WITH TIES
), upto AS (
  -- The first fits whatever its size.
  SELECT coalesce(max(written) FILTER (WHERE so_far <= $4), min(written)) AS last
  FROM (SELECT written, sum(bytes) OVER (ORDER BY written) AS so_far FROM next) AS n
)
SELECT image_id, params_id, queue_id, version_id, written::text::bigint AS written, document::text AS document
FROM outcome
WHERE version_id > 0 AND written >= $1::text::xid8 AND written <= (SELECT last FROM upto)
ORDER BY written, image_id, queue_id, params_id, version_id
FOR KEY SHARE NOWAIT
