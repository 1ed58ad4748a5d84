/** Training: runs on datasets, their curves while they learn, and what becomes of their models. */
import { useMemo, useState } from 'preact/hooks';
import { cancelJob, retryJob } from '../api/jobs';
import type { Paged } from '../api/client';
import { datasets as fetchDatasets, modelFile, promote, run as fetchRun, runs as fetchRuns, train, type Dataset, type RunDetail } from '../api/training';
import { useLive } from '../state/live';
import { go, route, to } from '../state/route';
import { announce } from '../state/session';
import { count, pretty, reasonWord, short, size, uuid, value, when } from '../parts/format';
import { JobMore } from '../parts/job';
import { Plot, type Curve } from '../parts/plot';
import { SchemaForm, type Params } from '../parts/schema';
import { Copy, Dialog, Empty, Field, More, State, Title, Trouble, useAct } from '../parts/small';
import { save } from '../parts/save';

const REFRESH_S = 4;
const WAIT_S = 20;
type Runs = Awaited<ReturnType<typeof fetchRuns>>;
const OVER = ['succeeded', 'failed', 'cancelled'];

export const Training = () => (route.value.id ? <One key={route.value.id} id={route.value.id} /> : <List />);

function List() {
  const [starting, setStarting] = useState(false);
  const [cursors, setCursors] = useState<(string | null)[]>([null]);
  const cursor = cursors.at(-1) ?? null;
  const live = useLive<{ page: Runs; datasets: Dataset[] }>(async (signal) => {
    const [page, datasets] = await Promise.all([fetchRuns(cursor, signal), fetchDatasets(signal)]);
    return { page, datasets };
  }, () => REFRESH_S, [cursor], cursor === null && { topics: ['runs', 'datasets'], read: ([page, known]) => ((known as Paged<Dataset>).next_cursor ? null : { page: page as Runs, datasets: (known as Paged<Dataset>).items }) });
  const data = live.data;
  return (
    <>
      <Title>Training</Title>
      <Trouble problem={live.problem} again={live.again} />
      {data && data.datasets.length > 0 && <div class="row"><button type="button" class="strong" onClick={() => setStarting(true)}>Start a run…</button></div>}
      {data?.datasets.length === 0 && <Empty>No training service is running. Start one, and what it trains on can be chosen here.</Empty>}
      {data && data.page.items.length === 0 && data.datasets.length > 0 && <Empty>No run has been started yet.</Empty>}
      <ul class="cards">
        {data?.page.items.map((run) => (
          <li key={run.id} class="card">
            <header><a class="cover" href={to('training', run.id)}><strong><bdi>{run.dataset}</bdi></strong> <span class="soft mono">{short(run.id)}</span></a>
            <State of={run.state} note={[reasonWord(run.reason), run.state === 'running' && run.progress != null && `${Math.round(run.progress * 100)} %`].filter(Boolean).join(', ')} /></header>
            <p class="soft">{run.account}, {when(run.created_at)}{run.note && <>: <bdi>{run.note}</bdi></>}</p>
            {run.promoted.map((one) => <p key={one.model + one.version} class="soft">Serves as {one.model} <code><bdi>{one.version}</bdi></code></p>)}
          </li>
        ))}
      </ul>
      <div class="row">
        {cursors.length > 1 && <button type="button" onClick={() => setCursors(cursors.slice(0, -1))}>Newer</button>}
        {data?.page.next_cursor && <button type="button" onClick={() => setCursors([...cursors, data.page.next_cursor!])}>Older</button>}
      </div>
      {starting && data && <Start datasets={data.datasets} close={() => setStarting(false)} />}
    </>
  );
}

function Start({ datasets, close }: { datasets: Dataset[]; close: () => void }) {
  const [name, setName] = useState(datasets[0]?.dataset ?? '');
  const [params, setParams] = useState<Params>({});
  const [id] = useState(uuid);
  const doing = useAct();
  const dataset = datasets.find((one) => one.dataset === name);
  const start = (event: Event) => {
    event.preventDefault();
    void doing.act(async () => {
      const made = await train({ ...params, dataset: name, submission: id });
      announce('Started');
      go(to('training', made.id));
    }).then((good) => good && close());
  };
  return (
    <Dialog title="Start a training run" close={close}>
      <form onSubmit={start}>
        <Field label="Dataset" hint={dataset?.description}><select value={name} onChange={(event) => { setName(event.currentTarget.value); setParams({}); }}>{datasets.map((one) => <option key={one.dataset} value={one.dataset}>{one.dataset}{one.workers === 0 ? ' (no live service)' : ''}</option>)}</select></Field>
        <SchemaForm key={name} schema={dataset?.params_schema} params={params} change={setParams} />
        <Trouble problem={doing.problem} />
        <div class="row end"><button type="button" onClick={close}>Cancel</button><button type="submit" class="strong" disabled={doing.busy}>Start</button></div>
      </form>
    </Dialog>
  );
}

/** One plot per measure; names that differ only in what they say of train and validation go together, as do those of its variants, after a slash. */
const measureOf = (name: string) => name.replace(/^(train|training|val|valid|validation|test)[_/.-]|[_/.-](train|training|val|valid|validation|test)$/i, '');
function plotsOf(run: RunDetail): [string, Curve[]][] {
  const plots = new Map<string, Map<string, Curve>>();
  const measures = new Set(run.metrics.flatMap((point) => Object.keys(point.values as object).map(measureOf)));
  for (const point of run.metrics) {
    for (const [name, of] of Object.entries(point.values as Record<string, unknown>)) {
      if (typeof of !== 'number') continue;
      const whole = measureOf(name);
      const before = whole.split('/')[0]!;
      const measure = measures.has(before) ? before : whole;
      const curves = plots.get(measure) ?? new Map<string, Curve>();
      const label = run.attempt > 1 ? `${name}, attempt ${point.attempt}` : name;
      const curve = curves.get(label) ?? { name: label, points: [], dashed: point.attempt < run.attempt };
      curve.points.push([point.epoch, of]);
      curves.set(label, curve);
      plots.set(measure, curves);
    }
  }
  return [...plots].map(([measure, curves]) => [measure, [...curves.values()]]);
}

function One({ id }: { id: string }) {
  const live = useLive<RunDetail>((signal, last) => fetchRun(id, last?.revision, last && !OVER.includes(last.state) ? WAIT_S : 0, signal), (run) => (OVER.includes(run.state) ? null : 0.5), [id], { topics: [`run:${id}`], read: ([run]) => run as RunDetail });
  const [promoting, setPromoting] = useState(false);
  const doing = useAct();
  const run = live.data;
  const plots = useMemo(() => (run ? plotsOf(run) : []), [run]);
  if (!run) return <><Title>Training run</Title><Trouble problem={live.problem} again={live.again} /></>;
  const over = OVER.includes(run.state);
  return (
    <>
      <a class="back" href={to('training')}>← Training</a>
      <Title>{`${run.dataset} ${short(run.id)}`}</Title>
      <Trouble problem={live.problem} again={live.again} />
      <p><State of={run.state} note={reasonWord(run.reason)} /> <span class="soft">{run.account}, {when(run.created_at)}{run.note && <>: <bdi>{run.note}</bdi></>}</span></p>
      {!over && run.progress != null && <progress value={run.progress} max={1} aria-label="Progress" />}
      {run.error && <p class="failure"><strong><bdi>{run.error.type}</bdi></strong> <bdi>{run.error.message}</bdi></p>}
      <Trouble problem={doing.problem} />
      <div class="row">
        {run.model && <button type="button" disabled={doing.busy} onClick={() => void doing.act(async () => save(await modelFile(run.id), run.model!.name), 'Downloaded')}>Download {run.model.name} ({size(run.model.bytes)})</button>}
        {run.model && run.state === 'succeeded' && <button type="button" class="strong" onClick={() => setPromoting(true)}>Promote…</button>}
        {!over && <button type="button" class="danger" disabled={doing.busy} onClick={() => void doing.act(() => cancelJob(run.id), 'Cancelled').then(live.again)}>Cancel</button>}
        {over && run.state !== 'succeeded' && <button type="button" disabled={doing.busy} onClick={() => void doing.act(async () => { const made = await retryJob(run.id); go(to('training', made.id)); })}>Try again from its checkpoint</button>}
      </div>
      <div class="plots">{plots.map(([measure, curves]) => <Plot key={measure} title={measure} curves={curves} x={(epoch) => `epoch ${count(epoch)}`} />)}</div>
      {run.older_left_out && <p class="soft">The oldest measures are left out.</p>}
      <Details run={run} />
      <More summary="How it came about">{() => <JobMore id={run.id} changed={live.again} />}</More>
      {promoting && <Promote run={run} close={() => { setPromoting(false); live.again(); }} />}
    </>
  );
}

function Details({ run }: { run: RunDetail }) {
  const params = run.params ? Object.entries(run.params) : [];
  const result: unknown = run.result;
  return (
    <dl class="facts">
      {params.map(([name, of]) => <div key={name}><dt><bdi>{name}</bdi></dt><dd><bdi>{value(of)}</bdi></dd></div>)}
      {run.checkpoint && <div><dt>Checkpoint</dt><dd>{size(run.checkpoint.bytes)}, {run.checkpoint.epoch != null ? `epoch ${run.checkpoint.epoch}, ` : ''}{when(run.checkpoint.at)}</dd></div>}
      {run.model && <div><dt>Model, SHA-256</dt><dd><Copy text={run.model.sha256} what="SHA-256" /></dd></div>}
      {run.promoted.map((one) => <div key={one.model + one.version}><dt>Promoted</dt><dd>{one.model} <code><bdi>{one.version}</bdi></code>, {when(one.at)}</dd></div>)}
      {result != null && <div><dt>Result</dt><dd><pre tabIndex={0}>{pretty(result).slice(0, 5_000)}</pre></dd></div>}
    </dl>
  );
}

function Promote({ run, close }: { run: RunDetail; close: () => void }) {
  const [model, setModel] = useState('');
  const [version, setVersion] = useState('');
  const doing = useAct();
  const send = (event: Event) => {
    event.preventDefault();
    void doing.act(() => promote(run.id, model.trim(), version.trim() || undefined), 'Promoted').then((good) => good && close());
  };
  return (
    <Dialog title="Promote to a model" close={close}>
      <form onSubmit={send}>
        <p class="soft">What this run brought becomes a version of a model. A microservice of that model may then fetch and serve it.</p>
        <Field label="Model"><input required pattern="[a-z0-9][a-z0-9_.\-]{0,63}" value={model} onInput={(event) => setModel(event.currentTarget.value)} /></Field>
        <Field label="Version" hint="Empty: named after the file"><input value={version} onInput={(event) => setVersion(event.currentTarget.value)} /></Field>
        <Trouble problem={doing.problem} />
        <div class="row end"><button type="button" onClick={close}>Cancel</button><button type="submit" class="strong" disabled={doing.busy}>Promote</button></div>
      </form>
    </Dialog>
  );
}
