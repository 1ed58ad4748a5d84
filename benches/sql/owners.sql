-- Every image is in the own case of one of users $1, by its number.
UPDATE upload AS u SET case_id = c.id, account_id = c.own_of
FROM casefile AS c WHERE c.own_of = ($1::uuid[])[1 + u.image_id % cardinality($1::uuid[])]
