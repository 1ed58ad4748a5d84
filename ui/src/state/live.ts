/** Asking again and again: one question at a time per page, none while the tab is hidden or the session has ended. */
import { useEffect, useRef, useState } from 'preact/hooks';
import { ended, problemOf, type Problem } from '../api/client';

/** What the page asks for, and what went wrong last. */
export type Live<T> = { data: T | null; problem: Problem | null; again: () => void };

const SLOWEST_S = 15;

/**
 * Loads at once, then again after as many seconds as `next` says of what came (null: no more), for as long as `keys` stay the same; the first
 * of them says what it is about.
 * What was loaded stays shown while the server is away.
 */
export function useLive<T>(
  load: (signal: AbortSignal, last: T | null) => Promise<T>,
  next: (data: T) => number | null,
  keys: readonly unknown[],
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
    // Of another thing nothing is shown; of the same, what was there until there is something newer.
    if (about.current !== keys[0]) setState({ data: null, problem: null });
    about.current = keys[0];
    const plan = (seconds: number | null) => {
      clearTimeout(timer);
      if (seconds !== null && !over) timer = window.setTimeout(ask, seconds * 1_000);
    };
    const ask = async () => {
      clearTimeout(timer);
      if (over || document.hidden || ended.value) return;
      asking?.abort();
      const mine = (asking = new AbortController());
      try {
        const data = await load(mine.signal, last);
        if (over || asking !== mine) return;
        failures = 0;
        last = data;
        setState({ data, problem: null });
        plan(next(data));
      } catch (error) {
        if (over || asking !== mine || mine.signal.aborted) return;
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
      } else {
        void ask();
      }
    };
    wake.current = () => void ask();
    document.addEventListener('visibilitychange', turn);
    addEventListener('online', turn);
    const unsubscribe = ended.subscribe((is) => !is && void ask());
    return () => {
      over = true;
      clearTimeout(timer);
      asking?.abort();
      unsubscribe();
      document.removeEventListener('visibilitychange', turn);
      removeEventListener('online', turn);
    };
  }, keys);
  return { ...state, again: () => wake.current() };
}
