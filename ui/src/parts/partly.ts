/** What is asked for in parts, of which some may be refused. */
import { Refusal, type Problem } from '../api/client';

/** The answer to a part, or why all of it was refused; what may yet go well is thrown. */
export async function part<T>(asked: Promise<T>): Promise<{ answer: T; problem: null } | { answer: null; problem: Problem }> {
  try {
    return { answer: await asked, problem: null };
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    const { status } = error.problem;
    if (status === 401 || status === 429 || status >= 500) throw error;
    return { answer: null, problem: error.problem };
  }
}

/** Throws, where some were refused, how many, and why the first. */
export function tell(refused: Problem[], all: number, what: string): void {
  const first = refused[0];
  if (first) throw new Refusal({ ...first, title: `${refused.length} of ${all} ${what}`, detail: first.errors?.[0]?.detail ?? first.detail, errors: [] }, null);
}
