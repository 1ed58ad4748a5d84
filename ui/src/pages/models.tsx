/** Models and the workers that serve them: how they are now, and how they were. */
import { signal } from '@preact/signals';
import { useEffect, useRef, useState } from 'preact/hooks';
import type { Paged } from '../api/client';
import { changeModel, drainWorker, history, listed, models as fetchModels, workers as fetchWorkers, type Model, type Moment, type Worker } from '../api/models';
import { useLive } from '../state/live';
import { to } from '../state/route';
import { announce } from '../state/session';
import { count, many, seconds, short, when } from '../parts/format';
import { mine } from '../parts/job';
import { Plot } from '../parts/plot';
import { Confirm, Dialog, Empty, Field, Title, Trouble, useAct } from '../parts/small';

const REFRESH_S = 3;
/** How often is written down how it stands, and how many of that are kept: half an hour. */
const [SAMPLE_S, SAMPLES_MAX] = [3, 600];

type Sample = { at: number; queued: number; running: number; done: number };
type Shown = { models: Model[]; workers: Worker[] };
/** Kept while the tab lives: the server looks only once a minute. */
const seen = new Map<string, Sample[]>();

function sample(models: Model[]): void {
  const at = performance.now() / 1_000;
  for (const model of models) {
    const samples = seen.get(model.name) ?? [];
    samples.push({ at, queued: model.queued, running: model.running, done: model.served.reduce((sum, one) => sum + one.jobs, 0) });
    seen.set(model.name, samples.slice(-SAMPLES_MAX));
  }
}

function readAll([models, workers]: unknown[]): Shown | null {
  const [known, page] = [listed([models]), workers as Paged<Worker>];
  if (!known || page.next_cursor) return null;
  return { models: known, workers: page.items };
}

/** Over how many hours curves are drawn; 0 is since this page was opened. */
const hours = signal(1);
const SPANS: [number, string][] = [[0, 'as it happens'], [1, 'the last hour'], [24, 'the last day'], [168, 'the last week']];

export function Models() {
  const [retired, setRetired] = useState(false);
  const live = useLive<Shown>(async (signal) => {
    const [models, workers] = await Promise.all([fetchModels(retired, signal), fetchWorkers(signal)]);
    return { models, workers };
  }, () => REFRESH_S, [retired], !retired && { topics: ['models', 'workers'], read: readAll });
  const data = live.data;
  const now = useRef(live);
  now.current = live;
  const [, draw] = useState(0);
  useEffect(() => {
    const look = () => {
      if (document.hidden || now.current.problem || !now.current.data) return;
      sample(now.current.data.models);
      draw((times) => times + 1);
    };
    const timer = setInterval(look, SAMPLE_S * 1_000);
    look();
    return () => clearInterval(timer);
  }, [!data]);
  return (
    <>
      <Title>Models and workers</Title>
      <Trouble problem={live.problem} again={live.again} />
      <div class="row">
        <label>Curves of <select value={String(hours.value)} onChange={(event) => (hours.value = Number(event.currentTarget.value))}>{SPANS.map(([of, name]) => <option key={of} value={of}>{name}</option>)}</select></label>
        <label class="check"><input type="checkbox" checked={retired} onChange={(event) => setRetired(event.currentTarget.checked)} /> Retired ones too</label>
      </div>
      {data?.models.length === 0 && <Empty>No model is known yet. <a href="./sdk">How to write and serve one</a>.</Empty>}
      <ul class="cards models">{data?.models.map((model) => <Card key={model.name} model={model} workers={data.workers.filter((worker) => worker.model === model.name)} again={live.again} />)}</ul>
      {data && <Others workers={data.workers.filter((worker) => !worker.model)} again={live.again} />}
    </>
  );
}

/** Jobs done a second, over a few samples. */
function throughput(samples: Sample[]): [number, number][] {
  const over = 4;
  return samples.slice(over).map((now, at): [number, number] => {
    const before = samples[at]!;
    return [now.at, Math.max(0, now.done - before.done) / Math.max(0.1, now.at - before.at)];
  });
}

const [AT_TIME, ON_DAY] = [new Intl.DateTimeFormat(undefined, { timeStyle: 'short' }), new Intl.DateTimeFormat(undefined, { month: 'short', day: 'numeric', hour: 'numeric' })];
/** The server looks once a minute. */
const PAST_REFRESH_S = 60;

function Past({ model, hours }: { model: string; hours: number }) {
  const live = useLive((signal) => history(model, hours, signal), () => PAST_REFRESH_S, [`${model} ${hours}`]);
  const moments = live.data;
  if (!moments) return <Trouble problem={live.problem} again={live.again} />;
  if (moments.length < 2) return <p class="soft">Nothing is known of that time yet: the server looks once a minute.</p>;
  const at = (one: Moment) => Date.parse(one.at) / 1_000;
  const points = (of: (one: Moment) => number) => moments.map((one): [number, number] => [at(one), of(one)]);
  const done = moments.slice(1).map((one, before): [number, number] => [at(one), Math.max(0, one.served - moments[before]!.served) / (at(one) - at(moments[before]!))]);
  const time = (seconds: number) => (hours > 24 ? ON_DAY : AT_TIME).format(seconds * 1_000);
  return (
    <div class="plots">
      <Plot title="Jobs" zero x={time} curves={[{ name: 'waiting', points: points((one) => one.queued) }, { name: 'running', points: points((one) => one.running) }]} />
      <Plot title="Done a second" zero x={time} curves={[{ name: 'done', points: done }]} />
      <Plot title="Longest wait" zero x={time} curves={[{ name: 'seconds', points: points((one) => one.oldest_wait_s ?? 0) }]} />
      <Plot title="Workers" zero x={time} curves={[{ name: 'live', points: points((one) => one.workers) }]} />
    </div>
  );
}

function Card({ model, workers, again }: { model: Model; workers: Worker[]; again: () => void }) {
  const [open, setOpen] = useState<'settings' | 'retire' | null>(null);
  const doing = useAct();
  const samples = seen.get(model.name) ?? [];
  const end = samples.at(-1)?.at ?? 0;
  const ago = (at: number) => (end - at < 1 ? 'now' : `${seconds(end - at)} ago`);
  const change = (body: Parameters<typeof changeModel>[1], said: string) => doing.act(() => changeModel(model.name, body), said).then((good) => good && again());
  const state = model.retired_at ? 'retired' : model.paused ? 'paused' : model.workers > 0 ? 'live' : 'no live worker';
  const facts: [string, string][] = [
    ['Waiting', model.queued >= 10_000 ? 'over 10,000' : count(model.queued)],
    ['Running', count(model.running) + (model.max_running != null ? ` of ${count(model.max_running)}` : '')],
    ['Waits since', model.oldest_due_at ? when(model.oldest_due_at) : '–'],
    ['Owner', model.owner ?? 'installed'],
  ];
  return (
    <li class="card" aria-label={model.name}>
      <header><h2>{model.name}</h2><span class={`state ${state === 'live' ? 'ok' : 'wait'}`}>{state}</span></header>
      <p class="soft"><bdi>{model.description}</bdi></p>
      <dl class="facts four">{facts.map(([name, said]) => <div key={name}><dt>{name}</dt><dd><bdi>{said}</bdi></dd></div>)}</dl>
      {hours.value > 0 ? <Past model={model.name} hours={hours.value} /> : samples.length > 1 && (
        <div class="plots">
          <Plot title="Jobs" zero x={ago} curves={[{ name: 'waiting', points: samples.map((one) => [one.at, one.queued]) }, { name: 'running', points: samples.map((one) => [one.at, one.running]) }]} />
          <Plot title="Done a second" zero x={ago} curves={[{ name: 'done', points: throughput(samples) }]} />
        </div>
      )}
      <h3>Versions</h3>
      <ul class="plain">{model.served.map((one) => <li key={one.version}><code><bdi>{one.version}</bdi></code> {many(one.jobs, 'job')} done{one.workers > 0 ? `, ${many(one.workers, 'live worker')}` : ''} <span class="soft">since {when(one.first_registered_at)}</span></li>)}</ul>
      {model.served.length > 1 && <p><a href={to('changes', null, { model: model.name })}>What the newest changed</a></p>}
      <WorkerRows workers={workers} again={again} />
      <Trouble problem={doing.problem} />
      {mine(model.owner) && (
        <div class="row">
          {!model.retired_at && <button type="button" disabled={doing.busy} onClick={() => void change({ paused: !model.paused }, model.paused ? 'Goes on' : 'Paused')}>{model.paused ? 'Go on' : 'Pause'}</button>}
          <button type="button" onClick={() => setOpen('settings')}>Settings…</button>
          {model.retired_at
            ? <button type="button" disabled={doing.busy} onClick={() => void change({ retired: false }, 'Brought back')}>Bring back</button>
            : <button type="button" class="danger" onClick={() => setOpen('retire')}>Retire…</button>}
        </div>
      )}
      {open === 'settings' && <Settings model={model} close={() => { setOpen(null); again(); }} />}
      {open === 'retire' && <Confirm title={`Retire ${model.name}?`} verb="Retire it" act={() => changeModel(model.name, { retired: true }).then(() => { announce('Retired'); again(); })} close={() => setOpen(null)}>
        <p>It takes no more jobs, and the {count(model.queued)} that wait are cancelled. Results stay. Bring it back here when it should serve again.</p></Confirm>}
    </li>
  );
}

function WorkerRows({ workers, again }: { workers: Worker[]; again: () => void }) {
  const [ending, setEnding] = useState<Worker | null>(null);
  if (workers.length === 0) return null;
  return (
    <>
      <h3>{many(workers.length, 'worker')}</h3>
      <ul class="workers">
        {workers.map((worker) => (
          <li key={worker.worker}>
            <span class={`dot ${worker.alive ? (worker.draining ? 'wait' : 'ok') : 'no'}`} />
            <span><code>{short(worker.worker)}</code> <bdi>{worker.host}</bdi> <span class="soft"><bdi>{worker.version}</bdi></span></span>
            <span>{worker.alive ? (worker.draining ? 'ending' : worker.running > 0 ? `works on ${count(worker.running)}` : 'idle') : 'overdue'}</span>
            <span class="soft">last beat <time dateTime={worker.beat_at}>{new Date(worker.beat_at).toLocaleTimeString()}</time></span>
            {mine(worker.owner ?? null) && worker.alive && !worker.draining && <button type="button" class="chip" onClick={() => setEnding(worker)}>End…</button>}
            {worker.trouble && <pre class="failure">{worker.trouble}</pre>}
          </li>
        ))}
      </ul>
      {ending && <Confirm title={`End worker ${short(ending.worker)}?`} verb="Ask it to end" act={() => drainWorker(ending.worker).then(() => { announce('It was asked to end'); again(); })} close={() => setEnding(null)}>
        <p>It is given nothing new, {ending.running > 0 && `finishes the ${many(ending.running, 'job')} that it holds `}and ends. If something restarts ended workers where it runs, a new one comes: stop it there.</p></Confirm>}
    </>
  );
}

function Others({ workers, again }: { workers: Worker[]; again: () => void }) {
  if (workers.length === 0) return null;
  return <section class="card"><h2>Training services</h2>{[...new Set(workers.map((worker) => worker.dataset))].map((dataset) => <div key={dataset}><h3><bdi>{dataset}</bdi></h3><WorkerRows workers={workers.filter((worker) => worker.dataset === dataset)} again={again} /></div>)}</section>;
}

const NUMBERS = [
  ['max_running', 'Most that run at once', 'Empty: no limit'], ['max_attempts', 'Attempts', ''], ['deadline_s', 'Seconds for one attempt', ''],
  ['backoff_base_s', 'First wait between attempts, in seconds', 'It doubles with each'], ['backoff_cap_s', 'Longest wait, in seconds', ''], ['retry_budget_s', 'Tries for so many seconds in all', 'Empty: no limit'],
] as const;
/** Null removes them. */
const OPTIONAL: string[] = ['max_running', 'retry_budget_s'];

function Settings({ model, close }: { model: Model; close: () => void }) {
  const before: Record<string, unknown> = { max_running: model.max_running, ...model.retry };
  const [now, setNow] = useState<Record<string, string>>(() => Object.fromEntries(NUMBERS.map(([name]) => [name, before[name] == null ? '' : String(before[name])])));
  const [servedBy, setServedBy] = useState(model.served_by);
  const doing = useAct();
  const saveThem = (event: Event) => {
    event.preventDefault();
    const body: Record<string, unknown> = servedBy === model.served_by ? {} : { served_by: servedBy };
    for (const [name] of NUMBERS) {
      const value = now[name] === '' ? null : Number(now[name]);
      if (value !== (before[name] ?? null) && (value !== null || OPTIONAL.includes(name))) body[name] = value;
    }
    void doing.act(() => changeModel(model.name, body), 'Settings kept').then((good) => good && close());
  };
  return (
    <Dialog title={`Settings of ${model.name}`} close={close}>
      <form onSubmit={saveThem}>
        {NUMBERS.map(([name, label, hint]) => <Field key={name} label={label} hint={hint || undefined}><input type="number" min="0" step="any" required={!OPTIONAL.includes(name)} value={now[name]} onInput={(event) => setNow({ ...now, [name]: event.currentTarget.value })} /></Field>)}
        <Field label="Of several live versions, work goes to"><select value={servedBy} onChange={(event) => setServedBy(event.currentTarget.value as Model['served_by'])}><option value="newest">the newest</option><option value="any">any</option></select></Field>
        <Trouble problem={doing.problem} />
        <div class="row end"><button type="button" onClick={close}>Cancel</button><button type="submit" class="strong" disabled={doing.busy}>Save</button></div>
      </form>
    </Dialog>
  );
}
