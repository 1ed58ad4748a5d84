-- Tells how often each of these did the same within a short while. When that was is told in ages, and reckoned from this clock.
-- $1 codes, $2 accounts, $3 images, $4 counts, $5 seconds since the first, $6 since the last. A failed log-in was made by nobody yet: its
-- account is whom it was aimed at.
INSERT INTO job_event (at, former_at, code, account_id, subject_id, count)
SELECT now.at - interval '1 s' * a.last_s, now.at - interval '1 s' * a.first_s, a.code,
       CASE WHEN a.image_id IS NOT NULL THEN a.account_id END, coalesce(a.image_id::text, a.account_id::text), a.count
FROM (SELECT clock_timestamp() AS at) AS now,
     unnest($1::text[], $2::uuid[], $3::bigint[], $4::integer[], $5::float8[], $6::float8[]) AS a (code, account_id, image_id, count, first_s, last_s)
