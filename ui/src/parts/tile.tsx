/** One photograph in the grid. */
import { memo } from './memo';
import type { Status } from '../api/images';
import type { Hit } from '../api/search';
import { usePicture } from '../state/pictures';
import { to } from '../state/route';
import { meanColour, stateWord, tone } from './format';
import { labelCounts, shapes, type Shape } from './items';
import type { Place } from './layout';
import { Marks } from './marks';

type Props = {
  hit: Hit;
  place: Place;
  at: number;
  of: number;
  status: Status | undefined;
  marks: boolean;
  scoreMin: number;
  focused: boolean;
  selected: boolean;
  select: (md5: string, at: number, range: boolean) => void;
  focus: (at: number) => void;
};

/** Wider than this a tile has room for the labels at its boxes. */
const TAGS_FROM_PX = 260;
const LABELS_MAX = 4;

export const Tile = memo(function Tile({ hit, place, at, of, status, marks, scoreMin, focused, selected, select, focus }: Props) {
  const picture = usePicture(hit.md5, hit.media_type, 256);
  const results = Object.values(status?.results ?? {});
  const drawn: Shape[] = marks ? results.flatMap((result) => shapes(result.items, scoreMin)) : [];
  const labels = results.flatMap((result) => labelCounts(result.items, scoreMin));
  const tags = (hit.tags ?? []).map((tag) => `#${tag}`);
  const found = labels.slice(0, LABELS_MAX).map(([label, n]) => (n > 1 ? `${label} ×${n}` : label));
  const words = [...tags, ...found].join(' · ');
  const name = hit.name ?? hit.md5;
  const spoken = [name, status?.status && stateWord(status.status), words, selected && 'selected'].filter(Boolean).join(', ');
  return (
    <div class={`tile${selected ? ' selected' : ''}`} role="listitem" aria-setsize={of} aria-posinset={at + 1}
      style={{ left: `${place.x}px`, top: `${place.y}px`, width: `${place.width}px`, height: `${place.height}px`, background: meanColour(hit.placeholder) }}>
      <a href={to('photo', hit.md5)} data-at={at} tabIndex={focused ? 0 : -1} onFocus={() => focus(at)}>
        <span class="unseen">{spoken}</span>
        <Framed url={picture.url} drawn={drawn} tags={place.width >= TAGS_FROM_PX} />
        {picture.state === 'none' && <span class="nopreview"><bdi>{picture.why}</bdi></span>}
        <span class="caption" aria-hidden="true">
          <span class={`dot ${tone(status?.status)}`} title={stateWord(status?.status)} />
          <span class="name"><bdi>{name.split('/').pop()}</bdi></span>
          {words && <span class="words"><bdi>{words}</bdi></span>}
        </span>
      </a>
      <button type="button" class="pick" tabIndex={focused ? 0 : -1} aria-pressed={selected} aria-label={`Select ${name}`}
        onClick={(event) => select(hit.md5, at, event.shiftKey)}>✓</button>
    </div>
  );
});

function Framed({ url, drawn, tags }: { url: string | null; drawn: Shape[]; tags: boolean }) {
  if (!url) return null;
  return (
    <span class="frame">
      <img src={url} alt="" draggable={false} decoding="async" onError={(event) => (event.currentTarget.style.visibility = 'hidden')} />
      <Marks shapes={drawn} tags={tags} />
    </span>
  );
}
