/** The cases that one is a member of; null where the server has none. */
import { signal } from '@preact/signals';
import { cases, type Case } from '../api/cases';
import { may } from './session';

export const caseList = signal<Case[] | null>(null);

export async function loadCases(): Promise<void> {
  caseList.value = await cases();
}

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
