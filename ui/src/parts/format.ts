/** Numbers, times and names as people read them. */

const NUMBER = new Intl.NumberFormat('en');
export const count = (n: number) => NUMBER.format(n);
export const many = (n: number, one: string, more = `${one}s`) => `${count(n)} ${n === 1 ? one : more}`;

export function size(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let unit = 0;
  let value = bytes;
  while (value >= 1_000 && unit < units.length - 1) {
    value /= 1_000;
    unit += 1;
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

export function seconds(s: number): string {
  if (s < 1) return `${Math.round(s * 1_000)} ms`;
  if (s < 90) return `${s < 10 ? s.toFixed(1) : Math.round(s)} s`;
  if (s < 90 * 60) return `${Math.round(s / 60)} min`;
  if (s < 36 * 3_600) return `${(s / 3_600).toFixed(1)} h`;
  return `${Math.round(s / 86_400)} days`;
}

/** In words with what it was: the clock of the browser may be wrong, so no "ago". */
const DAY = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'short' });
export function when(at: string | null | undefined): string {
  const time = at ? new Date(at) : null;
  return time && !Number.isNaN(time.getTime()) ? DAY.format(time) : '–';
}

/** Enough of an id or a hash to tell it from others: ids begin with the time, which many share. */
export const short = (id: string) => (id.includes('-') ? id.slice(-8) : id.slice(0, 8));

/** JSON to be read: lists of numbers take one line. */
export const pretty = (of: unknown) => JSON.stringify(of, null, 1).replace(/\[[^[\]{}"]*\]/g, (list) => list.replace(/\s+/g, ' '));

/** A value of a result's fields. */
export function value(of: unknown): string {
  if (of === null || of === undefined) return '–';
  if (typeof of === 'number') return Number.isInteger(of) ? count(of) : String(Number(of.toPrecision(5)));
  if (typeof of === 'boolean') return of ? 'yes' : 'no';
  return typeof of === 'string' ? of : JSON.stringify(of);
}

/** Upright: a camera held sideways says so in the file. */
export function upright(image: { width: number; height: number; orientation?: number | null }): [number, number] {
  return (image.orientation ?? 1) >= 5 ? [image.height, image.width] : [image.width, image.height];
}

const STATES: Record<string, string> = {
  queued: 'waiting', running: 'running', succeeded: 'done', partial: 'partly done', failed: 'failed', cancelled: 'cancelled',
};
export const stateWord = (state: string | null | undefined) => (state ? (STATES[state] ?? state) : 'unknown');
const TONES: Record<string, string> = { queued: 'wait', running: 'run', succeeded: 'ok', partial: 'part', failed: 'no', cancelled: 'off' };
export const tone = (state: string | null | undefined) => TONES[state ?? ''] ?? 'off';

const WAITING: Record<string, string> = {
  no_live_worker: 'no worker of this model is running', paused: 'the model is paused', backoff: 'to be tried again', limit: 'as many run as may',
};
export const waitingWord = (why: string | null | undefined) => (why ? (WAITING[why] ?? why) : '');
const REASONS: Record<string, string> = {
  rejected: 'the model refused it', exhausted: 'out of attempts', poisoned: 'it killed its workers', expired: 'not done in time',
};
export const reasonWord = (reason: string | null | undefined) => (reason ? (REASONS[reason] ?? reason) : '');

/** The mean colour of a picture, out of its placeholder (a ThumbHash). */
export function meanColour(placeholder: string | null | undefined): string | undefined {
  if (!placeholder) return undefined;
  let bytes: string;
  try {
    bytes = atob(placeholder);
  } catch {
    return undefined;
  }
  const header = bytes.charCodeAt(0) | (bytes.charCodeAt(1) << 8) | (bytes.charCodeAt(2) << 16);
  const [light, p, q] = [(header & 63) / 63, ((header >> 6) & 63) / 31.5 - 1, ((header >> 12) & 63) / 31.5 - 1];
  const blue = light - (2 / 3) * p;
  const red = (3 * light - blue + q) / 2;
  const part = (of: number) => Math.round(Math.min(1, Math.max(0, of)) * 255);
  return `rgb(${part(red)} ${part(red - q)} ${part(blue)})`;
}

/** A random UUID, where the page came without TLS too. */
export function uuid(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6]! & 0x0f) | 0x40;
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}
