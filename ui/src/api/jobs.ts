import { all, api, got, type Schemas } from './client';

export type Job = Schemas['JobDetail'];
export type JobHistory = Schemas['JobHistory'];
export type JobState = Schemas['JobState'];
export type Redrive = Schemas['Redrive'];

type Which = { model?: string; state?: JobState; md5?: string; submission?: string };

export const jobs = (which: Which, cursor: string | null, signal?: AbortSignal) =>
  got(api.GET('/jobs', { params: { query: { ...which, limit: 100, cursor: cursor ?? undefined } }, signal }));
/** All of them, up to 2,000. */
export const everyJob = (which: Which, signal?: AbortSignal) =>
  all<Job>((cursor) => got(api.GET('/jobs', { params: { query: { ...which, limit: 500, cursor } }, signal })));
export const job = (id: string, signal?: AbortSignal) => got(api.GET('/jobs/{id}', { params: { path: { id } }, signal }));
export const cancelJob = (id: string) => got(api.POST('/jobs/{id}/cancel', { params: { path: { id } } }));
export const retryJob = (id: string) => got(api.POST('/jobs/{id}/retry', { params: { path: { id } } }));
export const redrive = (body: Redrive) => got(api.POST('/jobs/redrive', { body }));
