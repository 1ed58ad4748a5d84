/** What models say, made safe to draw: whatever is malformed is passed over. */

export type Shape = { points: [number, number][]; dots: boolean; label: string; score: number | null; colour: number | string; dashed: boolean };

export type Item = Record<string, unknown>;
const isItem = (value: unknown): value is Item => typeof value === 'object' && value !== null && !Array.isArray(value);
export const itemsOf = (items: unknown): Item[] => (Array.isArray(items) ? items.filter(isItem) : []);
export const text = (item: Item, key: string): string | null => (typeof item[key] === 'string' ? (item[key] as string) : null);
export const score = (item: Item): number | null => (typeof item.score === 'number' && Number.isFinite(item.score) ? item.score : null);

/** Models overshoot the edge a little. */
const fraction = (value: unknown): number | null =>
  typeof value === 'number' && Number.isFinite(value) ? Math.min(1, Math.max(0, value)) : null;

export function corners(box: unknown): [number, number][] | null {
  if (!Array.isArray(box) || box.length !== 4) return null;
  const [x0, y0, x1, y1] = box.map(fraction);
  if (x0 == null || y0 == null || x1 == null || y1 == null) return null;
  return [[x0, y0], [x1, y0], [x1, y1], [x0, y1]];
}

function points(of: unknown): [number, number][] | null {
  if (!Array.isArray(of) || of.length === 0) return null;
  const all: [number, number][] = [];
  for (const pair of of) {
    const [x, y] = Array.isArray(pair) ? pair.map(fraction) : [];
    if (x == null || y == null) return null;
    all.push([x, y]);
  }
  return all;
}

/** One colour per label, the same all over the page. */
const COLOURS = 8;
const palette = new Map<string, number>();
export function colourOf(label: string): number {
  let colour = palette.get(label);
  if (colour === undefined) palette.set(label, (colour = palette.size % COLOURS));
  return colour;
}

export function shapes(items: unknown, scoreMin: number, dashed = false): Shape[] {
  const found: Shape[] = [];
  for (const item of itemsOf(items)) {
    const type = text(item, 'type');
    const sure = score(item);
    if (sure !== null && sure < scoreMin) continue;
    const dots = type === 'points';
    const where = dots ? points(item.points) : (points(item.polygon) ?? corners(item.box));
    if (!where || type === 'embedding') continue;
    const label = text(item, 'label') ?? text(item, 'text') ?? '';
    const isText = type === 'text';
    found.push({ points: where, dots, label, score: isText ? null : sure, colour: colourOf(isText ? 'text' : label), dashed });
  }
  return found;
}

/** Labels with how often, most first. */
export function labelCounts(items: unknown, scoreMin: number): [label: string, count: number][] {
  const counts = new Map<string, number>();
  for (const item of itemsOf(items)) {
    const label = text(item, 'label');
    if (!label || (score(item) ?? 1) < scoreMin) continue;
    counts.set(label, (counts.get(label) ?? 0) + 1);
  }
  return [...counts].sort((a, b) => b[1] - a[1]);
}
