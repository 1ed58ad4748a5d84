/** Runs models on photographs that are stored already, each in the case that holds it. */
import { useEffect, useState } from 'preact/hooks';
import type { Problem } from '../api/client';
import { submit } from '../api/submissions';
import { caseList, caseOf, loadCases, mayEdit } from '../state/cases';
import { known } from '../state/gallery';
import { to } from '../state/route';
import { announce } from '../state/session';
import { ChooseModels, paramsOf, type Chosen } from './choose';
import { count, many, uuid } from './format';
import { part, tell } from './partly';
import { Dialog, Field, Trouble, useAct } from './small';

/** The most images of one request. */
const AT_ONCE = 500;
/** The most jobs of one request. */
const JOBS_MAX = 10_000;

/** A photograph with the case that holds it; null where none is known. */
export type Held = { md5: string; case: string | null };

/** By the case that they are submitted to, null for one's own: without `copied`, only where one may work. */
function byCase(images: Held[], copied: boolean): Map<string | null, string[]> {
  const groups = new Map<string | null, string[]>();
  for (const image of images) {
    const there = copied ? null : image.case;
    // Until the cases are there, the server says who may.
    if (!copied && (!there || (caseList.value && !mayEdit(there)))) continue;
    const group = groups.get(there);
    if (group) group.push(image.md5);
    else groups.set(there, [image.md5]);
  }
  return groups;
}

const isOwn = (id: string | null) => {
  const one = caseOf(id);
  return !!one?.own && one.role === 'owner';
};

export function RunModels({ images, close, done }: { images: Held[]; close: () => void; done?: () => void }) {
  const [chosen, setChosen] = useState<Chosen>({});
  const [rerun, setRerun] = useState(false);
  const [copied, setCopied] = useState(false);
  // One submission for each case, the same when it is tried again.
  const [ids] = useState(() => new Map<string | null, string>());
  const [sent, setSent] = useState(0);
  const doing = useAct();
  useEffect(() => void loadCases().catch(() => undefined), []);
  const names = Object.keys(chosen);
  const groups = byCase(images, copied);
  const going = [...groups.values()].reduce((sum, md5s) => sum + md5s.length, 0);
  const run = () =>
    void doing.act(async () => {
      const refused: Problem[] = [];
      const step = Math.max(1, Math.min(AT_ONCE, Math.floor(JOBS_MAX / names.length)));
      for (const [there, md5s] of groups) {
        const submission = ids.get(there) ?? uuid();
        ids.set(there, submission);
        for (let from = 0; from < md5s.length; from += step) {
          const some = md5s.slice(from, from + step);
          const { answer, problem } = await part(submit({ images: some, models: names, params: paramsOf(chosen), rerun, submission, case: there }));
          refused.push(...(problem ? some.map(() => problem) : answer.rejected.map((one) => one.problem)));
          lookAgainAt(some);
        }
      }
      if (refused.length < going) {
        setSent(going - refused.length);
        announce(`${many(names.length, 'model')} started`);
        done?.();
      }
      tell(refused, going, 'photographs were not taken');
    });
  if (sent > 0) {
    const only = ids.size === 1 ? [...ids.values()][0] : null;
    return (
      <Dialog title="Under way" close={close}>
        <p>{sent < going ? `${count(sent)} of ${many(going, 'photograph')}` : many(sent, 'photograph')} went to {names.join(', ')}. What is found appears by itself.</p>
        <Trouble problem={doing.problem} />
        <div class="row end"><a class="button" href={to('work', only)}>Watch the work</a><button type="button" class="strong" onClick={close}>Close</button></div>
      </Dialog>
    );
  }
  const out = images.length - going;
  return (
    <Dialog title={`Run models on ${many(going || images.length, 'photograph')}`} close={close} wide>
      <ChooseModels chosen={chosen} change={setChosen} disabled={doing.busy} />
      <label class="check"><input type="checkbox" checked={rerun} onChange={(event) => setRerun(event.currentTarget.checked)} /> Compute again, even where a result is known</label>
      {!images.every((image) => isOwn(image.case)) && (
        <Field label="Where" hint={copied ? 'They stay in your own case, even when they leave the one that they are in now.' : undefined}>
          <select value={copied ? 'own' : 'held'} disabled={doing.busy} onChange={(event) => setCopied(event.currentTarget.value === 'own')}>
            <option value="held">In the case of each photograph</option>
            <option value="own">In my own case: they are copied to it</option>
          </select>
        </Field>
      )}
      {out > 0 && <p class="soft">{going === 0 ? 'You may look at them where they are, but not run models there.' : `${many(out, 'photograph')} left out: you may look there, but not run models.`}</p>}
      <Trouble problem={doing.problem} />
      <div class="row end">
        <button type="button" onClick={close}>Cancel</button>
        <button type="button" class="strong" disabled={doing.busy || names.length === 0 || going === 0} onClick={run}>Run</button>
      </div>
    </Dialog>
  );
}

/** What became of them is asked anew. */
function lookAgainAt(images: string[]): void {
  const next = new Map(known.value);
  for (const md5 of images) next.delete(md5);
  known.value = next;
}
