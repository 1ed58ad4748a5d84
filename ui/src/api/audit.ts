import { api, got, type Schemas } from './client';

export type Act = Schemas['AuditAct'];
export type Sought = { account?: string; code?: string; subject?: string; after?: string; before?: string };

export const acts = (sought: Sought, cursor: string | null, signal?: AbortSignal) =>
  got(api.GET('/search/audit', { params: { query: { ...sought, limit: 100, cursor: cursor ?? undefined } }, signal }));
