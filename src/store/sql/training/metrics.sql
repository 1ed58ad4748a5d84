-- What a run measured, in order. $1 run; $2 the most bytes: the newest are told.
SELECT attempt, epoch, metrics, whole
FROM (
  SELECT m.attempt, m.epoch, m.metrics,
         sum(octet_length(m.metrics::text)) OVER (ORDER BY m.attempt DESC, m.epoch DESC) <= $2 AS told,
         sum(octet_length(m.metrics::text)) OVER () <= $2 AS whole
  FROM training_metric AS m WHERE m.job_id = $1
) AS m
WHERE told
ORDER BY attempt, epoch
