/** The gallery: everything that one may see, found by a filter, with what the models said drawn over it. */
import { useEffect, useState } from 'preact/hooks';
import { counts, type Counts } from '../api/search';
import { filters, saveFilter, type SavedFilter } from '../api/cases';
import { caseList, caseName, caseOf, mayEdit } from '../state/cases';
import { caseHolding, hits, inCase, known, listProblem, loadMore, loadingMore, lookForNew, openList, places, selected, whole } from '../state/gallery';
import { useLive } from '../state/live';
import { go, route, to } from '../state/route';
import { may } from '../state/session';
import { count, many } from '../parts/format';
import { forgetPlace, Grid } from '../parts/grid';
import { Exports } from '../parts/exports';
import { FilterHelp } from '../parts/help';
import { labelCounts } from '../parts/items';
import { csv, save } from '../parts/save';
import { Sight } from '../parts/sight';
import { RunModels } from '../parts/run';
import { Dialog, Empty, Field, Title, Trouble, useAct } from '../parts/small';
import { TagThem } from '../parts/tags';

/** How often is looked for photographs that came since. */
const NEW_S = 10;

export function Gallery() {
  const q = route.value.query.get('q') ?? '';
  const ofCase = route.value.query.get('case');
  useEffect(() => {
    openList(q, ofCase);
  }, [q, ofCase]);
  // What a filter finds grows with results and tags, too, of which no topic tells.
  useLive(async (signal, last) => { if (last) await lookForNew(signal); return true; }, () => NEW_S, [q, ofCase], q === '' && { topics: [ofCase ? `images:${ofCase}` : 'images'] });
  const list = hits.value;
  const shownCase = caseOf(ofCase);
  const searched = useLive((signal) => counts(q, ofCase, signal), () => null, [q, ofCase]);
  const open = (words: string, ofThatCase: string | null) => {
    forgetPlace();
    go(to('gallery', null, { q: words, case: ofThatCase }));
  };
  const nothing = whole.value && list.length === 0 && !listProblem.value;
  const total = searched.data ? searched.data.images.count : list.length;
  const atLeast = searched.data ? searched.data.images.at_least : !whole.value;
  return (
    <>
      <div class="head">
        <Title soft={list.length > 0 ? `${count(Math.max(total, list.length))}${atLeast ? ' or more' : ''}` : undefined}>{shownCase ? caseName(shownCase) : 'Gallery'}</Title>
        <Bar q={q} ofCase={ofCase} open={open} counts={searched.data} />
      </div>
      {selected.value.size > 0 && <Selection />}
      <Trouble problem={listProblem.value} again={() => void loadMore()} />
      {nothing && <Empty>{q
        ? <>Nothing fits. <button type="button" class="link" onClick={() => open('', ofCase)}>Show everything</button></>
        : may.submit.value ? <>There are no photographs yet. <a href={to('upload')}>Upload some</a>.</> : 'There are no photographs that you may see.'}</Empty>}
      <Grid />
      <p class="more" aria-live="polite">{loadingMore.value ? 'Loading more…' : ''}</p>
    </>
  );
}

type Open = (q: string, ofCase: string | null) => void;

function Bar({ q, ofCase, open, counts }: { q: string; ofCase: string | null; open: Open; counts: Counts | null }) {
  const [words, setWords] = useState(q);
  const [saving, setSaving] = useState(false);
  const [help, setHelp] = useState(false);
  const [taking, setTaking] = useState(false);
  useEffect(() => setWords(q), [q]);
  const add = (word: string) => open(q.split(/\s+/).includes(word) ? q.replace(word, '').replace(/\s+/g, ' ').trim() : `${q} ${word}`.trim(), ofCase);
  const quoted = (value: string) => (/^[\w.-]+$/.test(value) ? value : `"${value.replaceAll('"', '')}"`);
  return (
    <>
      <form class="bar-filter" role="search" onSubmit={(event) => { event.preventDefault(); open(words.trim(), ofCase); }}>
        <input type="search" aria-label="Filter" placeholder={'label:person>=0.6 -label:car text:"street" tag:x'} value={words} spellcheck={false} autocapitalize="off"
          onInput={(event) => setWords(event.currentTarget.value)} />
        <button type="submit" class="strong">Find</button>
        <button type="button" aria-label="How filters are written" onClick={() => setHelp(true)}>?</button>
        {caseList.value && (
          <select aria-label="Case" value={ofCase ?? ''} onChange={(event) => open(q, event.currentTarget.value || null)}>
            <option value="">All cases</option>
            {caseList.value.map((one) => <option key={one.id} value={one.id}>{caseName(one)}</option>)}
          </select>
        )}
        {ofCase && q && mayEdit(ofCase) && <button type="button" onClick={() => setSaving(true)}>Save filter</button>}
        <button type="button" onClick={() => setTaking(true)}>Export…</button>
        <Sight />
      </form>
      {ofCase && <Saved ofCase={ofCase} open={(words) => open(words, ofCase)} />}
      {counts && (
        <div class="facets" role="group" aria-label="Narrow down">
          {counts.labels.slice(0, 14).map(({ label, images }) => <Facet key={`l${label}`} word={`label:${quoted(label)}`} name={label} images={images} q={q} add={add} />)}
          {counts.tags.slice(0, 8).map(({ tag, images }) => <Facet key={`t${tag}`} word={`tag:${quoted(tag)}`} name={`#${tag}`} images={images} q={q} add={add} />)}
          {counts.models.slice(0, 6).map(({ model, images }) => <Facet key={`m${model}`} word={`model:${model}`} name={model} images={images} q={q} add={add} kind="model" />)}
        </div>
      )}
      {help && <FilterHelp close={() => setHelp(false)} />}
      {taking && <Exports q={q} ofCase={ofCase} close={() => setTaking(false)} />}
      {saving && ofCase && <SaveFilter ofCase={ofCase} words={q} close={() => setSaving(false)} />}
    </>
  );
}

function Facet({ word, name, images, q, add, kind }: { word: string; name: string; images: number; q: string; add: (word: string) => void; kind?: string }) {
  return <button type="button" class={`chip ${kind ?? ''}`} aria-pressed={q.includes(word)} onClick={() => add(word)}><bdi>{name}</bdi> <span class="soft">{count(images)}</span></button>;
}

function Saved({ ofCase, open }: { ofCase: string; open: (filter: string) => void }) {
  const saved = useLive<SavedFilter[]>(() => filters(ofCase), () => null, [ofCase]);
  if (!saved.data?.length) return null;
  return <div class="facets" role="group" aria-label="Saved filters">{saved.data.map((one) => <button type="button" class="chip" key={one.name} title={one.filter} onClick={() => open(one.filter)}>★ <bdi>{one.name}</bdi></button>)}</div>;
}

function SaveFilter({ ofCase, words, close }: { ofCase: string; words: string; close: () => void }) {
  const [name, setName] = useState('');
  const doing = useAct();
  const save = (event: Event) => {
    event.preventDefault();
    void doing.act(() => saveFilter(ofCase, name.trim(), words), 'Filter saved').then((good) => good && close());
  };
  return (
    <Dialog title="Save this filter" close={close}>
      <form onSubmit={save}>
        <p class="mono">{words}</p>
        <Field label="Name"><input required maxLength={64} value={name} onInput={(event) => setName(event.currentTarget.value)} /></Field>
        <Trouble problem={doing.problem} />
        <div class="row end"><button type="submit" class="strong" disabled={doing.busy}>Save</button></div>
      </form>
    </Dialog>
  );
}

/** Names, hashes and what was found, as far as it was looked up. */
function listed(images: string[]): Blob {
  const rows = images.map((md5) => {
    const hit = hits.value[places.value.get(md5) ?? -1];
    const results = Object.entries(known.value.get(md5)?.results ?? {});
    const labels = results.flatMap(([model, result]) => labelCounts(result.items, 0).map(([label, n]) => `${model}: ${label} ×${n}`));
    return [md5, hit?.name ?? '', hit?.uploaded_at ?? '', (hit?.tags ?? []).join(' '), labels.join('; ')];
  });
  return csv([['md5', 'name', 'uploaded_at', 'tags', 'labels'], ...rows]);
}

/** What can be done with those that are selected. */
function Selection() {
  const [open, setOpen] = useState<'run' | 'tag' | null>(null);
  const images = [...selected.value];
  return (
    <div class="selection" role="region" aria-label="Selection">
      <strong>{many(images.length, 'photograph')} selected</strong>
      {may.submit.value && <button type="button" onClick={() => setOpen('run')}>Run a model…</button>}
      {inCase.value && mayEdit(inCase.value) && <button type="button" onClick={() => setOpen('tag')}>Tag…</button>}
      <button type="button" onClick={() => save(listed(images), 'photographs.csv')}>Save as a list</button>
      <button type="button" onClick={() => (selected.value = new Set(hits.value.map((hit) => hit.md5)))}>Select all {count(hits.value.length)} loaded</button>
      <button type="button" onClick={() => (selected.value = new Set())}>Select none</button>
      {open === 'run' && <RunModels images={images.map((md5) => ({ md5, case: caseHolding(md5) }))} close={() => setOpen(null)} />}
      {open === 'tag' && inCase.value && <TagThem ofCase={inCase.value} images={images} close={() => setOpen(null)} />}
    </div>
  );
}
