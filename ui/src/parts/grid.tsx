/** A hundred thousand photographs, of which only those in sight are drawn. */
import { useCallback, useEffect, useLayoutEffect, useMemo, useRef, useState } from 'preact/hooks';
import { hits, known, loadMore, lookUp, scoreMin, selected, showMarks, toggle, whole } from '../state/gallery';
import { useLive } from '../state/live';
import { go, to } from '../state/route';
import { upright } from './format';
import { firstBelow, layOut, vertical, type Layout } from './layout';
import { Tile } from './tile';

const GAP_PX = 6;
/** How much is drawn beyond what is in sight, and how near its end more of the list is asked for, in heights of the window. */
const [MARGIN, AHEAD] = [0.75, 4];
const LOOK_S = 3;

/** Where the grid was left, for who comes back from a photograph. */
let left = { scroll: 0, focus: 0 };
export const forgetPlace = () => (left = { scroll: 0, focus: 0 });
/** The photograph that was last looked at gets the focus. */
export const cameFrom = (at: number) => (left = { ...left, focus: at });

function useWidth(): [number, { current: HTMLDivElement | null }] {
  const box = useRef<HTMLDivElement | null>(null);
  const [width, setWidth] = useState(0);
  useLayoutEffect(() => {
    const element = box.current;
    if (!element) return;
    const observer = new ResizeObserver(() => setWidth(element.clientWidth));
    observer.observe(element);
    setWidth(element.clientWidth);
    return () => observer.disconnect();
  }, []);
  return [width, box];
}

/** The part of the grid that the window shows, in its own pixels. */
function useView(box: { current: HTMLDivElement | null }, layout: Layout): [number, number] {
  const [view, setView] = useState<[number, number]>([0, 900]);
  useEffect(() => {
    let asked = 0;
    const look = () => {
      asked = 0;
      const top = -(box.current?.getBoundingClientRect().top ?? 0);
      left.scroll = scrollY;
      setView([top, top + innerHeight]);
    };
    const soon = () => {
      asked ||= requestAnimationFrame(look);
    };
    look();
    addEventListener('scroll', soon, { passive: true });
    addEventListener('resize', soon);
    return () => {
      cancelAnimationFrame(asked);
      removeEventListener('scroll', soon);
      removeEventListener('resize', soon);
    };
  }, [layout]);
  return view;
}

export function Grid() {
  const list = hits.value;
  const [width, box] = useWidth();
  const small = width < 600;
  const laid = useRef<{ list: typeof list; width: number; layout: Layout } | null>(null);
  const layout = useMemo(() => {
    const before = laid.current;
    const grown = before && before.width === width && before.list[0] === list[0] && before.list[before.layout.full - 1] === list[before.layout.full - 1];
    const ratio = (at: number) => { const [w, h] = upright(list[at]!); return w / h; };
    const layout = layOut(list.length, ratio, Math.max(1, width), small ? 150 : 210, GAP_PX, grown ? before.layout : undefined);
    laid.current = { list, width, layout };
    return layout;
  }, [list, width]);
  const [top, bottom] = useView(box, layout);
  const [focus, setFocus] = useState(left.focus);
  const last = useRef(left.focus);
  useLayoutEffect(() => {
    if (width > 0 && left.scroll > 0) scrollTo(0, left.scroll);
  }, [width > 0]);

  const margin = (bottom - top) * MARGIN;
  const from = firstBelow(layout.places, top - margin);
  const past = Math.min(list.length, firstBelow(layout.places, bottom + margin) + 12);
  const shown = list.slice(from, past);

  useEffect(() => {
    if (!whole.value && bottom + (bottom - top) * AHEAD > layout.height) void loadMore();
  }, [bottom, layout.height, list]);

  // Half a screen of scrolling is another question.
  const step = Math.round(top / Math.max(1, (bottom - top) / 2));
  useLive((signal) => lookUp(shown.map((hit) => hit.md5), signal), (open) => (open ? LOOK_S : null), [step, list, width]);

  // The same all the time, or every tile would be drawn again at each step of scrolling.
  const select = useCallback((md5: string, at: number, range: boolean) => {
    if (range) {
      const [low, high] = [Math.min(last.current, at), Math.max(last.current, at)];
      selected.value = new Set([...selected.value, ...hits.value.slice(low, high + 1).map((hit) => hit.md5)]);
    } else {
      toggle(md5);
    }
    last.current = at;
  }, []);
  const move = (at: number) => {
    const to = Math.min(list.length - 1, Math.max(0, at));
    const place = layout.places[to];
    if (!place || !box.current) return;
    setFocus(to);
    left.focus = to;
    const y = box.current.getBoundingClientRect().top + place.y;
    if (y < 90) scrollBy(0, y - 90);
    else if (y + place.height > innerHeight - 10) scrollBy(0, y + place.height - innerHeight + 10);
    requestAnimationFrame(() => requestAnimationFrame(() => box.current?.querySelector<HTMLElement>(`[data-at="${to}"]`)?.focus({ preventScroll: true })));
  };
  const keys: Record<string, () => void> = {
    ArrowRight: () => move(focus + 1),
    ArrowLeft: () => move(focus - 1),
    ArrowDown: () => move(vertical(layout.places, focus, 1)),
    ArrowUp: () => move(vertical(layout.places, focus, -1)),
    Home: () => move(0),
    End: () => move(list.length - 1),
    x: () => list[focus] && select(list[focus].md5, focus, false),
    X: () => list[focus] && select(list[focus].md5, focus, true),
  };
  const pressed = (event: KeyboardEvent) => {
    const run = event.ctrlKey || event.metaKey || event.altKey ? undefined : keys[event.key];
    if (!run || !(event.target as HTMLElement).dataset.at) return;
    event.preventDefault();
    run();
  };
  const inSight = focus >= from && focus < past;
  return (
    <div ref={box} class="grid" role="list" aria-label="Photographs" style={{ height: `${layout.height}px` }} onKeyDown={pressed}>
      {shown.map((hit, nth) => {
        const at = from + nth;
        const place = layout.places[at];
        return place && (
          <Tile key={hit.md5} hit={hit} place={place} at={at} of={whole.value ? list.length : -1} status={known.value.get(hit.md5)} marks={showMarks.value}
            scoreMin={scoreMin.value} focused={at === focus || (!inSight && nth === 0)} selected={selected.value.has(hit.md5)} select={select} focus={setFocus} />
        );
      })}
    </div>
  );
}

/** Opens a photograph beside the one that is looked at. */
export const openAt = (at: number) => {
  const hit = hits.value[at];
  if (!hit) return;
  cameFrom(at);
  go(to('photo', hit.md5));
};
