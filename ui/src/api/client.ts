/** How the page calls the server: one place for the token, for problems, and for whether the server can be reached. */
import type { Client } from 'openapi-fetch';
import { signal } from '@preact/signals';
import type { components, paths } from './openapi';

export type Schemas = components['schemas'];
export type Problem = Schemas['Problem'];
export type Paged<T> = { items: T[]; next_cursor?: string | null };

/** Where the server is: beside this page, under whatever path a proxy gives it. Without a slash at its end. */
export const BASE = new URL('.', location.href).href.replace(/\/$/, '');

/** What the server refused, and what to do about it. */
export class Refusal extends Error {
  constructor(
    readonly problem: Problem,
    /** After how many seconds the same may do better. */
    readonly retryAfter: number | null,
  ) {
    super(problem.detail);
  }
}

/** The server did not answer. */
export class Unreachable extends Error {}

/** Whether the last request found no server. */
export const away = signal(false);

/** Only in this tab, and gone with it; never in an address. */
const STORED = 'darkroom.token';
export const token = signal<string | null>(sessionStorage.getItem(STORED));
/** A token that the server no longer takes: the page stays as it is, and asks for the password. */
export const ended = signal(false);

export function keepToken(value: string | null): void {
  token.value = value;
  ended.value = false;
  if (value) sessionStorage.setItem(STORED, value);
  else sessionStorage.removeItem(STORED);
}

/** Answers that stand for a server that is restarting, or a proxy that finds none. */
const GONE = [502, 503, 504];
/** Whether it says no more than that there is no server. */
export const isAway = ({ code, status }: Problem) => code === 'unreachable' || (code === 'unknown' && GONE.includes(status));

/** Within so many seconds an answer begins, beyond those that it was asked to wait: a connection that died says nothing for minutes. */
const ANSWER_S = 20;
/** Within so many seconds it has come whole: the largest photograph over a slow line. */
const WHOLE_S = 300;

/** Fetches as whoever is signed in; throws `Refusal` or `Unreachable`. */
export async function send(request: Request): Promise<Response> {
  const mine = token.value;
  if (mine && !request.headers.has('authorization')) request.headers.set('authorization', `Bearer ${mine}`);
  const late = new AbortController();
  const within = (seconds: number) => setTimeout(() => late.abort(new DOMException('The answer took too long.', 'TimeoutError')), seconds * 1_000);
  const beginning = within(ANSWER_S + Number(new URL(request.url).searchParams.get('wait_s')));
  let response: Response;
  try {
    response = await fetch(request, { signal: AbortSignal.any([request.signal, late.signal]) });
    within(WHOLE_S);
  } catch (error) {
    if (request.signal.aborted) throw error;
    away.value = true;
    throw new Unreachable('The server cannot be reached.');
  } finally {
    clearTimeout(beginning);
  }
  if (response.ok || response.status === 304) {
    away.value = false;
    return response;
  }
  const refusal = await refused(response);
  away.value = isAway(refusal.problem);
  if (response.status === 401 && mine && mine === token.value) ended.value = true;
  throw refusal;
}

async function refused(response: Response): Promise<Refusal> {
  const retryAfter = Number(response.headers.get('retry-after')) || null;
  const body: unknown = await response.json().catch(() => null);
  return new Refusal(asProblem(body, response.status), retryAfter);
}

/** A problem document, or the like of one where something between answered in its own words. */
export function asProblem(body: unknown, status: number): Problem {
  if (body && typeof body === 'object' && 'code' in body && 'detail' in body) return body as Problem;
  return {
    type: 'about:blank', title: `HTTP ${status}`, status, code: 'unknown', errors: [], request_id: null,
    detail: `The answer was ${status}, and not one of Darkroom's.`,
    mend: 'Try again; if it lasts, tell the operator.',
  };
}

type Asked = { params?: { path?: Record<string, string>; query?: Record<string, unknown> }; body?: unknown; signal?: AbortSignal };

const by = (method: string) => async (path: string, { params = {}, body, signal }: Asked = {}) => {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(params.query ?? {})) if (value != null) query.set(name, String(value));
  const at = path.replace(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(params.path![name]!));
  const json = body === undefined ? {} : { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } };
  const text = await (await send(new Request(`${BASE}${at}?${query}`.replace(/\?$/, ''), { method, signal, ...json }))).text();
  return { data: text ? JSON.parse(text) : undefined };
};

/** Typed by openapi/openapi.json. The types are the package's; what it does besides weighs more than all that is done here. */
export const api = { GET: by('GET'), POST: by('POST'), PUT: by('PUT'), PATCH: by('PATCH'), DELETE: by('DELETE') } as unknown as Client<paths>;

/** The body of an answer; what went wrong was thrown by `send`. */
export async function got<T>(answer: Promise<{ data?: T }>): Promise<T> {
  return (await answer).data as T;
}

/** What to tell a person of anything that was thrown. */
export function problemOf(error: unknown): Problem {
  if (error instanceof Refusal) return error.problem;
  const lost = error instanceof Unreachable || (error instanceof DOMException && error.name === 'TimeoutError');
  return {
    type: 'about:blank', title: lost ? 'No connection' : 'Error', status: 0, code: lost ? 'unreachable' : 'page', errors: [], request_id: null,
    detail: lost ? 'The server cannot be reached.' : String(error),
    mend: lost ? 'Check the network. Nothing that you entered is lost.' : 'Reload the page; if it happens again, tell the operator.',
  };
}

/** Every item of a list, page after page, up to a bound. */
export async function all<T>(page: (cursor: string | undefined) => Promise<Paged<T>>, most = 2_000): Promise<T[]> {
  const items: T[] = [];
  let cursor: string | undefined;
  do {
    const next = await page(cursor);
    items.push(...next.items);
    cursor = next.next_cursor ?? undefined;
  } while (cursor && items.length < most);
  return items;
}
