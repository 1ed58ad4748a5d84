/** Cases, their members, tags, notes and filters. */
import { all, api, got, type Schemas } from './client';

export type Case = Schemas['Case'];
export type CaseRole = Schemas['CaseRole'];
export type CaseReceipt = Schemas['CaseReceipt'];
export type Tag = Schemas['TagCount'];
export type Tagged = Schemas['TaggedImage'];
export type Note = Schemas['Note'];
export type SavedFilter = Schemas['SavedFilter'];

const of = (id: string) => ({ params: { path: { id } } });

export const cases = () => all<Case>((cursor) => got(api.GET('/cases', { params: { query: { limit: 500, cursor } } })));
export const oneCase = (id: string) => got(api.GET('/cases/{id}', of(id)));
export const makeCase = (name: string, description: string) => got(api.POST('/cases', { body: { name, description } }));
export const changeCase = (id: string, body: Schemas['UpdateCase']) => got(api.PATCH('/cases/{id}', { ...of(id), body }));
export const deleteCase = (id: string) => got(api.DELETE('/cases/{id}', of(id)));
/** How far a deletion is. */
export const receipt = (id: string, signal?: AbortSignal) => got(api.GET('/cases/{id}/receipt', { ...of(id), signal }));

export const setMember = (id: string, user: string, role: CaseRole) =>
  got(api.PUT('/cases/{id}/members/{user}', { params: { path: { id, user } }, body: { role } }));
export const removeMember = (id: string, user: string) => got(api.DELETE('/cases/{id}/members/{user}', { params: { path: { id, user } } }));

export const tags = async (id: string) => (await got(api.GET('/cases/{id}/tags', of(id)))).items;
/** Answers what became of each image, with all tags that it now has. */
export const tag = async (id: string, images: string[], add: string[], remove: string[]) =>
  (await got(api.POST('/cases/{id}/tags', { ...of(id), body: { images, add, remove } }))).items;

/** The newest first, page after page. */
export const notes = (id: string, image: string, cursor: string | undefined, signal?: AbortSignal) =>
  got(api.GET('/cases/{id}/notes', { params: { path: { id }, query: { image, limit: 100, cursor } }, signal }));
export const addNote = (id: string, image: string, text: string) => got(api.POST('/cases/{id}/notes', { ...of(id), body: { image, text } }));
export const removeNote = (id: string, note: string) => got(api.DELETE('/cases/{id}/notes/{note}', { params: { path: { id, note } } }));

export const filters = async (id: string) => (await got(api.GET('/cases/{id}/filters', of(id)))).items;
export const saveFilter = (id: string, name: string, filter: string) =>
  got(api.PUT('/cases/{id}/filters/{name}', { params: { path: { id, name } }, body: { filter } }));
