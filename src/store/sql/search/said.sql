-- Images of which a result has a label, or a field, by the index of both: all of them, if they are fewer than the most, and others of which
-- a newer result says otherwise.
-- ORDER BY keeps it a walk along the index, which stops when it has enough.
-- $1 the label or name; $2 and $3 the numbers from and to, null where any will do, or none; $4 whether rows without a number count
-- besides; $5 the most.
(SELECT image_id FROM item WHERE label = $1 AND $2::double precision IS NULL ORDER BY value LIMIT $5)
UNION ALL
(SELECT image_id FROM item WHERE label = $1 AND value BETWEEN $2 AND $3 ORDER BY value LIMIT $5)
UNION ALL
(SELECT image_id FROM item WHERE label = $1 AND value IS NULL AND $2 IS NOT NULL AND $4::boolean ORDER BY value LIMIT $5)
LIMIT $5
