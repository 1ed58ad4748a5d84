/** Two results of one photograph side by side, as those of two versions of a model, and what changed from the one to the other. */
import { useState } from 'preact/hooks';
import { changedItems } from '../api/changes';
import { scoreMin } from '../state/gallery';
import { useLive } from '../state/live';
import { to } from '../state/route';
import { bothDrawn, Changed, sameDrawn } from './differ';
import { many, when } from './format';
import { labelCounts, shapes, type Shape } from './items';
import { Pictured, type Seen } from './pictured';
import type { Said } from './result';
import { Dialog, Trouble } from './small';

/** The first that has an older one of the same model, and that. */
export function couple(said: Said[]): [number, number] {
  const older = said.findIndex((one) => one.older);
  return older < 0 ? [1, 0] : [older, said.findIndex((one) => one.model === said[older]!.model)];
}

export function Compare({ seen, said, close }: { seen: Seen; said: Said[]; close: () => void }) {
  const [shown, setShown] = useState(() => couple(said));
  const [before, after] = [said[shown[0]], said[shown[1]]];
  // What two models say of a photograph are two things, not one that changed.
  const alike = before && after && before.model === after.model;
  const live = useLive(async (signal) => (alike ? changedItems(seen.md5, before.job, after.job, signal) : null), () => null, [`${before?.job} ${after?.job}`]);
  if (!before || !after) return null;
  const changed = live.data;
  const looking = alike && !changed && !live.problem;
  const drawn = changed ? bothDrawn(changed, scoreMin.value) : looking ? [[], []] : [before, after].map((one) => shapes(one.result.items, scoreMin.value));
  // Where more changed than is told, nobody knows of the rest.
  const same = changed && !changed.incomplete ? sameDrawn([before.result.items, after.result.items], changed, scoreMin.value) : [[], []];
  const none = changed && changed.gained.length + changed.lost.length + changed.moved.length === 0;
  return (
    <Dialog title="Compare two results" close={close} wide>
      <div class="pair">
        <Side seen={seen} said={said} at={shown[0]} drawn={[...same[0]!, ...drawn[0]!]} label="Left" choose={(at) => setShown([at, shown[1]])} />
        <Side seen={seen} said={said} at={shown[1]} drawn={[...same[1]!, ...drawn[1]!]} label="Right" choose={(at) => setShown([shown[0], at])} />
      </div>
      <Trouble problem={live.problem} again={live.again} />
      {looking && <p class="soft">Comparing…</p>}
      {changed && <ul class="labels" aria-label="What changed">
        <Changed {...changed} scoreMin={scoreMin.value} />
        {none && !changed.incomplete && <li class="soft">Nothing changed.</li>}
        {changed.same > 0 && <li class="soft">{many(changed.same, 'thing')} the same</li>}
        {changed.incomplete && <li class="soft">and more, which is not shown</li>}
      </ul>}
      {changed && before.version !== after.version && <p><a href={to('changes', null, { model: after.model, from: before.version, to: after.version })}>What changed on all photographs</a></p>}
    </Dialog>
  );
}

function Side({ seen, said, at, drawn, label, choose }: { seen: Seen; said: Said[]; at: number; drawn: Shape[]; label: string; choose: (at: number) => void }) {
  const one = said[at]!;
  const labels = labelCounts(one.result.items, scoreMin.value).map(([name, n]) => (n > 1 ? `${name} ×${n}` : name));
  return (
    <figure>
      <select aria-label={label} value={at} onChange={(event) => choose(Number(event.currentTarget.value))}>
        {said.map((other, place) => <option key={place} value={place}>{other.model} {other.version}, {when(other.finished_at)}</option>)}
      </select>
      <Pictured seen={seen} alt={`${one.model} ${one.version}`} drawn={drawn} />
      <figcaption>{typeof one.result.summary === 'string' && <><bdi>{one.result.summary}</bdi> · </>}<bdi>{labels.join(' · ') || 'no labels'}</bdi></figcaption>
    </figure>
  );
}
