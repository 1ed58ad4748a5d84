/** Takes a case away, or what of it fits a filter, as a file. */
import { useEffect, useRef, useState } from 'preact/hooks';
import { askExport, exportsOf, fetchExport, removeExport, type Export, type ExportFormat, type Sink } from '../api/exports';
import { caseList, caseName, loadCases } from '../state/cases';
import { selected } from '../state/gallery';
import { useLive } from '../state/live';
import { announce } from '../state/session';
import { count, many, size, when } from './format';
import { save } from './save';
import { Dialog, Empty, Field, State, Trouble, useAct } from './small';

/** How often is looked how far they are, while any is not over. */
const LOOK_S = 2;

const FORMATS: [ExportFormat, string, string][] = [
  ['zip', 'ZIP', 'the photographs as they came, a manifest of hashes, and all the other formats'],
  ['csv', 'CSV', 'a table for a spreadsheet: a row for every item that was found'],
  ['ndjson', 'NDJSON', 'a line of JSON for every photograph, with all that is told of it'],
  ['coco', 'COCO', 'boxes and labels, for those who train models'],
  ['case', 'CASE', 'CASE/UCO as JSON-LD, for forensic tools'],
];

export function Exports({ q, ofCase, close }: { q: string; ofCase: string | null; close: () => void }) {
  const [chosen, setChosen] = useState(ofCase ?? '');
  const [format, setFormat] = useState<ExportFormat>('zip');
  const [words, setWords] = useState(q);
  const doing = useAct();
  useEffect(() => void loadCases().catch(() => undefined), []);
  const all = useLive<Export[]>(
    (signal) => (chosen ? exportsOf(chosen, signal) : Promise.resolve([])),
    (list) => (list.some((one) => one.state === 'queued' || one.state === 'running') ? LOOK_S : null),
    [chosen],
    chosen !== '' && { topics: [`exports:${chosen}`] },
  );
  const ask = (event: Event) => {
    event.preventDefault();
    void doing.act(() => askExport(chosen, words.trim(), format), 'The export is being made').then((good) => good && all.again());
  };
  return (
    <Dialog title="Export" close={close} wide>
      <form onSubmit={ask}>
        <Field label="Case">
          <select required value={chosen} onChange={(event) => setChosen(event.currentTarget.value)}>
            <option value="">Choose one…</option>
            {caseList.value?.map((one) => <option key={one.id} value={one.id}>{caseName(one)}</option>)}
          </select>
        </Field>
        <Field label="What of it" hint={selected.value.size > 0 ? `A filter says what is taken. To take only those that you selected (${count(selected.value.size)}), tag them, and write tag: and the tag here.` : 'As in the filter of the gallery.'}>
          <input value={words} placeholder="All photographs" spellcheck={false} autocapitalize="off" onInput={(event) => setWords(event.currentTarget.value)} />
        </Field>
        <fieldset class="formats">
          <legend>Format</legend>
          {FORMATS.map(([value, name, about]) => (
            <label class="check" key={value}><input type="radio" name="format" checked={format === value} onChange={() => setFormat(value)} /> <span><strong>{name}</strong> <span class="soft">{about}</span></span></label>
          ))}
        </fieldset>
        <Trouble problem={doing.problem} />
        <div class="row end"><button type="submit" class="strong" disabled={doing.busy || !chosen}>Export</button></div>
      </form>
      <Trouble problem={all.problem} again={all.again} />
      {chosen && all.data && <List all={all.data} again={all.again} />}
    </Dialog>
  );
}

function List({ all, again }: { all: Export[]; again: () => void }) {
  return (
    <section aria-label="Exports of this case">
      <h3>Exports of this case</h3>
      {all.length === 0 ? <Empty>None yet. They are kept for a while after they were made.</Empty> : <ul class="exports">{all.map((one) => <One key={one.id} one={one} again={again} />)}</ul>}
    </section>
  );
}

function One({ one, again }: { one: Export; again: () => void }) {
  const doing = useAct();
  const [came, setCame] = useState<number | null>(null);
  const stop = useRef<AbortController | null>(null);
  useEffect(() => () => stop.current?.abort(), []);
  const fetchIt = () =>
    void doing.act(async () => {
      const mine = (stop.current = new AbortController());
      try {
        // Asked for first: a browser lets only who has just pressed something choose a place.
        const into = await sink(nameOf(one));
        if (!into) return;
        setCame(0);
        await fetchExport(one, into, mine.signal, setCame);
        announce('The export was fetched');
      } finally {
        setCame(null);
      }
    });
  const name = `${one.format.toUpperCase()} of ${when(one.created_at)}`;
  return (
    <li>
      <p><strong>{name}</strong> <State of={one.state} /> <span class="soft">by <bdi>{one.by}</bdi></span>, {one.q ? <code><bdi>{one.q}</bdi></code> : <span class="soft">everything</span>}</p>
      {(one.state === 'queued' || one.state === 'running') && (
        <p class="row"><progress aria-label={`${name}: how far it is`} max={one.images ?? 1} value={one.images ? one.images_done : undefined} /> <span class="soft">{one.images === null ? 'looking for what fits' : `${count(one.images_done)} of ${many(one.images ?? 0, 'photograph')}`}</span></p>
      )}
      {one.error && <p role="alert">{one.error}</p>}
      {one.state === 'succeeded' && <p class="soft">{many(one.images ?? 0, 'photograph')}, {size(one.bytes ?? 0)}, until {when(one.expires_at)}<br />SHA-256 <span class="mono">{one.sha256}</span></p>}
      {came !== null && <p class="row"><progress aria-label={`${name}: how much has come`} max={one.bytes ?? 1} value={came} /> <span class="soft">{size(came)} have come</span></p>}
      <Trouble problem={doing.problem} />
      <p class="row">
        {one.state === 'succeeded' && came === null && <button type="button" disabled={doing.busy} onClick={fetchIt} aria-label={`Download: ${name}`}>Download</button>}
        {came !== null && <button type="button" onClick={() => stop.current?.abort()}>Stop</button>}
        <button type="button" disabled={doing.busy} onClick={() => void doing.act(() => removeExport(one.id), 'The export was removed').then((good) => good && again())} aria-label={`Remove: ${name}`}>Remove</button>
      </p>
    </li>
  );
}

const ENDS: Record<ExportFormat, string> = { zip: 'zip', csv: 'csv', ndjson: 'ndjson', coco: 'json', case: 'jsonld' };

const nameOf = (one: Export) => `darkroom-${one.created_at.slice(0, 10)}-${one.id.slice(-12)}.${ENDS[one.format]}`;

type Place = { createWritable: () => Promise<{ write: (piece: Blob) => Promise<void>; close: () => Promise<void> }> };
type Choose = (options: { suggestedName: string }) => Promise<Place>;

/** A file of the person's choice, where the browser can write to one; else what it collects and then saves. Null if they chose none. */
async function sink(name: string): Promise<Sink | null> {
  const choose = (globalThis as { showSaveFilePicker?: Choose }).showSaveFilePicker;
  if (choose) {
    try {
      return await (await choose({ suggestedName: name })).createWritable();
    } catch (error) {
      if (error instanceof DOMException && error.name === 'AbortError') return null;
      // What it does not let be written, it may still save.
    }
  }
  const pieces: Blob[] = [];
  return { write: async (piece) => void pieces.push(piece), close: async () => save(new Blob(pieces), name) };
}
