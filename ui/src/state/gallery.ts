/** The list that the gallery shows and the photograph's page steps through. */
import { computed, signal } from '@preact/signals';
import { problemOf, type Problem } from '../api/client';
import { statuses, type Status } from '../api/images';
import { find, type Hit } from '../api/search';

export const filter = signal('');
export const inCase = signal<string | null>(null);
export const hits = signal<Hit[]>([]);
export const whole = signal(false);
export const listProblem = signal<Problem | null>(null);
export const loadingMore = signal(false);
/** By MD5: what happened to those that were in sight. */
export const known = signal<ReadonlyMap<string, Status>>(new Map());
export const selected = signal<ReadonlySet<string>>(new Set());
/** Below this, boxes and labels are not drawn. */
export const scoreMin = signal(0);
export const showMarks = signal(true);
/** Where in the list each is. A list that has only grown is not gone through again. */
export const places = computed(() => {
  const list = hits.value;
  if (placed.size > list.length || (placed.size > 0 && (list[0] !== ends[0] || list[placed.size - 1] !== ends[1]))) placed = new Map();
  for (let at = placed.size; at < list.length; at += 1) placed.set(list[at]!.md5, at);
  ends = [list[0], list.at(-1)];
  return placed;
});
let placed = new Map<string, number>();
let ends: [Hit | undefined, Hit | undefined] = [undefined, undefined];

let cursor: string | null = null;
let asking: AbortController | null = null;
/** What the list was last made for; other words make another list. */
let made: string | null = null;

/** Begins the list anew if it is another, or `always`. */
export function openList(q: string, ofCase: string | null, always = false): void {
  const wanted = JSON.stringify([q, ofCase]);
  if (!always && wanted === made) return;
  made = wanted;
  filter.value = q;
  inCase.value = ofCase;
  asking?.abort();
  loadingMore.value = false;
  cursor = null;
  hits.value = [];
  whole.value = false;
  selected.value = new Set();
  known.value = new Map();
  void loadMore();
}

/** Forgets everything, as when somebody signs out. */
export function forgetList(): void {
  asking?.abort();
  made = null;
  cursor = null;
  filter.value = '';
  inCase.value = null;
  listProblem.value = null;
  loadingMore.value = false;
  whole.value = false;
  hits.value = [];
  known.value = new Map();
  selected.value = new Set();
}

/** The case that the list has a photograph from. */
export const caseHolding = (md5: string): string | null => hits.value[places.value.get(md5) ?? -1]?.case ?? null;

export async function loadMore(): Promise<void> {
  if (loadingMore.value || whole.value) return;
  loadingMore.value = true;
  const mine = (asking = new AbortController());
  try {
    const page = await find(filter.value, inCase.value, cursor, mine.signal);
    if (mine.signal.aborted) return;
    const seen = places.value;
    hits.value = [...hits.value, ...page.items.filter((hit) => !seen.has(hit.md5))];
    cursor = page.next_cursor ?? null;
    whole.value = cursor === null;
    listProblem.value = null;
  } catch (error) {
    if (mine.signal.aborted) return;
    listProblem.value = problemOf(error);
  } finally {
    if (asking === mine) loadingMore.value = false;
  }
}

/** Looks for photographs that came since, and puts them first. */
export async function lookForNew(signal: AbortSignal): Promise<void> {
  if (loadingMore.value || made === null) return;
  const wanted = made;
  const page = await find(filter.value, inCase.value, null, signal);
  if (signal.aborted || wanted !== made) return;
  const seen = places.value;
  const fresh = page.items.filter((hit) => !seen.has(hit.md5));
  // A whole page of strangers is another list.
  if (fresh.length === page.items.length && hits.value.length > 0 && page.next_cursor) openList(filter.value, inCase.value, true);
  else if (fresh.length > 0) hits.value = [...fresh, ...hits.value];
}

/** Of the most photographs it is remembered what was found: those that were in sight last. */
const KNOWN_MAX = 5_000;
/** The most images that one look-up with results asks for: their results must fit into one answer. */
const ASKED_MAX = 200;

/** Asks what became of those in sight of which that is not yet known, or not over. Answers whether any is unfinished. */
export async function lookUp(md5s: string[], signal: AbortSignal): Promise<boolean> {
  const open = md5s.filter((md5) => known.value.get(md5)?.done !== true).slice(0, ASKED_MAX);
  if (open.length === 0) return false;
  const found = await statuses(open, true, signal);
  const next = new Map(known.value);
  for (const item of found) {
    next.delete(item.md5);
    next.set(item.md5, item);
  }
  for (const oldest of next.keys()) {
    if (next.size <= KNOWN_MAX) break;
    next.delete(oldest);
  }
  known.value = next;
  return found.some((item) => item.done === false);
}

/** The tags that photographs have by now, as somebody changed them here. */
export function setTags(changed: { md5: string; tags: string[] }[]): void {
  const now = new Map(changed.map((one) => [one.md5, one.tags]));
  hits.value = hits.value.map((hit) => (now.has(hit.md5) ? { ...hit, tags: now.get(hit.md5)! } : hit));
}

export function toggle(md5: string): void {
  const next = new Set(selected.value);
  if (!next.delete(md5)) next.add(md5);
  selected.value = next;
}
