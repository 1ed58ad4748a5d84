/** What changed from one result to another, by sign and line as well as by colour. */
import type { ChangedItems } from '../api/changes';
import { itemsOf, score, shapes, text, type Item, type Shape } from './items';

type Differences = Pick<ChangedItems, 'gained' | 'lost' | 'moved'>;
type How = 'gained' | 'lost' | 'moved';

const WORDS_MAX = 20;
const SIGNS = { gained: '+', lost: '−', moved: '↔' };

const what = (item: Item) => text(item, 'label') ?? text(item, 'text') ?? text(item, 'value') ?? text(item, 'type') ?? '';

/** The items of a result that are none of those named, each of which is one of them. */
function others(items: unknown, named: unknown[]): Item[] {
  const left = new Map<string, number>();
  for (const one of named.map((item) => JSON.stringify(item))) left.set(one, (left.get(one) ?? 0) + 1);
  return itemsOf(items).filter((item) => {
    const one = JSON.stringify(item);
    const n = left.get(one) ?? 0;
    left.set(one, n - 1);
    return n <= 0;
  });
}

const marked = (items: unknown[], as: How | 'same', scoreMin: number): Shape[] =>
  shapes(items, scoreMin).map((shape) => ({ ...shape, colour: as, score: null, label: as === 'same' ? shape.label : `${SIGNS[as]} ${shape.label}` }));

/** What is drawn on the earlier and on the later picture. */
export const bothDrawn = ({ gained, lost, moved }: Differences, scoreMin = 0): [Shape[], Shape[]] => [
  [...marked(lost, 'lost', scoreMin), ...marked(moved.map((one) => one.from), 'moved', scoreMin)],
  [...marked(gained, 'gained', scoreMin), ...marked(moved.map((one) => one.to), 'moved', scoreMin)],
];
/** What is drawn on both besides, where all that changed is known. */
export const sameDrawn = ([before, after]: [unknown, unknown], { gained, lost, moved }: Differences, scoreMin: number): [Shape[], Shape[]] => [
  marked(others(before, [...lost, ...moved.map((one) => one.from)]), 'same', scoreMin),
  marked(others(after, [...gained, ...moved.map((one) => one.to)]), 'same', scoreMin),
];

/** The same in words, once for all that are alike. */
export function Changed({ lost, gained, moved, scoreMin = 0 }: Differences & { scoreMin?: number }) {
  const words = (how: How, items: unknown[]) => {
    const counted = new Map<string, number>();
    for (const item of itemsOf(items)) if ((score(item) ?? 1) >= scoreMin) counted.set(what(item), (counted.get(what(item)) ?? 0) + 1);
    return [...counted].slice(0, WORDS_MAX).map(([what, n]) => <li key={what} class={`drawn c${how}`}>{how} <b><bdi>{what.slice(0, 80)}</bdi></b>{n > 1 && <span>×{n}</span>}</li>);
  };
  return <>{words('lost', lost)}{words('gained', gained)}{words('moved', moved.map((one) => one.to))}</>;
}
