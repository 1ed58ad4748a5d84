/** Upload: choose photographs and models, watch them go. */
import { useEffect, useRef, useState } from 'preact/hooks';
import { ChooseModels } from '../parts/choose';
import { ofDrop, ofInput, type Found } from '../parts/dropped';
import { count, many, seconds, size } from '../parts/format';
import { Field, Title, Trouble } from '../parts/small';
import { caseList } from '../state/cases';
import { to } from '../state/route';
import { announce, may } from '../state/session';
import { add, chosen, clear, cutOff, items, ofCase, pause, phase, problem, rate, remove, rerun, start, submission, takeUp, tick, totals, waitingFor, type Item, type Stored } from '../state/upload';

/** More rows are not drawn: the counts tell of all. */
const ROWS = 200;

export function Upload() {
  if (!may.submit.value) return <><Title>Upload</Title><p>Your account may not upload. An administrator can give it the role investigator.</p></>;
  const busy = phase.value === 'sending';
  const nothing = items.value.length === 0;
  return (
    <>
      <Title>Upload</Title>
      <CutOff />
      <div class="upload">
        <div>
          <Drop />
          {!nothing && <Progress />}
          <Refused />
          <Files />
        </div>
        <form class="panel" onSubmit={(event) => { event.preventDefault(); start(); }}>
          <ChooseModels chosen={chosen.value} change={(next) => (chosen.value = next)} disabled={busy} />
          {caseList.value && (
            <Field label="Case">
              <select value={ofCase.value ?? ''} disabled={busy || submission.value !== null} onChange={(event) => (ofCase.value = event.currentTarget.value || null)}>
                <option value="">My own</option>
                {caseList.value.filter((one) => !one.own && !one.closed_at && one.role !== 'viewer').map((one) => <option key={one.id} value={one.id}>{one.name}</option>)}
              </select>
            </Field>
          )}
          <label class="check"><input type="checkbox" checked={rerun.value} disabled={busy} onChange={(event) => (rerun.value = event.currentTarget.checked)} /> Compute again, even where a result is known</label>
          <Trouble problem={problem.value} />
          <div class="row">
            {/* Two buttons: were they one, the click that pauses would start again by what the button has become. */}
            {busy
              ? <button key="pause" type="button" class="strong" onClick={pause}>Pause</button>
              : <button key="start" type="submit" class="strong" disabled={nothing || Object.keys(chosen.value).length === 0 || phase.value === 'done'}>{phase.value === 'paused' ? 'Go on' : 'Start'}</button>}
            {!nothing && <button type="button" onClick={clear}>{phase.value === 'done' ? 'Upload others' : 'Clear'}</button>}
            {submission.value && <a class="button" href={to('work', submission.value)}>Watch the work</a>}
          </div>
          {!busy && phase.value !== 'done' && (nothing || Object.keys(chosen.value).length === 0) && <p class="soft">{nothing ? 'Choose photographs' : 'Choose at least one model'} to start.</p>}
        </form>
      </div>
    </>
  );
}

/** An upload that its tab did not live to end. */
function CutOff() {
  const [stored, setStored] = useState<Stored | null>(cutOff);
  if (!stored) return null;
  return (
    <div class="notice" role="status">
      <p><strong>An upload was cut off</strong> after {count(stored.done)} of {many(stored.files, 'file')}. Choose the same files again to go on: what has arrived is not sent again.</p>
      <div class="row">
        <button type="button" class="strong" onClick={() => { takeUp(stored); setStored(null); announce('Choose the same files again'); }}>Go on with it</button>
        <button type="button" onClick={() => { clear(); setStored(null); }}>Forget it</button>
      </div>
    </div>
  );
}

function Drop() {
  const files = useRef<HTMLInputElement>(null);
  const folder = useRef<HTMLInputElement>(null);
  const [over, setOver] = useState(false);
  const take = (found: Found[]) => {
    add(found);
    announce(`${many(found.length, 'file')} added`);
  };
  useEffect(() => {
    folder.current?.setAttribute('webkitdirectory', '');
    // What is dropped beside must not replace the page.
    const refuse = (event: DragEvent) => event.preventDefault();
    addEventListener('dragover', refuse);
    addEventListener('drop', refuse);
    return () => {
      removeEventListener('dragover', refuse);
      removeEventListener('drop', refuse);
    };
  }, []);
  const dropped = async (event: DragEvent) => {
    event.preventDefault();
    setOver(false);
    if (event.dataTransfer) take(await ofDrop(event.dataTransfer));
  };
  const chose = (input: HTMLInputElement) => {
    take(ofInput(input.files));
    input.value = '';
  };
  return (
    <div class={`drop${over ? ' over' : ''}`} onDragOver={() => setOver(true)} onDragLeave={() => setOver(false)} onDrop={(event) => void dropped(event)}>
      <p><strong>Drop photographs or folders here</strong></p>
      <div class="row center">
        <button type="button" onClick={() => files.current?.click()}>Choose files…</button>
        <button type="button" onClick={() => folder.current?.click()}>Choose a folder…</button>
      </div>
      <input ref={files} id="files" class="hidden" type="file" multiple tabIndex={-1} aria-label="Files" onChange={(event) => chose(event.currentTarget)} />
      <input ref={folder} id="folder" class="hidden" type="file" multiple tabIndex={-1} aria-label="Folder" onChange={(event) => chose(event.currentTarget)} />
    </div>
  );
}

function Progress() {
  const sum = totals.value;
  const over = sum.taken + sum.refused + sum.skipped;
  const left = rate.value > 1_000 ? (sum.bytes - sum.sent) / rate.value : null;
  const done = phase.value === 'done';
  useEffect(() => {
    if (done) announce(`Upload finished: ${many(sum.taken, 'photograph')} taken, ${sum.refused} refused`);
  }, [done]);
  const facts = [
    sum.bytes > 0 && `${size(sum.sent)} of ${size(sum.bytes)}`,
    sum.known > 0 && `${many(sum.known, 'photograph')} known already, not sent`,
    sum.skipped > 0 && `${many(sum.skipped, 'file')} skipped`,
    sum.refused > 0 && `${count(sum.refused)} refused`,
    phase.value === 'sending' && rate.value > 1_000 && `${size(rate.value)}/s`,
    phase.value === 'sending' && left !== null && left < 1e6 && `${seconds(left)} left`,
  ].filter(Boolean).join(' · ');
  return (
    <section class="panel" aria-label="Progress">
      <p class="big">{done ? `Done: ${many(sum.taken, 'photograph')} taken` : sum.hashed < sum.files ? `Looking at ${many(sum.files, 'file')}: ${count(sum.hashed)}` : phase.value === 'choosing' ? `${many(sum.files - sum.skipped - sum.refused, 'photograph')} ready` : `${count(over)} of ${many(sum.files, 'file')}`}{phase.value === 'paused' && ' – paused'}</p>
      <div class="bar" role="progressbar" aria-label="Files" aria-valuemin={0} aria-valuemax={sum.files} aria-valuenow={over}>
        {([['ok', sum.taken], ['no', sum.refused], ['off', sum.skipped], ['rest', sum.files - over]] as const).map(([kind, n]) => n > 0 && <i key={kind} class={kind} style={{ flexGrow: n }} />)}
      </div>
      <p class="soft">{facts}</p>
      {waitingFor.value && <p class="failure" role="status">{waitingFor.value}</p>}
    </section>
  );
}

function Refused() {
  void tick.value;
  const bad = items.value.filter((item) => item.state === 'refused' || item.state === 'skipped');
  if (bad.length === 0) return null;
  return (
    <details class="panel" open={bad.some((item) => item.state === 'refused')}>
      <summary>{many(bad.length, 'file')} not taken</summary>
      <ul class="refused">{bad.slice(0, ROWS).map((item, at) => <li key={at}><bdi class="name">{item.path}</bdi><span>{item.problem?.detail}</span> <span class="soft">{item.problem?.mend}</span></li>)}</ul>
      {bad.length > ROWS && <p class="soft">…and {count(bad.length - ROWS)} more</p>}
    </details>
  );
}

const WORDS: Record<Item['state'], string> = { waiting: 'waiting', hashing: 'being read', ready: 'ready', sending: 'being sent', taken: 'taken', refused: 'refused', skipped: 'skipped' };
/** What moves comes first. */
const ORDER: Item['state'][] = ['sending', 'hashing', 'ready', 'waiting', 'taken'];

function Files() {
  void tick.value;
  const rows: Item[] = [];
  for (const state of ORDER) {
    for (const item of items.value) {
      if (rows.length >= ROWS) break;
      if (item.state === state) rows.push(item);
    }
  }
  if (rows.length === 0) return null;
  return (
    <ul class="files" aria-label="Files">
      {rows.map((item) => (
        <li key={item.path + item.file.lastModified + item.file.size}>
          <bdi class="name">{item.path}</bdi>
          <span class="soft">{size(item.file.size)}</span>
          <span class={`state ${item.state === 'taken' ? 'ok' : item.state === 'sending' ? 'run' : ''}`}>{item.known && item.state === 'ready' ? 'known already' : item.state === 'sending' && item.sent > 0 && !item.known ? `${Math.round((item.sent / Math.max(1, item.file.size)) * 100)} %` : WORDS[item.state]}</span>
          {item.state === 'ready' && phase.value !== 'sending' && <button type="button" class="plain" aria-label={`Leave out ${item.path}`} onClick={() => remove(item)}>✕</button>}
        </li>
      ))}
    </ul>
  );
}
