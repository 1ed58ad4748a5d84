/**
 * What a page shows, kept up to date: told by the stream of events where that carries it, else by asking again and again, one question
 * at a time; neither while the tab is hidden or the session has ended.
 */
import { useEffect, useRef, useState } from 'preact/hooks';
import { ended, problemOf, type Problem } from '../api/client';
import { carries, follow, overtaken, stateOf } from './stream';

/** What the page asks for, and what went wrong last. */
export type Live<T> = { data: T | null; problem: Problem | null; again: () => void };

/** Topics of the stream of events, and how what they say is read; null where that is not enough. Without, they only say when to load again. */
export type Topics<T> = {
  topics: readonly string[];
  read?: (states: unknown[], last: T | null) => T | null;
  /** In how many seconds it is asked for all the same: what the stream does not tell. */
  beside?: (data: T) => number | null;
};

const SLOWEST_S = 15;
/** How long the stream may take to say what is new when one comes back to the tab. */
const STREAM_S = 2;

/**
 * Loads at once, then again after as many seconds as `next` says of what came (null: no more), for as long as `keys` stay the same; the first
 * of them says what it is about.
 * What was loaded stays shown while the server is away. While the stream carries the topics, nothing is asked.
 */
export function useLive<T>(
  load: (signal: AbortSignal, last: T | null) => Promise<T>,
  next: (data: T) => number | null,
  keys: readonly unknown[],
  told?: Topics<T> | false,
): Live<T> {
  const [state, setState] = useState<{ data: T | null; problem: Problem | null }>({ data: null, problem: null });
  const wake = useRef(() => {});
  const about = useRef(keys[0]);
  useEffect(() => {
    let timer = 0;
    let failures = 0;
    let over = false;
    let asking: AbortController | null = null;
    let last: T | null = null;
    /** Whether the stream spoke while a question was under way, whose answer may be older. */
    let spoke = false;
    const topics = told ? told.topics : [];
    /** Whether what the stream says is enough. */
    let enough = told && !told.read;
    const rest = (data: T) => (told && enough && carries(topics) ? (told.beside?.(data) ?? null) : next(data));
    // Of another thing nothing is shown; of the same, what was there until there is something newer.
    if (about.current !== keys[0]) setState({ data: null, problem: null });
    about.current = keys[0];
    const plan = (seconds: number | null) => {
      clearTimeout(timer);
      if (seconds !== null && !over) timer = window.setTimeout(ask, seconds * 1_000);
    };
    const have = (data: T) => {
      failures = 0;
      last = data;
      setState({ data, problem: null });
      plan(rest(data));
    };
    /** Takes what the stream says. */
    const hear = (changed: boolean) => {
      if (over || !told) return;
      if (!changed && last !== null) return plan(rest(last));
      spoke = true;
      if (!told.read) {
        if (!asking) void ask();
        return;
      }
      const data = told.read(topics.map(stateOf), last);
      enough = data !== null;
      if (data !== null) have(data);
    };
    const ask = async () => {
      clearTimeout(timer);
      if (over || document.hidden || ended.value) return;
      asking?.abort();
      const mine = (asking = new AbortController());
      spoke = false;
      try {
        const data = await load(mine.signal, last);
        if (over || asking !== mine) return;
        asking = null;
        if (!carries(topics)) overtaken(topics);
        have(data);
        if (spoke) hear(true);
      } catch (error) {
        if (over || asking !== mine || mine.signal.aborted) return;
        asking = null;
        failures += 1;
        const problem = problemOf(error);
        setState((state) => ({ ...state, problem }));
        // What is refused for good is not asked for again.
        const final = problem.status >= 400 && problem.status < 500 && problem.status !== 429;
        plan(final ? null : Math.min(SLOWEST_S, 2 ** failures));
      }
    };
    const turn = () => {
      if (document.hidden) {
        clearTimeout(timer);
        asking?.abort();
        asking = null;
      } else if (last !== null && topics.length > 0) {
        plan(STREAM_S);
      } else {
        void ask();
      }
    };
    wake.current = () => void ask();
    document.addEventListener('visibilitychange', turn);
    addEventListener('online', turn);
    const unfollow = topics.length > 0 ? follow({ topics, told: hear, lost: () => last !== null && plan(rest(last)), refused: () => void ask() }) : () => {};
    // The stream has told it before, and tells it again only when it is another.
    if (told && told.read && carries(topics)) hear(true);
    const unsubscribe = ended.subscribe((is) => !is && void ask());
    return () => {
      over = true;
      clearTimeout(timer);
      asking?.abort();
      unfollow();
      unsubscribe();
      document.removeEventListener('visibilitychange', turn);
      removeEventListener('online', turn);
    };
  }, keys);
  return { ...state, again: () => wake.current() };
}
