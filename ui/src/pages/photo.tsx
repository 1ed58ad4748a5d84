/** A photograph, large, with everything that was said of it. */
import type { ComponentChildren } from 'preact';
import { useEffect, useMemo, useState } from 'preact/hooks';
import { original, prediction, record, type ImageRecord } from '../api/images';
import { everyJob, type Job } from '../api/jobs';
import { submit } from '../api/submissions';
import { caseHolding, filter, hits, inCase, loadMore, openList, places, scoreMin, showMarks, whole } from '../state/gallery';
import { mayEdit } from '../state/cases';
import { useLive } from '../state/live';
import { usePicture } from '../state/pictures';
import { route, to } from '../state/route';
import { may } from '../state/session';
import { size, upright, when, uuid } from '../parts/format';
import { openAt } from '../parts/grid';
import { shapes, type Shape } from '../parts/items';
import { Compare } from '../parts/compare';
import { jobNote, JobMore } from '../parts/job';
import { Marks } from '../parts/marks';
import { save } from '../parts/save';
import { Sight } from '../parts/sight';
import { NotesAndTags } from '../parts/notes';
import { ResultCard, type Said } from '../parts/result';
import { RunModels } from '../parts/run';
import { Copy, Empty, More, State, Title, Trouble, useAct } from '../parts/small';
import { Zoom } from '../parts/zoom';

const WAIT_S = 25;

type All = { image: ImageRecord; jobs: Job[]; done: boolean };

export function Photo() {
  const md5 = route.value.id ?? '';
  // The first answer comes at once; the next when all is done, or the wait is over.
  const live = useLive<All>(async (signal, last) => {
    const now = await prediction(md5, last && !last.done ? WAIT_S : 0, signal);
    const [image, jobs] = await Promise.all([record(md5, signal), everyJob({ md5 }, signal)]);
    return { image, jobs, done: now.done };
  }, (all) => (all.done ? null : 1), [md5]);
  useEffect(() => {
    if (hits.value.length === 0) openList('', null);
  }, []);
  useSteps(md5);
  const all = live.data?.image.md5 === md5 ? live.data : null;
  const seen: Seen | undefined = all?.image ?? hits.value.find((hit) => hit.md5 === md5);
  const trouble = <Trouble problem={live.problem} again={live.again} />;
  if (!seen) return <><a class="back" href={to('gallery')}>← Gallery</a><Title>Photograph</Title>{trouble}</>;
  return <Shown seen={seen} all={all} again={live.again} trouble={trouble} />;
}

/** What the list and the record have in common: enough to show the picture before the rest comes. */
type Seen = { md5: string; name?: string | null; media_type: string; width: number; height: number; orientation?: number | null };

/** Left and right go through the gallery as it was listed. */
function useSteps(md5: string): void {
  useEffect(() => {
    const at = places.value.get(md5);
    if (at !== undefined && at > hits.value.length - 5 && !whole.value) void loadMore();
  }, [md5]);
  useEffect(() => {
    const pressed = (event: KeyboardEvent) => {
      const target = event.target as HTMLElement;
      if (event.ctrlKey || event.metaKey || event.altKey || target.closest('input, select, textarea, dialog, [contenteditable]')) return;
      const at = places.value.get(route.value.id ?? '');
      if (at === undefined) return;
      if (event.key === 'ArrowRight') openAt(at + 1);
      else if (event.key === 'ArrowLeft') openAt(at - 1);
    };
    addEventListener('keydown', pressed);
    return () => removeEventListener('keydown', pressed);
  }, []);
}

/** The newest of each model comes first and is drawn; older ones are there to compare with. */
function sayings(image: ImageRecord): Said[] {
  const seen = new Set<string>();
  return image.results.map((result) => {
    const older = seen.has(result.model);
    seen.add(result.model);
    return { ...result, result: result.result as Record<string, unknown>, older };
  });
}

function Shown({ seen, all, again, trouble }: { seen: Seen; all: All | null; again: () => void; trouble: ComponentChildren }) {
  const said = useMemo(() => (all ? sayings(all.image) : []), [all]);
  const [toggled, setToggled] = useState<Record<string, boolean>>({});
  const [running, setRunning] = useState(false);
  const [comparing, setComparing] = useState(false);
  const shown = (one: Said) => toggled[one.job + one.version] ?? !one.older;
  const drawn = useMemo(
    () => (showMarks.value ? said.filter(shown).flatMap((one) => shapes(one.result.items, scoreMin.value, one.older)) : []),
    [said, toggled, scoreMin.value, showMarks.value],
  );
  const name = seen.name ?? seen.md5;
  const at = places.value.get(seen.md5);
  const inside = caseHolding(seen.md5) ?? all?.image.case ?? null;
  // What is under way, and what became of the newest try: how earlier ones failed is told by each job.
  const open = all?.jobs.filter((job, at, jobs) => ['queued', 'running'].includes(job.state) || (job.state !== 'succeeded' && jobs.findIndex((one) => one.model === job.model) === at)) ?? [];
  return (
    <div class="photo">
      <div class="photo-top">
        <a class="back" href={to('gallery', null, { q: filter.value, case: inCase.value })}>← Gallery</a>
        <Title>{name.split('/').pop() ?? name}</Title>
        <nav class="steps" aria-label="Neighbours">
          <button type="button" disabled={!at} onClick={() => openAt(at! - 1)} aria-label="Previous photograph" aria-keyshortcuts="ArrowLeft">←</button>
          <button type="button" disabled={at === undefined || at >= hits.value.length - 1} onClick={() => openAt(at! + 1)} aria-label="Next photograph" aria-keyshortcuts="ArrowRight">→</button>
        </nav>
      </div>
      {trouble}
      <Large key={seen.md5} seen={seen} name={name} drawn={drawn} />
      <div class="photo-side">
        <div class="row">
          {may.submit.value && <button type="button" class="strong" onClick={() => setRunning(true)}>Run a model…</button>}
          <Download md5={seen.md5} name={name} />
          {all?.image.derived?.phash && <a class="button" href={to('gallery', null, { q: `similar:${seen.md5}` })}>Look-alikes</a>}
          {said.length > 1 && <button type="button" onClick={() => setComparing(true)}>Compare…</button>}
          <Sight />
        </div>
        <h2>What was found</h2>
        {all && said.length === 0 && open.length === 0 && <Empty>No model has looked at it yet.</Empty>}
        {open.map((job) => <OpenJob key={job.id} job={job} again={again} />)}
        {said.map((one) => (
          <ResultCard key={one.job + one.version} said={one} job={all?.jobs.find((job) => job.id === one.job)} shown={shown(one)} changed={again}
            show={(on) => setToggled({ ...toggled, [one.job + one.version]: on })} />
        ))}
        {all && inside && mayEdit(inside) && <RunAgain md5={seen.md5} ofCase={inside} said={said} again={again} />}
        <NotesAndTags md5={seen.md5} record={all?.image} />
        {all && <Facts image={all.image} />}
      </div>
      {comparing && <Compare seen={seen} said={said} close={() => setComparing(false)} />}
      {running && <RunModels images={[{ md5: seen.md5, case: inside }]} close={() => setRunning(false)} done={again} />}
    </div>
  );
}

function Large({ seen, name, drawn }: { seen: Seen; name: string; drawn: Shape[] }) {
  const picture = usePicture(seen.md5, seen.media_type, 'full');
  const preview = usePicture(seen.md5, seen.media_type, 256);
  const [width, height] = upright(seen);
  const [broken, setBroken] = useState(false);
  return (
    <Zoom label={`${name}; plus and minus zoom`}>
      {picture.state === 'none' || broken
        ? <p class="nopreview">{picture.why ?? 'The browser cannot draw this file: it may be damaged.'}</p>
        : <span class="frame" style={{ '--ratio': String(width / height) }}>
            <img src={picture.url ?? preview.url ?? undefined} alt={name} draggable={false} width={width} height={height} class={picture.url ? '' : 'soon'} onError={() => picture.url && setBroken(true)} />
            <Marks shapes={drawn} tags />
          </span>}
    </Zoom>
  );
}

function OpenJob({ job, again }: { job: Job; again: () => void }) {
  return (
    <section class="result" aria-label={`${job.model}, not done`}>
      <header><h3>{job.model}</h3><State of={job.state} note={jobNote(job)} /></header>
      {job.error && <p class="failure"><strong><bdi>{job.error.type}</bdi></strong> <bdi>{job.error.message}</bdi></p>}
      <More summary="How it came about">{() => <JobMore id={job.id} changed={again} />}</More>
    </section>
  );
}

/** The same models with the same parameters, computed anew, in the case that holds it. */
function RunAgain({ md5, ofCase, said, again }: { md5: string; ofCase: string; said: Said[]; again: () => void }) {
  const doing = useAct();
  const newest = said.filter((one) => !one.older && one.params != null);
  if (!may.submit.value || newest.length === 0) return null;
  const run = (of: Said[]) => {
    const params = Object.fromEntries(of.map((one) => [one.model, one.params as Record<string, unknown>]));
    void doing.act(() => submit({ images: [md5], models: of.map((one) => one.model), params, rerun: true, submission: uuid(), case: ofCase }), 'Running again')
      .then((good) => good && again());
  };
  return (
    <>
      <Trouble problem={doing.problem} />
      <div class="row">
        <span class="soft">Run again:</span>
        {newest.map((one) => <button type="button" key={one.model} disabled={doing.busy} onClick={() => run([one])}>{one.model}</button>)}
        {newest.length > 1 && <button type="button" disabled={doing.busy} onClick={() => run(newest)}>all {newest.length}</button>}
      </div>
    </>
  );
}

function Download({ md5, name }: { md5: string; name: string }) {
  const doing = useAct();
  const fetchIt = () => doing.act(async () => save(await original(md5), name.split('/').pop() ?? md5), 'Downloaded');
  return <><button type="button" disabled={doing.busy} onClick={() => void fetchIt()}>Download</button><Trouble problem={doing.problem} /></>;
}

function Facts({ image }: { image: ImageRecord }) {
  const derived = image.derived;
  const rows: [string, ComponentChildren][] = [
    ['Name', <bdi>{image.name ?? '–'}</bdi>],
    ['Uploaded', when(image.uploaded_at)],
    ['Size', `${image.width} × ${image.height}, ${size(image.bytes)}, ${image.media_type}`],
    ...(image.frames > 1 ? [['Frames', String(image.frames)] as [string, string]] : []),
    ...(image.orientation ? [['Orientation', String(image.orientation)] as [string, string]] : []),
    ...(derived?.taken_at ? [['Taken, by the camera’s clock', derived.taken_at.replace('T', ' ')] as [string, string]] : []),
    ...(derived?.camera ? [['Camera', <bdi>{derived.camera}{derived.lens ? `, ${derived.lens}` : ''}</bdi>] as [string, ComponentChildren]] : []),
    ...(derived?.latitude != null ? [['Place', `${derived.latitude.toFixed(5)}, ${derived.longitude?.toFixed(5)}`] as [string, string]] : []),
    ['MD5', <Copy text={image.md5} what="MD5" />],
    ['SHA-256', <Copy text={image.sha256} what="SHA-256" />],
    ...(derived?.error ? [['Preview', <bdi>{derived.error}</bdi>] as [string, ComponentChildren]] : []),
  ];
  return (
    <>
      <h2>The file</h2>
      {image.warnings.map((warning) => <p key={warning} class="failure">{warning}</p>)}
      <dl class="facts">{rows.map(([name, said]) => <div key={name}><dt>{name}</dt><dd>{said}</dd></div>)}</dl>
      {may.govern.value && <p><a href={to('audit', null, { subject: image.md5 })}>Who looked at it</a></p>}
    </>
  );
}
