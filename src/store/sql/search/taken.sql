-- Images taken in a time, by the cameras' own clocks.
-- $1 and $2 from and to, in seconds since 1970; $3 the most.
SELECT image_id FROM derived
WHERE taken_at IS NOT NULL AND taken_at BETWEEN timestamp 'epoch' + $1::double precision * interval '1 s' AND timestamp 'epoch' + $2::double precision * interval '1 s'
ORDER BY taken_at LIMIT $3
