/** What one version of a model said of a photograph. */
import { useState } from 'preact/hooks';
import type { Job } from '../api/jobs';
import { pretty, seconds, short, value, when } from './format';
import { colourOf, itemsOf, score, text } from './items';
import { JobMore } from './job';
import { More } from './small';

export type Said = { model: string; version: string; params?: unknown; job: string; finished_at: string; result: Record<string, unknown>; older: boolean };

/** More rows than this are shown only when asked for. */
const ROWS = 24;
const JSON_MAX = 20_000;
const FIELDS = 6;
const FIELDS_MAX = 500;

export function ResultCard({ said, job, shown, show, changed }: { said: Said; job: Job | undefined; shown: boolean; show: (on: boolean) => void; changed: () => void }) {
  const items = itemsOf(said.result.items);
  const drawn = items.some((item) => ['box', 'text', 'points'].includes(text(item, 'type') ?? ''));
  const summary = typeof said.result.summary === 'string' ? said.result.summary : null;
  const params = said.params && typeof said.params === 'object' && Object.keys(said.params).length > 0 ? JSON.stringify(said.params) : null;
  const facts = [when(said.finished_at), job?.duration_s != null && `took ${seconds(job.duration_s)}`, job?.worker && `worker ${short(job.worker)}`].filter(Boolean).join(' · ');
  return (
    <section class={`result${said.older ? ' older' : ''}`} aria-label={`${said.model}, version ${said.version}`}>
      <header>
        <h3>{said.model} <span class="soft mono"><bdi>{said.version}</bdi></span></h3>
        {drawn && <label class="check"><input type="checkbox" checked={shown} onChange={(event) => show(event.currentTarget.checked)} /> On the picture</label>}
      </header>
      <p class="soft">{facts}{said.older && ' · an older result'}</p>
      {params && <p class="soft mono"><bdi>{params}</bdi></p>}
      {summary && <p class="summary"><bdi>{summary}</bdi></p>}
      <Labels items={items} />
      <Texts items={items} />
      <Fields fields={said.result.fields} items={items} />
      <More summary="How it came about">{() => <JobMore id={said.job} changed={changed} />}</More>
      <More summary="As JSON">{() => <pre tabIndex={0}>{pretty(said.result).slice(0, JSON_MAX)}</pre>}</More>
    </section>
  );
}

type Items = ReturnType<typeof itemsOf>;

function Labels({ items }: { items: Items }) {
  const [whole, setWhole] = useState(false);
  const labelled = items.filter((item) => text(item, 'label') && text(item, 'type') !== 'text').sort((a, b) => (score(b) ?? 0) - (score(a) ?? 0));
  if (labelled.length === 0) return null;
  return (
    <ul class="labels">
      {(whole ? labelled : labelled.slice(0, ROWS)).map((item, at) => (
        <li key={at} class={Array.isArray(item.box ?? item.polygon ?? item.points) ? `drawn c${colourOf(text(item, 'label')!)}` : ''}><b><bdi>{text(item, 'label')}</bdi></b>{score(item) !== null && <span>{score(item)!.toFixed(2)}</span>}</li>
      ))}
      {!whole && labelled.length > ROWS && <li><button type="button" class="link" onClick={() => setWhole(true)}>{labelled.length - ROWS} more</button></li>}
    </ul>
  );
}

function Texts({ items }: { items: Items }) {
  const read = items.filter((item) => text(item, 'type') === 'text').map((item) => text(item, 'text') ?? '');
  if (read.length === 0) return null;
  return <blockquote tabIndex={0} aria-label="Text in the photograph">{read.map((line, at) => <p key={at}><bdi>{line}</bdi></p>)}</blockquote>;
}

function Fields({ fields, items }: { fields: unknown; items: Items }) {
  const rows: [string, string][] = fields && typeof fields === 'object' ? Object.entries(fields).map(([name, of]) => [name, value(of)]) : [];
  for (const item of items) {
    if (text(item, 'type') === 'hash') rows.push([text(item, 'algo') ?? 'hash', text(item, 'value') ?? '']);
    if (text(item, 'type') === 'embedding') rows.push([`embedding ${text(item, 'space') ?? ''}`, `${Array.isArray(item.values) ? item.values.length : 0} numbers`]);
    if (text(item, 'type') === 'file') rows.push(['file', text(item, 'name') ?? '']);
  }
  if (rows.length === 0) return null;
  const table = (some: typeof rows) => <dl class="facts">{some.map(([name, said], at) => <div key={at}><dt><bdi>{name}</bdi></dt><dd><bdi>{said}</bdi></dd></div>)}</dl>;
  if (rows.length <= FIELDS) return table(rows);
  return <>{table(rows.slice(0, FIELDS))}<details><summary>{rows.length - FIELDS} more values</summary>{table(rows.slice(FIELDS, FIELDS_MAX))}</details></>;
}
