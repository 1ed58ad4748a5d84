/** The one stream of events of this tab, for everything on it that follows something; none while nobody looks. */
import { ended, Refusal, token } from '../api/client';
import { follow as read } from '../api/events';

/** Who follows topics. */
export type Follower = {
  topics: readonly string[];
  /** All topics are carried: one of them is another than before, or, with false, all are as they were told. */
  told: (changed: boolean) => void;
  /** The stream carries them no more: one has to ask. */
  lost: () => void;
  /** One of them is refused: asking tells why. */
  refused: () => void;
};

/** Pages come and go together: their topics are gathered for so long. */
const GATHER_MS = 30;
/** How soon a stream that could not be had, or broke, is tried again: longer each time. */
const [AGAIN_S, AGAIN_MAX_S] = [2, 60];
/** The most topics that one stream carries; others are asked for. */
const TOPICS_MAX = 16;

const followers = new Set<Follower>();
/** What is known of the topics that are followed. */
const states = new Map<string, unknown>();
/** Topics that the server refused: they are asked for while anybody follows them. */
const barred = new Set<string>();
let last: string | null = null;
let connection: AbortController | null = null;
let carried: string[] = [];
let isOpen = false;
let timer = 0;
let failures = 0;

const wanted = (): string[] =>
  [...new Set([...followers].flatMap((one) => one.topics))].filter((topic) => !barred.has(topic)).sort().slice(0, TOPICS_MAX);

/** Whether the stream says what all of these are, so that nobody has to ask. */
export const carries = (topics: readonly string[]): boolean =>
  isOpen && topics.length > 0 && topics.every((topic) => carried.includes(topic) && states.has(topic));

/** That something newer than what the stream told is shown: it has to tell these again. */
export function overtaken(topics: readonly string[]): void {
  if (!connection) for (const topic of topics) states.delete(topic);
}

export const stateOf = (topic: string): unknown => states.get(topic);

/** Follows topics until what is answered is called. */
export function follow(follower: Follower): () => void {
  followers.add(follower);
  soon(GATHER_MS);
  return () => {
    followers.delete(follower);
    soon(GATHER_MS);
  };
}

function soon(ms: number): void {
  clearTimeout(timer);
  timer = window.setTimeout(connect, ms);
}

function connect(): void {
  clearTimeout(timer);
  // Who leaves a topic may follow it again at once: only now is it known that nobody does.
  const all = new Set([...followers].flatMap((one) => one.topics));
  for (const topic of states.keys()) if (!all.has(topic)) states.delete(topic);
  for (const topic of barred) if (!all.has(topic)) barred.delete(topic);
  const topics = document.hidden || ended.value || !token.value ? [] : wanted();
  if (connection && topics.join() === carried.join()) return;
  drop();
  if (topics.length === 0) return;
  const mine = (connection = new AbortController());
  carried = topics;
  // Who knows all of it is told what differs, others everything.
  const known = topics.every((topic) => states.has(topic)) ? last : null;
  const began = performance.now();
  const current = (run: () => void) => () => connection === mine && run();
  read(topics, known, mine.signal, {
    open: current(() => {
      isOpen = true;
      if (known) tell(topics, false);
    }),
    state: (topic, state, id) => current(() => {
      states.set(topic, state);
      last = id;
      failures = 0;
      tell([topic], true);
    })(),
    problem: (topic) => current(() => {
      if (topic) {
        barred.add(topic);
        states.delete(topic);
      }
      for (const one of [...followers]) if (!topic || one.topics.includes(topic)) one.refused();
    })(),
  }).then(() => current(() => after(performance.now() - began < AGAIN_S * 1_000))(), (error) => current(() => after(true, error))());
}

/** A stream that was cut off is had again by and by; one that came to its end, within a second: all tabs lose theirs together. */
function after(failed: boolean, error?: unknown): void {
  if (failed) failures += 1;
  const asked = error instanceof Refusal ? (error.retryAfter ?? 0) : 0;
  drop();
  const pause = failed ? Math.max(asked, Math.min(AGAIN_MAX_S, AGAIN_S * 2 ** (failures - 1))) : 0;
  soon((pause * (1 + Math.random() / 4) + (failed ? 0 : Math.random())) * 1_000);
}

function drop(): void {
  connection?.abort();
  connection = null;
  carried = [];
  if (isOpen) {
    isOpen = false;
    for (const one of [...followers]) one.lost();
  }
}

function tell(topics: readonly string[], changed: boolean): void {
  for (const one of [...followers]) if (one.topics.some((topic) => topics.includes(topic)) && carries(one.topics)) one.told(changed);
}

/** Another session is another reader: nothing of it is known to the next. */
function forget(): void {
  states.clear();
  barred.clear();
  last = null;
  failures = 0;
  drop();
  soon(GATHER_MS);
}

document.addEventListener('visibilitychange', connect);
addEventListener('online', () => soon(0));
token.subscribe(forget);
ended.subscribe(() => soon(0));
