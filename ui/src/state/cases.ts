/** The cases that one is a member of; null until they are there. */
import { signal } from '@preact/signals';
import { cases, type Case } from '../api/cases';
import { may, me } from './session';

export const caseList = signal<Case[] | null>(null);

export async function loadCases(): Promise<void> {
  caseList.value = await cases();
}

/** The name of a case, as people know it. */
export const caseName = (one: Case) => (one.own && one.role === 'owner' && one.members.length === 1 && one.members[0]?.user === me.value?.name ? 'My own' : one.name);

export const caseOf = (id: string | null) => caseList.value?.find((one) => one.id === id) ?? null;

/** Whether one may change what the case holds. */
export function mayEdit(id: string): boolean {
  const one = caseOf(id);
  return !!one && !one.closed_at && (may.govern.value || one.role === 'owner' || one.role === 'editor');
}

export function mayOwn(id: string): boolean {
  const one = caseOf(id);
  return !!one && (may.govern.value || one.role === 'owner');
}
