/** A job: its tries with what went wrong in each, its history, and what can be done about it. */
import { cancelJob, job as fetchJob, retryJob, type Job, type JobHistory } from '../api/jobs';
import { useLive } from '../state/live';
import { may, me } from '../state/session';
import { reasonWord, seconds, short, waitingWord, when } from './format';
import { Trouble, useAct } from './small';

const ENDED = ['succeeded', 'failed', 'cancelled'];
const REFRESH_S = 3;

/** In a word or two, why it is as it is. */
export const jobNote = (job: Pick<Job, 'state' | 'reason' | 'waiting' | 'attempt' | 'max_attempts' | 'progress'>) =>
  [reasonWord(job.reason), waitingWord(job.waiting), job.progress != null && job.state === 'running' && `${Math.round(job.progress * 100)} %`,
    job.attempt > 1 && `attempt ${job.attempt} of ${job.max_attempts}`].filter(Boolean).join(', ');

export function JobMore({ id, changed }: { id: string; changed: () => void }) {
  const live = useLive((signal) => fetchJob(id, signal), (job) => (ENDED.includes(job.state) ? null : REFRESH_S), [id]);
  const doing = useAct();
  if (!live.data) return <Trouble problem={live.problem} again={live.again} />;
  const job = live.data;
  const ended = ENDED.includes(job.state);
  const act = (run: () => Promise<unknown>, said: string) => void doing.act(run, said).then((good) => { if (good) { live.again(); changed(); } });
  return (
    <div class="job">
      <p><span class="soft">Job <code>{job.id}</code>{job.retry_of && <>, another try of <code>{short(job.retry_of)}</code></>}</span></p>
      {job.error && job.attempts.at(-1)?.error_message !== job.error.message && <Failure error={job.error} />}
      <Attempts job={job} />
      <History job={job} />
      <Trouble problem={doing.problem} />
      <div class="row">
        {ended && job.state !== 'succeeded' && <button type="button" disabled={doing.busy} onClick={() => act(() => retryJob(id), 'Tried again')}>Try again</button>}
        {!ended && <button type="button" disabled={doing.busy} onClick={() => act(() => cancelJob(id), 'Cancelled')}>Cancel this job</button>}
      </div>
    </div>
  );
}

const Failure = ({ error }: { error: { type?: string | null; message?: string | null } }) => <p class="failure"><strong><bdi>{error.type ?? 'Error'}</bdi></strong> <bdi>{error.message}</bdi></p>;

function Attempts({ job }: { job: JobHistory }) {
  if (job.attempts.length === 0) return null;
  return (
    <ol class="attempts" aria-label="Attempts">
      {job.attempts.map((one) => (
        <li key={`${one.lease_no}`}>
          <p><strong>Attempt {one.attempt}</strong>: {one.outcome} <span class="soft">{when(one.started_at)}, {seconds((Date.parse(one.ended_at) - Date.parse(one.started_at)) / 1_000)}, worker {short(one.worker)}{one.version && <>, <bdi>{one.version}</bdi></>}</span></p>
          {(one.error_type || one.error_message) && <Failure error={{ type: one.error_type, message: one.error_message }} />}
          {one.traceback && <details><summary>Traceback</summary><pre tabIndex={0}>{one.traceback}</pre></details>}
        </li>
      ))}
    </ol>
  );
}

function History({ job }: { job: JobHistory }) {
  if (job.events.length === 0) return null;
  return (
    <details>
      <summary>History</summary>
      <ul class="history">{job.events.map((event) => <li key={event.id}><span class="soft">{when(event.at)}</span> {event.code}{event.reason && <> ({event.reason})</>}{event.worker && <span class="soft"> worker {short(event.worker)}</span>}</li>)}</ul>
    </details>
  );
}

/** Whether one may change a model: its owner and administrators. */
export const mine = (owner: string | null | undefined) => may.govern.value || (!!owner && owner === me.value?.name);
