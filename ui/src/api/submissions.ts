import { api, got, type Schemas } from './client';

export type Submission = Schemas['SubmissionOut'];
export type Submitted = Schemas['Submitted'];
export type Counts = Schemas['StateCounts'];
export type Overall = Schemas['Overall'];

export const submissions = (ofCase: string | null, cursor: string | null, signal?: AbortSignal) =>
  got(api.GET('/submissions', { params: { query: { case: ofCase ?? undefined, limit: 50, cursor: cursor ?? undefined } }, signal }));
export const submission = (id: string, cursor: string | null, signal?: AbortSignal) =>
  got(api.GET('/submissions/{id}', { params: { path: { id }, query: { limit: 100, cursor: cursor ?? undefined } }, signal }));
export const cancelSubmission = (id: string) => got(api.POST('/submissions/{id}/cancel', { params: { path: { id } } }));

/** Runs models on images that are stored. */
export const submit = (body: Schemas['SubmitHashes'], signal?: AbortSignal): Promise<Submitted> => got(api.POST('/predict', { body, signal }));
