/** What a new version of a model changed: gained, lost and moved, on the photographs. The address says what is compared. */
import { useEffect, useRef, useState } from 'preact/hooks';
import { changeCounts, changes, type Change, type ChangeKind, type Compared } from '../api/changes';
import { models, type Model } from '../api/models';
import { caseList, caseName } from '../state/cases';
import { useLive } from '../state/live';
import { go, route, to } from '../state/route';
import { announce } from '../state/session';
import { bothDrawn, Changed } from '../parts/differ';
import { count, many } from '../parts/format';
import { Pictured } from '../parts/pictured';
import { Empty, Field, Title, Trouble, useAct } from '../parts/small';

const KINDS: [ChangeKind | null, string][] = [[null, 'Any change'], ['gained', '+ Gained'], ['lost', '− Lost'], ['moved', '↔ Moved'], ['same', 'Unchanged']];
/** Pages that may be without one of which something changed: so many are looked through before somebody is asked. */
const LOOKED_THROUGH = 10;
const LABELS_MAX = 20;

export function Changes() {
  const query = route.value.query;
  const known = useLive((signal) => models(true, signal), () => null, ['models']);
  const several = known.data?.filter((model) => model.served.length > 1) ?? [];
  const model = several.find((one) => one.name === query.get('model')) ?? (query.get('model') ? null : several[0]);
  const named = (at: number) => model?.served[at]?.version ?? '';
  const of = { model: query.get('model') ?? model?.name ?? '', from: query.get('from') ?? named(1), to: query.get('to') ?? named(0), q: query.get('q') || undefined, case: query.get('case') || undefined };
  const open = (change: Record<string, string | null>) => go(to('changes', null, { ...Object.fromEntries(query), ...change }));
  return (
    <>
      <Title>Changes</Title>
      <Trouble problem={known.problem} again={known.again} />
      {known.data && several.length === 0 && !of.model && <Empty>No model has had two versions yet.</Empty>}
      {of.model && <Choice of={of} several={several} open={open} />}
      {of.model && of.from && of.to && <Found key={JSON.stringify(of)} of={of} kind={KINDS.find(([kind]) => kind === query.get('kind'))?.[0] ?? null} label={query.get('label')} open={open} />}
    </>
  );
}

type Open = (change: Record<string, string | null>) => void;

function Choice({ of, several, open }: { of: Compared; several: Model[]; open: Open }) {
  const [words, setWords] = useState(of.q ?? '');
  useEffect(() => setWords(of.q ?? ''), [of.q]);
  const versions = several.find((one) => one.name === of.model)?.served.map((one) => one.version) ?? [];
  const choice = (label: string, value: string, all: string[], name: string) => (
    <Field label={label}>
      <select value={value} onChange={(event) => open(name === 'model' ? { model: event.currentTarget.value, from: null, to: null, label: null } : { model: of.model, from: of.from, to: of.to, [name]: event.currentTarget.value })}>
        {[...new Set([...all, value])].map((one) => <option key={one} value={one}>{one}</option>)}
      </select>
    </Field>
  );
  return (
    <form class="sought" role="search" onSubmit={(event) => { event.preventDefault(); open({ q: words.trim() || null }); }}>
      {choice('Model', of.model, several.map((one) => one.name), 'model')}
      {choice('From', of.from, versions, 'from')}
      {choice('To', of.to, versions, 'to')}
      {caseList.value && <Field label="Case">
        <select value={of.case ?? ''} onChange={(event) => open({ case: event.currentTarget.value || null })}>
          <option value="">All cases</option>
          {caseList.value.map((one) => <option key={one.id} value={one.id}>{caseName(one)}</option>)}
        </select>
      </Field>}
      <Field label="Filter"><input type="search" value={words} spellcheck={false} autocapitalize="off" onInput={(event) => setWords(event.currentTarget.value)} /></Field>
      <button type="submit" class="strong">Compare</button>
    </form>
  );
}

function Found({ of, kind, label, open }: { of: Compared; kind: ChangeKind | null; label: string | null; open: Open }) {
  const counts = useLive((signal) => changeCounts(of, signal), () => null, [of]).data;
  const [found, setFound] = useState<{ items: Change[]; next: string | null } | null>(null);
  const doing = useAct();
  const asked = `${kind}/${label}`;
  const turn = useRef(asked);
  turn.current = asked;
  const more = (before: Change[], from: string | null) => void doing.act(async () => {
    let [items, cursor] = [before, from];
    for (let page = 0; page < LOOKED_THROUGH; page += 1) {
      const got = await changes(of, kind, label, cursor);
      // Meanwhile something else was asked for.
      if (turn.current !== asked) return;
      items = [...items, ...got.items];
      cursor = got.next_cursor ?? null;
      setFound({ items, next: cursor });
      if (!cursor || items.length > before.length) break;
    }
    announce(many(items.length, 'photograph'));
  });
  useEffect(() => {
    setFound(null);
    more([], null);
  }, [asked]);
  const numbers = counts && { gained: counts.gained, lost: counts.lost, moved: counts.moved, same: counts.same };
  return (
    <>
      <div class="facets" role="group" aria-label="What changed">
        {KINDS.map(([one, name]) => <button type="button" key={name} class="chip" aria-pressed={kind === one} onClick={() => open({ kind: one })}>{name}{one && numbers && <span class="soft">{count(numbers[one])}</span>}</button>)}
        {counts && <span class="soft">{many(counts.images.count, 'photograph')}{counts.images.at_least && ' or more'} compared{counts.incomplete > 0 && `; of ${count(counts.incomplete)} only the surest items`}</span>}
      </div>
      {counts && counts.labels.some((one) => one.label) && (
        <div class="facets" role="group" aria-label="Labels">
          {counts.labels.filter((one) => one.label).slice(0, LABELS_MAX).map((one) => (
            <button type="button" key={one.type + one.label} class="chip" aria-pressed={label === one.label} onClick={() => open({ label: label === one.label ? null : one.label! })}>
              <bdi>{one.label}</bdi> <span class="soft">{([['+', one.gained], ['−', one.lost], ['↔', one.moved]] as const).flatMap(([sign, n]) => (n > 0 ? sign + count(n) : [])).join(' ')}</span></button>
          ))}
        </div>
      )}
      <Trouble problem={doing.problem} again={() => more(found?.items ?? [], found?.next ?? null)} />
      {found && found.items.length === 0 && !found.next && <Empty>{kind === 'same' ? 'Something changed on every photograph.' : 'Nothing of the kind changed.'}</Empty>}
      <ul class="cards models">{found?.items.map((one) => <Both key={one.md5} of={of} change={one} />)}</ul>
      {found?.next && <p class="more"><button type="button" disabled={doing.busy} onClick={() => more(found.items, found.next)}>{doing.busy ? 'Looking…' : 'Look further'}</button></p>}
    </>
  );
}

function Both({ of, change }: { of: Compared; change: Change }) {
  const [before, after] = bothDrawn(change);
  const name = change.name.split('/').pop() ?? change.md5;
  return (
    <li class="card">
      <header><h2><a href={to('photo', change.md5)}><bdi>{name}</bdi></a></h2>{change.same > 0 && <span class="soft">{many(change.same, 'thing')} the same</span>}</header>
      <div class="pair">
        {([[of.from, before], [of.to, after]] as const).map(([version, drawn]) => (
          <figure key={version}><Pictured seen={change} alt={`${name}, ${version}`} drawn={drawn} /><figcaption class="soft mono"><bdi>{version}</bdi></figcaption></figure>
        ))}
      </div>
      <ul class="labels">
        <Changed {...change} />
        {change.incomplete && <li class="soft">and more, which is not shown</li>}
      </ul>
    </li>
  );
}
