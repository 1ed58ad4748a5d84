/** Runs models on photographs that are stored already. */
import { useState } from 'preact/hooks';
import { submit } from '../api/submissions';
import { caseList, mayEdit } from '../state/cases';
import { known } from '../state/gallery';
import { to } from '../state/route';
import { announce } from '../state/session';
import { ChooseModels, paramsOf, type Chosen } from './choose';
import { many, uuid } from './format';
import { Dialog, Trouble, useAct } from './small';

/** The most images of one request. */
const AT_ONCE = 500;
/** The most jobs of one request. */
const JOBS_MAX = 10_000;

export function RunModels({ images, ofCase, close, done }: { images: string[]; ofCase?: string | null; close: () => void; done?: () => void }) {
  const [chosen, setChosen] = useState<Chosen>({});
  const [rerun, setRerun] = useState(false);
  const [id] = useState(uuid);
  const [sent, setSent] = useState(false);
  const doing = useAct();
  const names = Object.keys(chosen);
  const run = () =>
    void doing.act(async () => {
      const step = Math.max(1, Math.min(AT_ONCE, Math.floor(JOBS_MAX / names.length)));
      for (let from = 0; from < images.length; from += step) {
        await submit({ images: images.slice(from, from + step), models: names, params: paramsOf(chosen), rerun, submission: id, ...(ofCase ? { case: ofCase } : {}) });
      }
      const next = new Map(known.value);
      for (const md5 of images) next.delete(md5);
      known.value = next;
      announce(`${many(names.length, 'model')} started`);
    }).then((good) => {
      if (!good) return;
      done?.();
      setSent(true);
    });
  if (sent) {
    return (
      <Dialog title="Under way" close={close}>
        <p>{many(images.length, 'photograph')} went to {names.join(', ')}. What is found appears by itself.</p>
        <div class="row end"><a class="button" href={to('work', id)}>Watch the work</a><button type="button" class="strong" onClick={close}>Close</button></div>
      </Dialog>
    );
  }
  const blocked = ofCase && caseList.value && !mayEdit(ofCase);
  return (
    <Dialog title={`Run models on ${many(images.length, 'photograph')}`} close={close} wide>
      <ChooseModels chosen={chosen} change={setChosen} disabled={doing.busy} />
      <label class="check"><input type="checkbox" checked={rerun} onChange={(event) => setRerun(event.currentTarget.checked)} /> Compute again, even where a result is known</label>
      {blocked && <p class="soft">You may look at this case, but not run models in it.</p>}
      <Trouble problem={doing.problem} />
      <div class="row end">
        <button type="button" onClick={close}>Cancel</button>
        <button type="button" class="strong" disabled={doing.busy || names.length === 0 || !!blocked} onClick={run}>Run</button>
      </div>
    </Dialog>
  );
}
