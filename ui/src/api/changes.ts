/** What changed between two versions of a model, on many photographs or on one. */
import { api, got, type Paged, type Schemas } from './client';

export type Change = Schemas['Change'];
export type ChangedItems = Schemas['ChangedItems'];
export type ChangeCounts = Schemas['ChangeCountsOut'];
export type ChangeKind = Schemas['ChangeKind'];
/** Of which photographs by which versions. */
export type Compared = { model: string; from: string; to: string; q?: string; case?: string };

/** Few at once: each is shown with two pictures. */
const LIMIT = 24;

export const changes = (of: Compared, kind: ChangeKind | null, label: string | null, cursor: string | null): Promise<Paged<Change>> =>
  got(api.GET('/search/changes', { params: { query: { ...of, kind: kind ?? undefined, label: label ?? undefined, limit: LIMIT, cursor: cursor ?? undefined } } }));

/** Between two results of one photograph, by their jobs. */
export const changedItems = (md5: string, from: string, to: string, signal?: AbortSignal) =>
  got(api.GET('/images/{md5}/changes', { params: { path: { md5 }, query: { from, to } }, signal }));

export const changeCounts = (of: Compared, signal?: AbortSignal) => got(api.GET('/search/changes/counts', { params: { query: of }, signal }));
