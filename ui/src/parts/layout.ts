/** Rows of pictures of one height each, filled to the edge: where every picture lies, and which are in sight. */

export type Place = { x: number; y: number; width: number; height: number };
export type Layout = {
  places: Place[];
  height: number;
  /** How many of them lie in full rows, which stay as they are when the list grows, and where these end. */
  full: number;
  end: number;
};

/** Panoramas and strips of film would make rows that are no use. */
const [NARROWEST, WIDEST] = [0.5, 2.4];

/** Lays out `count` pictures by their widths over their heights; goes on where the full rows of `before` end, if the list has only grown. */
export function layOut(count: number, ratio: (at: number) => number, width: number, wanted: number, gap: number, before?: Layout): Layout {
  const places = before?.places ?? [];
  let [full, end] = [before?.full ?? 0, before?.end ?? 0];
  places.length = full;
  let row: number[] = [];
  let sum = 0;
  const close = (height: number) => {
    let x = 0;
    for (const one of row) {
      places.push({ x, y: end, width: one * height, height });
      x += one * height + gap;
    }
  };
  for (let at = full; at < count; at += 1) {
    const bounded = Math.min(WIDEST, Math.max(NARROWEST, ratio(at) || 1));
    row.push(bounded);
    sum += bounded;
    if (sum * wanted + gap * (row.length - 1) < width) continue;
    const height = (width - gap * (row.length - 1)) / sum;
    close(height);
    [full, end, row, sum] = [places.length, end + height + gap, [], 0];
  }
  const last = row.length > 0 ? Math.min(wanted, (width - gap * (row.length - 1)) / sum) : -gap;
  close(last);
  return { places, height: Math.max(0, end + last), full, end };
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
