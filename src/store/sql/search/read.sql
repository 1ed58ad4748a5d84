-- Images from which a text was read that contains something, by the index of threes of characters.
-- $1 and $2 the patterns; $3 the most.
SELECT image_id FROM item WHERE kind = 'text' AND (lower(text) LIKE $1 OR lower(text) LIKE $2) LIMIT $3
