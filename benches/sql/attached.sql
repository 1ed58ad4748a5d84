-- How many submissions of jobs were attached to a live one.
SELECT count(*) FROM audit_events WHERE code = 'attached'
