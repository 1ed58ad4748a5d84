/** Tags on photographs of a case. */
import { useState } from 'preact/hooks';
import { tag, tags, type Tag } from '../api/cases';
import { setTags } from '../state/gallery';
import { useLive } from '../state/live';
import { announce } from '../state/session';
import { many } from './format';
import { Dialog, Field, Trouble, useAct } from './small';

/** The most photographs that one request tags. */
const AT_ONCE = 1_000;

export function TagThem({ ofCase, images, close, done }: { ofCase: string; images: string[]; close: () => void; done?: () => void }) {
  const [word, setWord] = useState('');
  const doing = useAct();
  const used = useLive<Tag[]>(() => tags(ofCase), () => null, [ofCase]);
  const change = (add: string[], remove: string[]) =>
    void doing.act(async () => {
      for (let from = 0; from < images.length; from += AT_ONCE) {
        const changed = await tag(ofCase, images.slice(from, from + AT_ONCE), add, remove);
        setTags(changed.filter((one) => !one.problem));
      }
      announce(add.length ? `Tagged ${add[0]}` : `Tag ${remove[0]} removed`);
    }).then((good) => {
      if (!good) return;
      done?.();
      close();
    });
  return (
    <Dialog title={`Tag ${many(images.length, 'photograph')}`} close={close}>
      <form onSubmit={(event) => { event.preventDefault(); if (word.trim()) change([word.trim()], []); }}>
        <Field label="Tag"><input value={word} maxLength={100} list="tags-used" onInput={(event) => setWord(event.currentTarget.value)} /></Field>
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
