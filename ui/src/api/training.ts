import { all, api, got, send, BASE, type Schemas } from './client';

export type Run = Schemas['RunOut'];
export type RunDetail = Schemas['RunDetail'];
export type Dataset = Schemas['DatasetOut'];

export const datasets = (signal?: AbortSignal) =>
  all<Dataset>((cursor) => got(api.GET('/training/datasets', { params: { query: { limit: 500, cursor } }, signal })));
export const runs = (cursor: string | null, signal?: AbortSignal) =>
  got(api.GET('/training/results', { params: { query: { limit: 50, cursor: cursor ?? undefined } }, signal }));
export const run = (id: string, after: number | undefined, wait_s: number, signal?: AbortSignal) =>
  got(api.GET('/training/results/{id}', { params: { path: { id }, query: { after, wait_s } }, signal }));
export const train = (body: Record<string, unknown>) => got(api.POST('/training/train', { body: body as never }));
export const promote = (id: string, model: string, version: string | undefined) =>
  got(api.POST('/training/results/{id}/promote', { params: { path: { id } }, body: { model, version } }));
export const modelFile = async (id: string): Promise<Blob> =>
  (await send(new Request(`${BASE}/training/results/${id}/model`))).blob();
