-- Retired models with queued jobs: those that are in line, by the indexes of the ready and the suspect. Jobs that wait for their
-- time have no index by queue and are looked for in the first hour; should any be left then, they are found when it comes.
SELECT q.id
FROM queue AS q
WHERE q.retired_at IS NOT NULL AND q.kind = 'model' AND (
  EXISTS (SELECT FROM job AS j WHERE j.queue_id = q.id AND j.due AND NOT j.suspect AND j.state = 'queued')
  OR EXISTS (SELECT FROM job AS j WHERE j.queue_id = q.id AND j.suspect AND j.state = 'queued')
  OR (q.retired_at > clock_timestamp() - interval '1 hour' AND EXISTS (SELECT FROM job AS j WHERE j.queue_id = q.id AND NOT j.due))
)
