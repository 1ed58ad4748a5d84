/** Cases, their members, tags, notes and filters. A server without them answers null, and the page shows none. */
import { all, json, perhaps, type Paged } from './client';

export type CaseRole = 'owner' | 'editor' | 'viewer';
export type Case = {
  id: string;
  name: string;
  description: string;
  own: boolean;
  role: CaseRole | null;
  images: number;
  /** Whether it may hold more than were counted. */
  at_least?: boolean;
  members: { user: string; role: CaseRole; added_at: string }[];
  created_at: string;
  closed_at: string | null;
};
export type Tag = { tag: string; images: number };
export type Note = { id: string; image: string | null; text: string; user: string; created_at: string };
export type SavedFilter = { name: string; filter: string };

/** Null where this server has no cases. */
export async function cases(): Promise<Case[] | null> {
  let none = false;
  const found = await all<Case>(async (cursor) => {
    const page = await perhaps<Paged<Case>>(`/cases?limit=200${cursor ? `&cursor=${encodeURIComponent(cursor)}` : ''}`);
    none ||= page === null;
    return page ?? { items: [] };
  });
  return none ? null : found;
}

const at = (id: string) => `/cases/${encodeURIComponent(id)}`;
export const oneCase = (id: string) => perhaps<Case>(at(id));
export const makeCase = (name: string, description: string) => perhaps<Case>('/cases', json('POST', { name, description }));
export const changeCase = (id: string, change: { name?: string; description?: string; closed?: boolean }) =>
  perhaps<Case>(at(id), json('PATCH', change));
export const deleteCase = (id: string) => perhaps<Record<string, unknown>>(at(id), { method: 'DELETE' });
export const setMember = (id: string, user: string, role: CaseRole) =>
  perhaps(`${at(id)}/members/${encodeURIComponent(user)}`, json('PUT', { role }));
export const removeMember = (id: string, user: string) =>
  perhaps(`${at(id)}/members/${encodeURIComponent(user)}`, { method: 'DELETE' });
export const tags = async (id: string) => (await perhaps<Paged<Tag>>(`${at(id)}/tags`))?.items ?? [];
export const tag = (id: string, images: string[], add: string[], remove: string[]) =>
  perhaps<{ items: { md5: string; tags: string[]; problem: unknown }[] }>(`${at(id)}/tags`, json('POST', { images, add, remove }));
export const notes = async (id: string, image: string | null) =>
  (await perhaps<Paged<Note>>(`${at(id)}/notes${image ? `?image=${image}` : ''}`))?.items ?? [];
export const addNote = (id: string, image: string | null, text: string) => perhaps<Note>(`${at(id)}/notes`, json('POST', { image, text }));
export const removeNote = (id: string, note: string) => perhaps(`${at(id)}/notes/${note}`, { method: 'DELETE' });
export const filters = async (id: string) => (await perhaps<Paged<SavedFilter>>(`${at(id)}/filters`))?.items ?? [];
export const saveFilter = (id: string, name: string, filter: string) =>
  perhaps(`${at(id)}/filters/${encodeURIComponent(name)}`, json('PUT', { filter }));
export const removeFilter = (id: string, name: string) =>
  perhaps(`${at(id)}/filters/${encodeURIComponent(name)}`, { method: 'DELETE' });
