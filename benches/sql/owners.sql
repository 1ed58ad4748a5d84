-- Every image belongs to one of users $1, by its number.
UPDATE upload SET account_id = ($1::uuid[])[1 + image_id % cardinality($1::uuid[])]
