/** What is taken away of cases, as files. */
import { api, BASE, got, Refusal, send, Unreachable, type Schemas } from './client';

export type Export = Schemas['Export'];
export type ExportFormat = Schemas['ExportFormat'];

/** As many as one may have at all. */
const LIMIT = 100;

export const exportsOf = async (ofCase: string, signal?: AbortSignal) =>
  (await got(api.GET('/exports', { params: { query: { case: ofCase, limit: LIMIT } }, signal }))).items;
export const askExport = (ofCase: string, q: string, format: ExportFormat) => got(api.POST('/exports', { body: { case: ofCase, q, format } }));
export const removeExport = (id: string) => got(api.DELETE('/exports/{id}', { params: { path: { id } } }));

/** How much is fetched by one request: what breaks off costs no more than that. */
const PIECE = 16 << 20;
/** How often in a row a piece is tried again, and how long before that. */
const TRIES = 8;
const PAUSE_S = 2;

/** Where the bytes of a file go. */
export type Sink = { write: (piece: Blob) => Promise<void>; close: () => Promise<void> };

/** Fetches the bytes of an export, piece by piece; tells how many came. */
export async function fetchExport(one: Export, into: Sink, signal: AbortSignal, tell: (bytes: number) => void): Promise<void> {
  const bytes = one.bytes ?? 0;
  for (let from = 0; from < bytes; from += PIECE) {
    await into.write(await piece(one, from, Math.min(bytes, from + PIECE), signal));
    tell(Math.min(bytes, from + PIECE));
  }
  await into.close();
}

async function piece(one: Export, from: number, to: number, signal: AbortSignal): Promise<Blob> {
  for (let tried = 1; ; tried += 1) {
    try {
      const headers = { range: `bytes=${from}-${to - 1}` };
      const came = await (await send(new Request(`${BASE}/exports/${one.id}/content`, { headers, signal }))).blob();
      if (came.size === to - from) return came;
      throw new Unreachable('The connection broke off.');
    } catch (error) {
      const final = signal.aborted || (error instanceof Refusal && error.problem.status < 500 && error.problem.status !== 429);
      if (final || tried === TRIES) throw error;
      await new Promise((again) => setTimeout(again, PAUSE_S * 1_000));
    }
  }
}
