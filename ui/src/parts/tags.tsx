/** Tags on photographs of a case. */
import { useState } from 'preact/hooks';
import { tag, tags, type Tag, type Tagged } from '../api/cases';
import { setTags } from '../state/gallery';
import { useLive } from '../state/live';
import { announce } from '../state/session';
import type { Problem } from '../api/client';
import { count, many } from './format';
import { part, tell } from './partly';
import { Dialog, Field, Trouble, useAct } from './small';

/** The most photographs that one request tags. */
const AT_ONCE = 1_000;

export function TagThem({ ofCase, images, close, done }: { ofCase: string; images: string[]; close: () => void; done?: (now: Tagged[]) => void }) {
  const [word, setWord] = useState('');
  const doing = useAct();
  const used = useLive<Tag[]>(() => tags(ofCase), () => null, [ofCase]);
  const change = (add: string[], remove: string[]) =>
    void doing.act(async () => {
      const refused: Problem[] = [];
      for (let from = 0; from < images.length; from += AT_ONCE) {
        const some = images.slice(from, from + AT_ONCE);
        const { answer, problem } = await part(tag(ofCase, some, add, remove));
        refused.push(...(problem ? some.map(() => problem) : answer.flatMap((one) => one.problem ?? [])));
        const now = answer?.filter((one) => !one.problem) ?? [];
        setTags(now);
        done?.(now);
      }
      const changed = images.length - refused.length;
      if (changed > 0) announce(add.length ? `Tagged ${add[0]}: ${count(changed)}` : `Tag ${remove[0]} removed: ${count(changed)}`);
      tell(refused, images.length, 'photographs were left as they are');
    }).then((good) => good && close());
  return (
    <Dialog title={`Tag ${many(images.length, 'photograph')}`} close={close}>
      <form onSubmit={(event) => { event.preventDefault(); if (word.trim()) change([word.trim()], []); }}>
        <Field label="Tag"><input value={word} maxLength={64} list="tags-used" onInput={(event) => setWord(event.currentTarget.value)} /></Field>
        <datalist id="tags-used">{used.data?.map((one) => <option key={one.tag} value={one.tag} />)}</datalist>
        <Trouble problem={doing.problem} />
        <div class="row end">
          <button type="button" disabled={doing.busy || !word.trim()} onClick={() => change([], [word.trim()])}>Remove the tag</button>
          <button type="submit" class="strong" disabled={doing.busy || !word.trim()}>Add the tag</button>
        </div>
      </form>
    </Dialog>
  );
}
