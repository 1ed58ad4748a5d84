/** Rows of pictures of one height each, filled to the edge: where every picture lies, and which are in sight. */

export type Place = { x: number; y: number; width: number; height: number };
export type Layout = { places: Place[]; height: number };

/** Panoramas and strips of film would make rows that are no use. */
const [NARROWEST, WIDEST] = [0.5, 2.4];

export function layOut(ratios: number[], width: number, wanted: number, gap: number): Layout {
  const places: Place[] = [];
  let y = 0;
  let row: number[] = [];
  let sum = 0;
  const close = (last: boolean) => {
    const room = width - gap * (row.length - 1);
    const height = last ? Math.min(wanted, room / sum) : room / sum;
    let x = 0;
    for (const ratio of row) {
      places.push({ x, y, width: ratio * height, height });
      x += ratio * height + gap;
    }
    y += height + gap;
    row = [];
    sum = 0;
  };
  for (const ratio of ratios) {
    const bounded = Math.min(WIDEST, Math.max(NARROWEST, ratio || 1));
    row.push(bounded);
    sum += bounded;
    if (sum * wanted + gap * (row.length - 1) >= width) close(false);
  }
  if (row.length > 0) close(true);
  return { places, height: Math.max(0, y - gap) };
}

/** The first place that ends below `y`. */
export function firstBelow(places: Place[], y: number): number {
  let [low, high] = [0, places.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    const place = places[middle]!;
    if (place.y + place.height < y) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The place in the row above or below that lies nearest. */
export function vertical(places: Place[], from: number, step: 1 | -1): number {
  const here = places[from];
  if (!here) return from;
  const middle = here.x + here.width / 2;
  let at = from;
  while (places[at] && places[at]!.y === here.y) at += step;
  const row = places[at];
  if (!row) return from;
  let best = at;
  for (let other = at; places[other] && places[other]!.y === row.y; other += step) {
    const distance = (place: Place) => Math.abs(place.x + place.width / 2 - middle);
    if (distance(places[other]!) < distance(places[best]!)) best = other;
  }
  return best;
}
