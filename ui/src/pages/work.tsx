/** Work: submissions, how far they are, and the jobs of one of them. */
import { useState } from 'preact/hooks';
import { everyJob, jobs as fetchJobs, redrive, retryJob, type Job, type JobState } from '../api/jobs';
import type { Paged } from '../api/client';
import { cancelSubmission, submission as fetchOne, submissions, type Submission } from '../api/submissions';
import { caseName, caseOf } from '../state/cases';
import { useLive } from '../state/live';
import { route, to } from '../state/route';
import { announce, may } from '../state/session';
import { count, many, short, stateWord, when } from '../parts/format';
import { jobNote, JobMore } from '../parts/job';
import { Bar, Confirm, Copy, Empty, State, Title, Trouble, useAct } from '../parts/small';

const REFRESH_S = 3;
const SLOW_S = 10;

export const Work = () => (route.value.id ? <One id={route.value.id} /> : <List />);

type Listed = { items: Submission[]; next: string | null };

function List() {
  const ofCase = route.value.query.get('case');
  const [cursors, setCursors] = useState<(string | null)[]>([null]);
  const cursor = cursors.at(-1) ?? null;
  const live = useLive<Listed>(
    async (signal) => { const page = await submissions(ofCase, cursor, signal); return { items: page.items, next: page.next_cursor ?? null }; },
    (page) => (page.items.some((one) => !one.done) ? REFRESH_S : SLOW_S), [cursor, ofCase],
    cursor === null && { topics: [ofCase ? `submissions:${ofCase}` : 'submissions'], read: ([page]) => ({ items: (page as Paged<Submission>).items, next: (page as Paged<Submission>).next_cursor ?? null }) },
  );
  return (
    <>
      <Title>Work</Title>
      <Trouble problem={live.problem} again={live.again} />
      {live.data?.items.length === 0 && <Empty>Nothing has been sent yet.{may.submit.value && <> <a href={to('upload')}>Upload photographs</a>.</>}</Empty>}
      <ul class="cards">
        {live.data?.items.map((one) => (
          <li key={one.id} class="card">
            <header><a class="cover" href={to('work', one.id)}><strong>{when(one.created_at)}</strong></a><State of={one.status} /></header>
            <p class="soft">{caseOf(one.case) && <><bdi>{caseName(caseOf(one.case)!)}</bdi>: </>}{many(one.counts.images, 'photograph')}, {many(one.counts.jobs, 'job')}: {Object.keys(one.models).join(', ')}</p>
            <Bar counts={one.counts} label={`Progress of ${short(one.id)}`} />
          </li>
        ))}
      </ul>
      <div class="row">
        {cursors.length > 1 && <button type="button" onClick={() => setCursors(cursors.slice(0, -1))}>Newer</button>}
        {live.data?.next && <button type="button" onClick={() => setCursors([...cursors, live.data!.next])}>Older</button>}
      </div>
    </>
  );
}

function One({ id }: { id: string }) {
  const [asking, setAsking] = useState<'cancel' | 'redrive' | null>(null);
  const live = useLive((signal) => fetchOne(id, null, signal), (one) => (one.done ? null : REFRESH_S), [id], { topics: [`submission:${id}`], read: ([one]) => one as Submission });
  const one = live.data;
  return (
    <>
      <a class="back" href={to('work')}>← Work</a>
      <Title>{one ? `Submission of ${when(one.created_at)}` : 'Submission'}</Title>
      <Trouble problem={live.problem} again={live.again} />
      {one && (
        <>
          <p><State of={one.status} /> · {many(one.counts.images, 'photograph')} · <Copy text={one.id} what="the submission’s id" /></p>
          <table class="models">
            <thead><tr><th>Model</th><th class="wide">Progress</th><th>Waiting</th><th>Running</th><th>Done</th><th>Failed</th><th>Cancelled</th></tr></thead>
            <tbody>
              {Object.entries(one.models).map(([model, counts]) => (
                <tr key={model}><th scope="row">{model}</th><td><Bar counts={counts} label={`Progress of ${model}`} /></td>
                  <td data-label="Waiting">{count(counts.queued)}</td><td data-label="Running">{count(counts.running)}</td><td data-label="Done">{count(counts.succeeded)}</td><td data-label="Failed">{count(counts.failed)}</td><td data-label="Cancelled">{count(counts.cancelled)}</td></tr>
              ))}
            </tbody>
          </table>
          <div class="row">
            {!one.done && <button type="button" class="danger" onClick={() => setAsking('cancel')}>Cancel what is not done…</button>}
            {one.counts.failed > 0 && <button type="button" onClick={() => setAsking('redrive')}>Try all {count(one.counts.failed)} that failed again…</button>}
          </div>
          {one.counts.failed === 0 && <Photographs one={one} />}
          <Jobs one={one} changed={live.again} />
          {one.counts.failed > 0 && <Photographs one={one} />}
          {asking === 'cancel' && <Confirm title="Cancel this submission?" verb="Cancel it" act={() => cancelSubmission(id).then((said) => { announce(`${many(said.cancelled, 'job')} cancelled`); live.again(); })} close={() => setAsking(null)}>
            <p>What waits or runs for it ends. What is done stays, and what others wait for goes on.</p></Confirm>}
          {asking === 'redrive' && <Redrive submission={id} failed={one.counts.failed} close={() => { setAsking(null); live.again(); }} />}
        </>
      )}
    </>
  );
}

/** Administrators by filter, some at once; others one by one. */
function Redrive({ submission, failed, close }: { submission: string; failed: number; close: () => void }) {
  const [done, setDone] = useState(0);
  const run = async () => {
    if (may.govern.value) {
      let tried = 0;
      for (let cursor: string | null | undefined; cursor !== null;) {
        const said = await redrive({ state: 'failed', submission, dry_run: false, cursor });
        cursor = said.next_cursor ?? null;
        setDone(tried += said.matched);
      }
      return announce(`${many(tried, 'job')} tried again`);
    }
    const all = await everyJob({ submission, state: 'failed' });
    for (const [at, job] of all.entries()) {
      await retryJob(job.id);
      setDone(at + 1);
    }
    announce(`${many(all.length, 'job')} tried again`);
  };
  return <Confirm title="Try again?" verb="Try again" act={run} close={close}><p>{many(failed, 'job')} that failed become new jobs with all their attempts.{done > 0 && ` ${count(done)} so far.`}</p></Confirm>;
}

const STATES: (JobState | '')[] = ['', 'queued', 'running', 'succeeded', 'failed', 'cancelled'];

function Jobs({ one, changed }: { one: Submission; changed: () => void }) {
  const { id: submission, counts } = one;
  const [state, setState] = useState<JobState | ''>(counts.failed > 0 ? 'failed' : '');
  const [cursors, setCursors] = useState<(string | null)[]>([null]);
  const [picked, setPicked] = useState<ReadonlySet<string>>(new Set());
  const doing = useAct();
  const cursor = cursors.at(-1) ?? null;
  const live = useLive((signal) => fetchJobs({ submission, ...(state ? { state } : {}) }, cursor, signal), () => (one.done ? null : REFRESH_S), [submission, state, cursor, one.done],
    // It tells counts, and how the first photographs are: of others a job may move, and no count with it.
    { topics: [`submission:${submission}`], beside: () => (one.done || !one.next_cursor ? null : SLOW_S) });
  const failed = live.data?.items.filter((job) => job.state === 'failed' || job.state === 'cancelled') ?? [];
  const retry = () => void doing.act(async () => {
    for (const id of picked) await retryJob(id);
  }, `${many(picked.size, 'job')} tried again`).then((good) => { if (good) { setPicked(new Set()); live.again(); changed(); } });
  const toggle = (id: string) => { const next = new Set(picked); if (!next.delete(id)) next.add(id); setPicked(next); };
  return (
    <section>
      <h2>Jobs</h2>
      <div class="row">
        <label>State <select value={state} onChange={(event) => { setState(event.currentTarget.value as JobState | ''); setCursors([null]); }}>{STATES.map((one) => <option key={one} value={one}>{one ? stateWord(one) : 'all'}</option>)}</select></label>
        {failed.length > 0 && <button type="button" class="link" onClick={() => setPicked(new Set(failed.map((job) => job.id)))}>Select these {failed.length}</button>}
        {picked.size > 0 && <button type="button" disabled={doing.busy} onClick={retry}>Try {many(picked.size, 'job')} again</button>}
      </div>
      <Trouble problem={doing.problem} />
      <Trouble problem={live.problem} again={live.again} />
      {live.data?.items.length === 0 && <p class="soft">None.</p>}
      <ul class="jobs">
        {live.data?.items.map((job) => <Row key={job.id} job={job} name={one.images.find((image) => image.md5 === job.md5)?.name} picked={picked.has(job.id)} toggle={() => toggle(job.id)} changed={() => { live.again(); changed(); }} />)}
      </ul>
      <div class="row">
        {cursors.length > 1 && <button type="button" onClick={() => setCursors(cursors.slice(0, -1))}>Before</button>}
        {live.data?.next_cursor && <button type="button" onClick={() => setCursors([...cursors, live.data!.next_cursor!])}>More</button>}
      </div>
    </section>
  );
}

function Row({ job, name, picked, toggle, changed }: { job: Job; name: string | null | undefined; picked: boolean; toggle: () => void; changed: () => void }) {
  const [open, setOpen] = useState(false);
  const retriable = job.state === 'failed' || job.state === 'cancelled';
  return (
    <li>
      <div class="row tight">
        <input type="checkbox" aria-label={`Select job ${short(job.id)}`} disabled={!retriable} checked={picked} onChange={toggle} />
        <strong>{job.model}</strong> <State of={job.state} note={jobNote(job)} />
        {job.md5 && <a class={name ? 'name' : 'mono'} href={to('photo', job.md5)}><bdi>{name?.split('/').pop() ?? short(job.md5)}</bdi></a>}
        <span class="soft">{when(job.finished_at ?? job.started_at ?? job.created_at)}</span>
        <button type="button" class="link" aria-expanded={open} onClick={() => setOpen(!open)}>{open ? 'Less' : 'More'}<span class="unseen"> of job {short(job.id)}</span></button>
      </div>
      {job.error && !open && <p class="failure"><strong><bdi>{job.error.type}</bdi></strong> <bdi>{job.error.message}</bdi></p>}
      {open && <JobMore id={job.id} changed={changed} />}
    </li>
  );
}

function Photographs({ one }: { one: Submission }) {
  const [more, setMore] = useState<Submission['images']>([]);
  const [cursor, setCursor] = useState(one.next_cursor ?? null);
  const doing = useAct();
  const next = () => void doing.act(async () => {
    const page = await fetchOne(one.id, cursor);
    setMore([...more, ...page.images]);
    setCursor(page.next_cursor ?? null);
  });
  return (
    <section>
      <h2>Photographs</h2>
      <ul class="names">{[...one.images, ...more].map((image) => <li key={image.md5}><a href={to('photo', image.md5)}><bdi>{image.name ?? image.md5}</bdi></a> <State of={image.status} /></li>)}</ul>
      <Trouble problem={doing.problem} />
      {cursor && <button type="button" disabled={doing.busy} onClick={next}>More</button>}
    </section>
  );
}
