/** Two results of one photograph side by side, as those of two versions of a model. */
import { useState } from 'preact/hooks';
import { usePicture } from '../state/pictures';
import { scoreMin } from '../state/gallery';
import { to } from '../state/route';
import { upright, when } from './format';
import { labelCounts, shapes } from './items';
import { Marks } from './marks';
import type { Said } from './result';
import { Dialog } from './small';

type Seen = { md5: string; media_type: string; width: number; height: number; orientation?: number | null };

/** The first that has an older one of the same model, and that. */
export function couple(said: Said[]): [number, number] {
  const older = said.findIndex((one) => one.older);
  return older < 0 ? [1, 0] : [older, said.findIndex((one) => one.model === said[older]!.model)];
}

export function Compare({ seen, said, close }: { seen: Seen; said: Said[]; close: () => void }) {
  const [shown, setShown] = useState(() => couple(said));
  const [before, after] = [said[shown[0]], said[shown[1]]];
  if (!before || !after) return null;
  const versions = before.model === after.model && before.version !== after.version;
  return (
    <Dialog title="Compare two results" close={close} wide>
      <div class="pair">
        <Side seen={seen} said={said} at={shown[0]} label="Left" choose={(at) => setShown([at, shown[1]])} />
        <Side seen={seen} said={said} at={shown[1]} label="Right" choose={(at) => setShown([shown[0], at])} />
      </div>
      {versions && <p><a href={to('changes', null, { model: after.model, from: before.version, to: after.version })}>What changed on all photographs</a></p>}
    </Dialog>
  );
}

function Side({ seen, said, at, label, choose }: { seen: Seen; said: Said[]; at: number; label: string; choose: (at: number) => void }) {
  const picture = usePicture(seen.md5, seen.media_type, 1024);
  const [width, height] = upright(seen);
  const one = said[at]!;
  const labels = labelCounts(one.result.items, scoreMin.value).map(([name, n]) => (n > 1 ? `${name} ×${n}` : name));
  return (
    <figure>
      <select aria-label={label} value={at} onChange={(event) => choose(Number(event.currentTarget.value))}>
        {said.map((other, place) => <option key={place} value={place}>{other.model} {other.version}, {when(other.finished_at)}</option>)}
      </select>
      <span class="frame" style={{ aspectRatio: `${width}/${height}` }}>
        {picture.url ? <><img src={picture.url} alt={`${one.model} ${one.version}`} width={width} height={height} draggable={false} /><Marks shapes={shapes(one.result.items, scoreMin.value)} tags /></> : <span class="nopreview">{picture.why}</span>}
      </span>
      <figcaption>{typeof one.result.summary === 'string' && <><bdi>{one.result.summary}</bdi> · </>}<bdi>{labels.join(' · ') || 'no labels'}</bdi></figcaption>
    </figure>
  );
}
