/** Photographs on their way to the server: hashed, known ones named, new ones sent; paused, resumed, and never lost sight of. */
import { batch, computed, effect, signal, untracked } from '@preact/signals';
import { asProblem, ended, problemOf, Refusal, token, Unreachable, type Problem } from '../api/client';
import { statuses } from '../api/images';
import { submit, type Submitted } from '../api/submissions';
import type { Chosen } from '../parts/choose';
import { paramsOf } from '../parts/choose';
import { uuid } from '../parts/format';
import { hash } from './hashing';
import { send } from './send';
import { me } from './session';

export type FileState = 'waiting' | 'hashing' | 'ready' | 'sending' | 'taken' | 'refused' | 'skipped';
export type Item = { file: File; path: string; state: FileState; md5: string | null; known: boolean; sent: number; problem: Problem | null };

/** One POST carries at most so much: what is lost with the connection is sent again. */
const [FILES_MAX, BYTES_MAX] = [24, 24 * 1024 * 1024];
/** Hashes that one request names, and that one question asks about. */
const NAMED_MAX = 500;
/** The most jobs of one request. */
const JOBS_MAX = 10_000;
const AT_ONCE = 3;
const RATE_OVER_S = 8;
const AGAIN_MAX_S = 15;
/** After so long without anything that moves it is said. */
const QUIET_S = 10;
const QUIET = `Nothing has moved for ${QUIET_S} seconds: the server is busy, or the network is gone. It goes on by itself.`;
/** Everybody's own: who signs in on the same browser neither sees nor replaces another's. */
const stored = () => `darkroom.upload.${me.value?.name}`;

/** What is kept in the browser of an upload under way: no names, no bytes. */
export type Stored = { submission: string; models: string[]; params: Chosen; ofCase: string | null; files: number; done: number };

export const items = signal<Item[]>([]);
/** Rises with whatever changes in an item: they are too many to be signals each. */
export const tick = signal(0);
export const chosen = signal<Chosen>({});
export const ofCase = signal<string | null>(null);
export const rerun = signal(false);
export const submission = signal<string | null>(null);
export const phase = signal<'choosing' | 'sending' | 'paused' | 'done'>('choosing');
export const problem = signal<Problem | null>(null);
export const waitingFor = signal<string | null>(null);
export const rate = signal(0);

export const totals = computed(() => {
  void tick.value;
  const sum = { files: 0, bytes: 0, sent: 0, known: 0, taken: 0, refused: 0, skipped: 0, hashed: 0 };
  for (const item of items.value) {
    sum.files += 1;
    if (item.state === 'refused') sum.refused += 1;
    if (item.state === 'skipped') sum.skipped += 1;
    if (item.state === 'taken') sum.taken += 1;
    if (item.known) sum.known += 1;
    if (item.state !== 'waiting' && item.state !== 'hashing') sum.hashed += 1;
    // What is known costs no bytes, and what is refused no longer does.
    if (item.known || item.state === 'skipped' || item.state === 'refused') continue;
    sum.bytes += item.file.size;
    sum.sent += item.state === 'taken' ? item.file.size : item.sent;
  }
  return sum;
});

let touched = false;
function touch(): void {
  if (touched) return;
  touched = true;
  // A thousand changes are drawn once.
  setTimeout(() => {
    touched = false;
    tick.value += 1;
  }, 120);
}

// ── what comes in

export function add(found: { file: File; path: string }[]): void {
  const seen = new Set(items.value.map((item) => `${item.path}\n${item.file.size}\n${item.file.lastModified}`));
  const fresh = found.filter(({ file, path }) => !seen.has(`${path}\n${file.size}\n${file.lastModified}`));
  items.value = [...items.value, ...fresh.map(({ file, path }): Item => ({ file, path, state: 'waiting', md5: null, known: false, sent: 0, problem: null }))];
  if (phase.value === 'done') phase.value = 'choosing';
  void prepare();
}

const skip = (item: Item, state: 'skipped' | 'refused', detail: string, mend: string) => {
  item.state = state;
  item.problem = { ...asProblem(null, 422), title: 'Not sent', code: 'not_sent', detail, mend };
};

let preparing = false;
async function prepare(): Promise<void> {
  if (preparing) return;
  preparing = true;
  const hashed: Item[] = [];
  const whose = owner;
  const inHand: Promise<void>[] = [];
  for (let item = nextWaiting(); item && whose === owner; item = nextWaiting()) {
    const mine = item;
    mine.state = 'hashing';
    inHand.push(hashOne(mine).then(() => { if (mine.state === 'hashing') hashed.push(mine); touch(); }));
    if (inHand.length >= 4) await inHand.shift();
    if (hashed.length >= 50) await askKnown(hashed.splice(0));
  }
  await Promise.all(inHand);
  if (whose === owner) await askKnown(hashed);
  preparing = false;
  if (nextWaiting()) void prepare();
  else pump();
}

/** Everything before it has been hashed: a hundred thousand files are not gone through for each. */
let unhashed = 0;
function nextWaiting(): Item | undefined {
  const all = items.value;
  while (unhashed < all.length && all[unhashed]!.state !== 'waiting') unhashed += 1;
  return all[unhashed];
}

async function hashOne(item: Item): Promise<void> {
  if (item.file.size === 0) return skip(item, 'skipped', 'The file is empty.', 'Copy it again if it should have content.');
  const answer = await hash(item.file);
  if ('error' in answer) skip(item, 'refused', 'The file could not be read.', 'Check that it is still there and may be read, then choose it again.');
  else if (!answer.image) skip(item, 'skipped', 'It is not a photograph, so nothing of it was sent.', 'JPEG, PNG, GIF, BMP, TIFF, WebP, HEIC and AVIF are; the content decides, whatever the name.');
  else item.md5 = answer.md5;
}

/** Which of them the server has; a server that is away is asked later, at the latest by sending. */
async function askKnown(asked: Item[]): Promise<void> {
  for (let from = 0; from < asked.length; from += NAMED_MAX) {
    const some = asked.slice(from, from + NAMED_MAX);
    const found = await statuses(some.map((item) => item.md5!), false).catch(() => []);
    some.forEach((item, at) => {
      item.known = !!found[at] && !found[at].problem;
      item.state = 'ready';
    });
  }
  touch();
  pump();
}

// ── what goes out

const running = new Set<AbortController>();

export function start(): void {
  submission.value ??= uuid();
  problem.value = null;
  phase.value = 'sending';
  remember();
  pump();
}

/** What is half sent is sent again later: the submission's id keeps it from being done twice. */
export function pause(): void {
  phase.value = 'paused';
  waitingFor.value = null;
  for (const abort of running) abort.abort();
}

export function clear(): void {
  empty();
  localStorage.removeItem(stored());
}

function empty(): void {
  pause();
  unhashed = 0;
  batch(() => {
    items.value = [];
    submission.value = null;
    problem.value = null;
    phase.value = 'choosing';
  });
}

/** Whose upload this is. */
let owner: string | null = null;
/** Whoever comes next gets nothing of it; what is kept of it in the browser waits for whoever went. */
function forget(): void {
  empty();
  clearTimeout(resting);
  resting = failures = 0;
  batch(() => {
    chosen.value = {};
    ofCase.value = waitingFor.value = null;
    rerun.value = false;
  });
}

export function remove(item: Item): void {
  items.value = items.value.filter((one) => one !== item);
  unhashed = 0;
}

function pump(): void {
  if (phase.value !== 'sending' || !token.value || ended.value || resting) return;
  while (running.size < AT_ONCE) {
    const next = nextBatch();
    if (!next) break;
    void sendBatch(next);
  }
  if (running.size === 0 && !preparing && !items.value.some((item) => ['waiting', 'hashing', 'ready', 'sending'].includes(item.state))) finish();
}

function finish(): void {
  phase.value = 'done';
  rate.value = 0;
  localStorage.removeItem(stored());
}

function nextBatch(): Item[] | null {
  const first = items.value.find((item) => item.state === 'ready');
  if (!first) return null;
  const models = Math.max(1, Object.keys(chosen.value).length);
  const most = Math.min(first.known ? NAMED_MAX : FILES_MAX, Math.floor(JOBS_MAX / models));
  const some: Item[] = [];
  let bytes = 0;
  for (const item of items.value) {
    if (item.state !== 'ready' || item.known !== first.known) continue;
    if (some.length >= most || (some.length > 0 && !item.known && bytes + item.file.size > BYTES_MAX)) break;
    some.push(item);
    bytes += item.file.size;
  }
  for (const item of some) item.state = 'sending';
  return some;
}

async function sendBatch(some: Item[]): Promise<void> {
  const abort = new AbortController();
  running.add(abort);
  movedAt = performance.now();
  try {
    const answer = some[0]!.known ? await nameThem(some, abort.signal) : await sendThem(some, abort.signal);
    settle(some, answer);
    failures = 0;
    waitingFor.value = null;
  } catch (error) {
    putBack(some, error, abort.signal.aborted);
  } finally {
    running.delete(abort);
    touch();
    remember();
    pump();
  }
}

const common = () => ({ models: Object.keys(chosen.value), params: paramsOf(chosen.value), rerun: rerun.value, submission: submission.value!, ...(ofCase.value ? { case: ofCase.value } : {}) });

const nameThem = (some: Item[], signal: AbortSignal) => submit({ images: some.map((item) => item.md5!), ...common() }, signal);

function sendThem(some: Item[], signal: AbortSignal): Promise<Submitted> {
  const form = new FormData();
  const { models, params, ...rest } = common();
  // First what decides, so that the server refuses before the bytes come.
  for (const model of models) form.append('models', model);
  form.append('params', JSON.stringify(params));
  for (const [name, value] of Object.entries(rest)) form.append(name, String(value));
  for (const item of some) form.append('images', item.file, item.path);
  let before = 0;
  return send(form, signal, (loaded) => {
    movedAt = performance.now();
    if (waitingFor.value === QUIET) waitingFor.value = null;
    sentBytes += Math.max(0, loaded - before);
    before = loaded;
    share(some, loaded);
  });
}

/** How much of each file is out, of what is out of all. */
function share(some: Item[], loaded: number): void {
  let left = loaded;
  for (const item of some) {
    item.sent = Math.min(item.file.size, left);
    left -= item.sent;
  }
  touch();
}

function settle(some: Item[], answer: Submitted): void {
  for (const image of answer.images) {
    const item = some[image.index];
    if (item) Object.assign(item, { state: 'taken', sent: item.file.size, md5: image.md5, problem: null });
  }
  for (const refused of answer.rejected) {
    const item = some[refused.index];
    if (!item) continue;
    // What was known, and is gone meanwhile, is sent after all.
    if (item.known) Object.assign(item, { state: 'ready', known: false });
    else Object.assign(item, { state: 'refused', problem: refused.problem });
  }
}

let failures = 0;
/** What did not arrive waits, or is refused for good, or stops everything until somebody mends it. */
function putBack(some: Item[], error: unknown, aborted: boolean): void {
  for (const item of some) Object.assign(item, { state: 'ready', sent: 0 });
  if (aborted) return;
  const said = problemOf(error);
  if (said.code === 'nothing_accepted') return refuseEach(some, said);
  if (said.status === 413 && some.length === 1) return void Object.assign(some[0]!, { state: 'refused', problem: said });
  if (said.status === 401) return void (waitingFor.value = ended.value ? 'Your session has ended. Sign in, and it goes on.' : null);
  if (error instanceof Unreachable || said.status >= 500 || said.status === 429) return goOnLater(said, error);
  problem.value = said;
  phase.value = 'paused';
}

function refuseEach(some: Item[], said: Problem): void {
  for (const one of said.errors) {
    const item = some[Number(one.pointer.split('/').pop())];
    if (!item) continue;
    if (item.known) item.known = false;
    else Object.assign(item, { state: 'refused', problem: { ...said, title: 'Refused', code: one.code, detail: one.detail, errors: [] } });
  }
}

/** Until then nothing new is sent. */
let resting = 0;
function goOnLater(said: Problem, error: unknown): void {
  failures += 1;
  const seconds = (error instanceof Refusal && error.retryAfter) || Math.min(AGAIN_MAX_S, 2 ** failures);
  waitingFor.value = `${said.detail} Trying again; nothing is lost.`;
  clearTimeout(resting);
  resting = window.setTimeout(goOn, seconds * 1_000);
}

function goOn(): void {
  clearTimeout(resting);
  resting = 0;
  pump();
}

// ── how fast, and what is kept

let sentBytes = 0;
let movedAt = 0;
setInterval(() => {
  const now = sentBytes / RATE_OVER_S;
  // A running mean: what is older than a few seconds fades.
  sentBytes -= now;
  if (running.size > 0 && !waitingFor.value && performance.now() - movedAt > QUIET_S * 1_000) waitingFor.value = QUIET;
  rate.value = phase.value === 'sending' && !waitingFor.value ? now : 0;
}, 1_000);

function remember(): void {
  if (!submission.value || !me.value || phase.value === 'done') return;
  const { files, taken, refused, skipped } = totals.value;
  const record: Stored = { submission: submission.value, models: Object.keys(chosen.value), params: chosen.value, ofCase: ofCase.value, files, done: taken + refused + skipped };
  localStorage.setItem(stored(), JSON.stringify(record));
}

/** An upload of this account that was cut off with its tab. */
export function cutOff(): Stored | null {
  try {
    return items.value.length === 0 ? (JSON.parse(localStorage.getItem(stored()) ?? 'null') as Stored | null) : null;
  } catch {
    return null;
  }
}

/** Goes on with it: the files are chosen again, what has arrived is not sent again. */
export function takeUp(stored: Stored): void {
  submission.value = stored.submission;
  chosen.value = stored.params;
  ofCase.value = stored.ofCase;
}

addEventListener('online', goOn);
addEventListener('beforeunload', (event) => {
  if (phase.value === 'sending') event.preventDefault();
});
effect(() => {
  const name = me.value?.name ?? null;
  if (name === owner) return;
  owner = name;
  untracked(forget);
});
effect(() => {
  if (!ended.value) {
    waitingFor.value = null;
    queueMicrotask(goOn);
  }
});
