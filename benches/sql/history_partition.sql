-- What ended on the day $1 days ago: $2 jobs.
SELECT bench_history($1, $2)
