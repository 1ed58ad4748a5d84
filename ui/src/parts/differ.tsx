/** What changed from one result to another, as the server compares them, and how it is shown: by sign and line as well as by colour. */
import { corners, itemsOf, score, shapes, text, type Item, type Shape } from './items';

export type Differences = { gained: unknown[]; lost: unknown[]; moved: { from: unknown; to: unknown }[] };
type How = 'gained' | 'lost' | 'moved';

/** Boxes that share so much of what both cover are the same; those that share so much are one that moved. */
const [SAME_OVERLAP_MIN, MOVED_OVERLAP_MIN] = [0.9, 0.3];
/** The most items of a result that are compared, those of the highest scores. */
const ITEMS_MAX = 500;
const WORDS_MAX = 20;
const SIGNS = { gained: '+', lost: '−', moved: '↔' };

const what = (item: Item) => text(item, 'label') ?? text(item, 'text') ?? text(item, 'value') ?? text(item, 'type') ?? '';
const alike = (item: Item) => JSON.stringify([item.type, what(item), text(item, 'algo')]);
const placed = (item: Item) => (item.type === 'box' ? corners(item.box) : null);

function compared(items: unknown): Item[] {
  const found = itemsOf(items).filter((item) => !['embedding', 'file'].includes(String(item.type)));
  return found.length > ITEMS_MAX ? found.sort((a, b) => (score(b) ?? -1) - (score(a) ?? -1)).slice(0, ITEMS_MAX) : found;
}

/** How much of what two boxes cover together they share; what has no box is the same wherever it says the same. */
function overlap(a: Item, b: Item): number {
  const [p, q] = [placed(a), placed(b)];
  if (!p || !q) return p || q ? 0 : 1;
  const area = (x0: number, y0: number, x1: number, y1: number) => Math.max(0, x1 - x0) * Math.max(0, y1 - y0);
  const [[ax, ay], , [aX, aY], [bx, by], , [bX, bY]] = [p[0]!, p[1], p[2]!, q[0]!, q[1], q[2]!];
  const shared = area(Math.max(ax, bx), Math.max(ay, by), Math.min(aX, bX), Math.min(aY, bY));
  const covered = area(ax, ay, aX, aY) + area(bx, by, bX, bY) - shared;
  return String(p) === String(q) ? 1 : covered > 0 ? shared / covered : 0;
}

/** The nearest of two that say the same belong together. */
export function compare(before: unknown, after: unknown): Differences & { same: [unknown[], unknown[]] } {
  const [old, fresh] = [compared(before), compared(after)];
  const kinds = fresh.map(alike);
  const pairs = old.flatMap((a) => {
    const kind = alike(a);
    return fresh.flatMap((b, at) => (kinds[at] === kind ? [{ share: overlap(a, b), from: a, to: b }] : []));
  }).filter((pair) => pair.share >= MOVED_OVERLAP_MIN).sort((a, b) => b.share - a.share);
  const taken = new Set<Item>();
  const matched = pairs.filter(({ from, to }) => !taken.has(from) && !taken.has(to) && taken.add(from).add(to));
  const same = matched.filter((pair) => pair.share >= SAME_OVERLAP_MIN);
  const left = (items: Item[]) => items.filter((item) => !taken.has(item));
  return { gained: left(fresh), lost: left(old), moved: matched.filter((pair) => pair.share < SAME_OVERLAP_MIN), same: [same.map((pair) => pair.from), same.map((pair) => pair.to)] };
}

const marked = (items: unknown[], as: How | 'same', scoreMin: number): Shape[] =>
  shapes(items, scoreMin).map((shape) => ({ ...shape, colour: as, score: null, label: as === 'same' ? shape.label : `${SIGNS[as]} ${shape.label}` }));

/** What is drawn on the earlier and on the later picture. */
export const bothDrawn = ({ gained, lost, moved }: Differences, scoreMin = 0): [Shape[], Shape[]] => [
  [...marked(lost, 'lost', scoreMin), ...marked(moved.map((one) => one.from), 'moved', scoreMin)],
  [...marked(gained, 'gained', scoreMin), ...marked(moved.map((one) => one.to), 'moved', scoreMin)],
];
export const sameDrawn = (items: unknown[], scoreMin: number) => marked(items, 'same', scoreMin);

/** The same in words, once for all that are alike. */
export function Changed({ lost, gained, moved, scoreMin = 0 }: Differences & { scoreMin?: number }) {
  const words = (how: How, items: unknown[]) => {
    const counted = new Map<string, number>();
    for (const item of itemsOf(items)) if ((score(item) ?? 1) >= scoreMin) counted.set(what(item), (counted.get(what(item)) ?? 0) + 1);
    return [...counted].slice(0, WORDS_MAX).map(([what, n]) => <li key={what} class={`drawn c${how}`}>{how} <b><bdi>{what.slice(0, 80)}</bdi></b>{n > 1 && <span>×{n}</span>}</li>);
  };
  return <>{words('lost', lost)}{words('gained', gained)}{words('moved', moved.map((one) => one.to))}</>;
}
