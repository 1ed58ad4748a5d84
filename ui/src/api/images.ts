import { api, got, send, BASE, Refusal, type Schemas } from './client';

export type Image = Schemas['ImageOut'];
export type ImageRecord = Schemas['ImageRecordOut'];
export type Status = Schemas['StatusItem'];
export type Result = Schemas['ResultOut'];

export const record = (md5: string, signal?: AbortSignal) =>
  got(api.GET('/images/{md5}', { params: { path: { md5 } }, signal }));

/** What happened to up to 1,000 images. */
export const statuses = async (images: string[], results: boolean, signal?: AbortSignal): Promise<Status[]> =>
  (await got(api.POST('/predict/status', { body: { images, results }, signal }))).items;

export const prediction = (md5: string, wait_s: number, signal?: AbortSignal) =>
  got(api.GET('/predict/{md5}', { params: { path: { md5 }, query: { wait_s } }, signal }));

/** The bytes as they were uploaded. */
export const original = async (md5: string, signal?: AbortSignal): Promise<Blob> =>
  (await send(new Request(`${BASE}/images/${md5}/content`, { signal }))).blob();

/** A small picture; null while there is none. */
export async function thumbnail(md5: string, size: 256 | 1024, signal?: AbortSignal): Promise<Blob | null> {
  try {
    return await (await send(new Request(`${BASE}/images/${md5}/thumbnail?size=${size}`, { signal }))).blob();
  } catch (error) {
    if (error instanceof Refusal && error.problem.status === 404) return null;
    throw error;
  }
}
