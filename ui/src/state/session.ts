/** Who is signed in, what they may do, and what is said aloud. */
import { computed, signal } from '@preact/signals';
import { ended, keepToken, token } from '../api/client';
import { logOut, profile, type Role, type User } from '../api/accounts';

export const me = signal<User | null>(null);
export const signedIn = computed(() => token.value !== null);

const has = (...roles: Role[]) => roles.some((role) => me.value?.roles.includes(role));
/** What the buttons go by; the server decides. */
export const may = {
  submit: computed(() => has('investigator', 'researcher')),
  train: computed(() => has('researcher', 'admin')),
  keys: computed(() => has('researcher', 'admin')),
  govern: computed(() => has('admin')),
};

export async function loadProfile(): Promise<void> {
  me.value = await profile();
}

/** Ends this session here, and on the server if that can be reached. */
export async function signOut(everywhere = false): Promise<void> {
  if (!ended.value) await logOut(everywhere).catch(() => undefined);
  keepToken(null);
  me.value = null;
}

/** For who cannot see: read out when it changes. */
export const announced = signal('');
export function announce(text: string): void {
  // The same text twice is read twice only if it changes.
  announced.value = text === announced.value ? `${text}\u00a0` : text;
}
