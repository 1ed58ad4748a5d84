/** What the gallery shows: found by a filter, newest first. */
import { api, got, type Paged, type Schemas } from './client';

/** One photograph in a list. */
export type Hit = Schemas['Hit'];
export type Counts = Schemas['CountsOut'];

/** The most that one page of a list holds. */
const LIMIT = 500;

const query = (q: string, inCase: string | null) => ({ q: q || undefined, case: inCase ?? undefined });

export const find = (q: string, inCase: string | null, cursor: string | null, signal?: AbortSignal): Promise<Paged<Hit>> =>
  got(api.GET('/search', { params: { query: { ...query(q, inCase), limit: LIMIT, cursor: cursor ?? undefined } }, signal }));

export const counts = (q: string, inCase: string | null, signal?: AbortSignal) => got(api.GET('/search/counts', { params: { query: query(q, inCase) }, signal }));
