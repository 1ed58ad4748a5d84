/** Small parts that every page uses. */
import type { ComponentChildren } from 'preact';
import { useEffect, useId, useRef, useState } from 'preact/hooks';
import type { Problem } from '../api/client';
import { isAway, problemOf } from '../api/client';
import type { Counts } from '../api/submissions';
import { announce } from '../state/session';
import { count, stateWord, tone } from './format';

/** Without what only a program can do. */
const said = (mend: string) => mend.replace(/,? with [A-Z]+ \/[^\s,;:]*[^\s,;:.]/g, '').split(/(?<=\.) /).filter((one) => !/[A-Z]{3,} \/|`/.test(one)).join(' ');

/** What went wrong, and what to do. */
export function Trouble({ problem, again }: { problem: Problem | null; again?: () => void }) {
  if (!problem) return null;
  // What was to be shown is asked for again: that the server is away is said once, above the page.
  return (
    <div class={again && isAway(problem) ? 'trouble away-too' : 'trouble'} role="alert">
      <p><strong>{problem.title}.</strong> {problem.detail}</p>
      <p class="soft">{said(problem.mend)}</p>
      {problem.errors?.length > 1 && <ul>{problem.errors.slice(0, 20).map((error, at) => <li key={at}>{error.detail}</li>)}</ul>}
      {problem.request_id && <p class="soft mono">Request {problem.request_id}</p>}
      {again && <button type="button" onClick={again}>Try again</button>}
    </div>
  );
}

export const State = ({ of, note }: { of: string | null | undefined; note?: string }) => (
  <span class={`state ${tone(of)}`}>{stateWord(of)}{note && <span class="soft"> · {note}</span>}</span>
);

/** How far: one bar of all its jobs. */
export function Bar({ counts, label }: { counts: Counts; label: string }) {
  const all = counts.queued + counts.running + counts.succeeded + counts.failed + counts.cancelled;
  const ended = counts.succeeded + counts.failed + counts.cancelled;
  const parts = [['ok', counts.succeeded], ['no', counts.failed], ['off', counts.cancelled], ['run', counts.running]] as const;
  return (
    <div class="bar" role="progressbar" aria-label={label} aria-valuemin={0} aria-valuemax={all} aria-valuenow={ended}
      aria-valuetext={`${count(ended)} of ${count(all)}${counts.failed ? `, ${count(counts.failed)} failed` : ''}`}>
      {parts.map(([kind, n]) => n > 0 && <i key={kind} class={kind} style={{ flexGrow: n }} />)}
      {all > ended + counts.running && <i class="rest" style={{ flexGrow: all - ended - counts.running }} />}
    </div>
  );
}

/** A text that one may want elsewhere. */
export function Copy({ text, what }: { text: string; what: string }) {
  const copy = async () => {
    // Without TLS there is no clipboard to write to: then it can be marked by hand.
    await navigator.clipboard?.writeText(text);
    announce(navigator.clipboard ? `${what} copied` : 'Copying needs HTTPS: mark the text instead');
  };
  return <span class="copy"><code>{text}</code>{'clipboard' in navigator && <button type="button" class="plain" onClick={() => void copy()} aria-label={`Copy ${what}`}><svg viewBox="0 0 16 16" width="14" height="14" aria-hidden="true"><path d="M5.5 5.5v-4h9v9h-4m-9-5h9v9h-9z" fill="none" stroke="currentColor" stroke-width="1.5" /></svg></button>}</span>;
}

/** Keeps what was thrown by an act, and that it goes on. */
export function useAct(): { busy: boolean; problem: Problem | null; act: (run: () => Promise<unknown>, done?: string) => Promise<boolean> } {
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<Problem | null>(null);
  const act = async (run: () => Promise<unknown>, done?: string) => {
    setBusy(true);
    setProblem(null);
    try {
      await run();
      if (done) announce(done);
      return true;
    } catch (error) {
      setProblem(problemOf(error));
      return false;
    } finally {
      setBusy(false);
    }
  };
  return { busy, problem, act };
}

/** A window over the page, which the browser keeps the focus in. */
export function Dialog({ title, close, children, wide }: { title: string; close: (() => void) | null; children: ComponentChildren; wide?: boolean }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const heading = useId();
  useEffect(() => {
    const shown = dialog.current;
    const before = document.activeElement;
    shown?.showModal();
    return () => {
      shown?.close();
      if (before instanceof HTMLElement) before.focus();
    };
  }, []);
  const cancel = (event: Event) => {
    event.preventDefault();
    close?.();
  };
  return (
    <dialog ref={dialog} class={wide ? 'wide' : ''} aria-labelledby={heading} onCancel={cancel}>
      <header><h2 id={heading}>{title}</h2>{close && <button type="button" class="plain" onClick={close} aria-label="Close">✕</button>}</header>
      {children}
    </dialog>
  );
}

/** Asks before what cannot be taken back. */
export function Confirm({ title, children, verb, act, close }: { title: string; children: ComponentChildren; verb: string; act: () => Promise<unknown>; close: () => void }) {
  const doing = useAct();
  return (
    <Dialog title={title} close={close}>
      {children}
      <Trouble problem={doing.problem} />
      <div class="row end">
        <button type="button" onClick={close}>Not now</button>
        <button type="button" class="danger" disabled={doing.busy} onClick={() => void doing.act(act).then((good) => good && close())}>{verb}</button>
      </div>
    </Dialog>
  );
}

export function Field({ label, hint, children }: { label: string; hint?: string; children: ComponentChildren }) {
  return <label class="field"><span>{label}</span>{children}{hint && <small>{hint}</small>}</label>;
}

/** The title of the page and of the tab. The focus comes here when one goes from page to page. */
export function Title({ children, soft }: { children: string; soft?: string }) {
  useEffect(() => {
    document.title = `${children} – Darkroom`;
  }, [children]);
  return <h1 tabIndex={-1}>{children}{soft && <span class="soft"> {soft}</span>}</h1>;
}

/** What is made, and asked for, only once it is opened. */
export function More({ summary, children }: { summary: string; children: () => ComponentChildren }) {
  const [open, setOpen] = useState(false);
  return <details onToggle={(event) => setOpen(event.currentTarget.open)}><summary>{summary}</summary>{open && children()}</details>;
}

export const Empty = ({ children }: { children: ComponentChildren }) => <p class="empty">{children}</p>;

/** Whether the value of a field is JSON. */
export function parsed(value: string): { json: unknown } | null {
  try {
    return { json: value.trim() === '' ? undefined : JSON.parse(value) };
  } catch {
    return null;
  }
}
