import { all, api, got, type Paged, type Schemas } from './client';

export type Model = Schemas['ModelOut'];
export type Worker = Schemas['WorkerOut'];
export type Moment = Schemas['ModelMoment'];

export const models = (retired = false, signal?: AbortSignal) =>
  all<Model>((cursor) => got(api.GET('/models', { params: { query: { limit: 500, cursor, retired } }, signal })));
/** What the stream of events says of them, if it is all of them. */
export const listed = (states: unknown[]): Model[] | null => {
  const page = states[0] as Paged<Model>;
  return page.next_cursor ? null : page.items;
};
export const changeModel = (name: string, body: Schemas['UpdateModel']) =>
  got(api.PATCH('/models/{name}', { params: { path: { name } }, body }));
export const workers = (signal?: AbortSignal) =>
  all<Worker>((cursor) => got(api.GET('/workers', { params: { query: { limit: 500, cursor } }, signal })));
/** Asks it to finish what it holds, take no more, and end. */
export const drainWorker = (worker: string) =>
  got(api.PATCH('/workers/{id}', { params: { path: { id: worker } }, body: { draining: true } }));
/** How it stood over the last hours, oldest first. */
export const history = async (name: string, hours: number, signal?: AbortSignal): Promise<Moment[]> =>
  (await got(api.GET('/models/{name}/history', { params: { path: { name }, query: { hours } }, signal }))).items;
