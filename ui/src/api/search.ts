/** What the gallery shows: found by a filter where the server searches, else simply listed. */
import { signal } from '@preact/signals';
import { api, got, perhaps, type Paged } from './client';

/** One photograph in a list. */
export type Hit = {
  md5: string;
  name?: string | null;
  case?: string | null;
  uploaded_at: string;
  by?: string | null;
  media_type: string;
  bytes: number;
  width: number;
  height: number;
  orientation?: number | null;
  tags?: string[];
  taken_at?: string | null;
  camera?: string | null;
  placeholder?: string | null;
  distance?: number | null;
};

export type Counts = {
  images: { count: number; at_least: boolean };
  labels: { label: string; images: number }[];
  models: { model: string; images: number }[];
  tags: { tag: string; images: number }[];
};

/** The most that one page of a list holds. */
const LIMIT = 500;

const query = (parts: Record<string, string | number | null | undefined>): string => {
  const said = Object.entries(parts).filter(([, value]) => value !== null && value !== undefined && value !== '');
  return '?' + new URLSearchParams(said.map(([key, value]) => [key, String(value)]));
};

/** Whether this server searches; unknown until it was asked. */
export const searches = signal<boolean | null>(null);

export async function find(q: string, inCase: string | null, cursor: string | null, signal?: AbortSignal): Promise<Paged<Hit>> {
  if (searches.value !== false) {
    const found = await perhaps<Paged<Hit>>('/search' + query({ q, case: inCase, limit: LIMIT, cursor }), { signal });
    searches.value = found !== null;
    if (found) return found;
  }
  return got(api.GET('/images', { params: { query: { case: inCase ?? undefined, limit: LIMIT, cursor: cursor ?? undefined } }, signal }));
}

export const counts = (q: string, inCase: string | null, signal?: AbortSignal) =>
  perhaps<Counts>('/search/counts' + query({ q, case: inCase }), { signal });
