/** What people say of a photograph in a case: tags and notes. */
import { useEffect, useState } from 'preact/hooks';
import { addNote, notes, removeNote, tag, type Note, type Tagged } from '../api/cases';
import { Refusal, type Paged } from '../api/client';
import type { ImageRecord } from '../api/images';
import { hits, setTags as keepTags } from '../state/gallery';
import { mayEdit } from '../state/cases';
import { useLive } from '../state/live';
import { when } from './format';
import { Trouble, useAct } from './small';
import { TagThem } from './tags';

/** In the case that the gallery lists it in, or, of one that is not listed, in that of its record. */
export function NotesAndTags({ md5, record }: { md5: string; record: ImageRecord | undefined }) {
  const hit = hits.value.find((hit) => hit.md5 === md5);
  const there = hit?.case ?? record?.case;
  // The record is newer than the list, and may be told of another case.
  return there ? <InCase key={there + md5} md5={md5} ofCase={there} first={(record?.case === there ? record.tags : hit?.tags) ?? null} /> : null;
}

/** So many pages of notes, as one list. */
async function firstNotes(pages: number, ofCase: string, md5: string, signal: AbortSignal): Promise<Paged<Note>> {
  const list: Paged<Note> = { items: [] };
  for (let page = 0; page < pages && (page === 0 || list.next_cursor); page += 1) {
    const next = await notes(ofCase, md5, list.next_cursor ?? undefined, signal);
    list.items.push(...next.items);
    list.next_cursor = next.next_cursor;
  }
  return list;
}

function InCase({ md5, ofCase, first }: { md5: string; ofCase: string; first: string[] | null }) {
  const [tags, setTags] = useState(first);
  const [tagging, setTagging] = useState(false);
  const [words, setWords] = useState('');
  const doing = useAct();
  const [pages, setPages] = useState(1);
  const live = useLive((signal) => firstNotes(pages, ofCase, md5, signal), () => null, [ofCase, md5, pages]);
  const edits = mayEdit(ofCase);
  useEffect(() => {
    if (first) setTags(first);
  }, [first]);
  // An answer names the tags as they now are.
  const take = ([now]: Tagged[]) => {
    if (now?.problem) throw new Refusal(now.problem, null);
    if (!now) return;
    setTags(now.tags);
    keepTags([now]);
  };
  const note = (event: Event) => {
    event.preventDefault();
    void doing.act(() => addNote(ofCase, md5, words.trim()), 'Note kept').then((good) => {
      if (!good) return;
      setWords('');
      live.again();
    });
  };
  return (
    <>
      <h2>Tags and notes</h2>
      <div class="row">
        {tags?.map((word) => <span class="chip" key={word}>#<bdi>{word}</bdi>{edits && <button type="button" class="plain" aria-label={`Remove the tag ${word}`} onClick={() => void doing.act(async () => take(await tag(ofCase, [md5], [], [word])))}>✕</button>}</span>)}
        {edits && <button type="button" onClick={() => setTagging(true)}>Add a tag…</button>}
      </div>
      {live.data?.items.map((one) => (
        <div class="note" key={one.id}>
          <p><bdi>{one.text}</bdi></p>
          <p class="soft"><bdi>{one.user}</bdi>, {when(one.created_at)} {edits && <button type="button" class="link" onClick={() => void doing.act(() => removeNote(ofCase, one.id), 'Note removed').then(live.again)}>Remove</button>}</p>
        </div>
      ))}
      {live.data?.next_cursor && <p class="soft">The newest {live.data.items.length} notes are shown. <button type="button" class="link" onClick={() => setPages(pages + 1)}>Show older ones</button></p>}
      {edits && <form onSubmit={note}><label class="field"><span>A note</span><textarea rows={2} maxLength={4_000} value={words} onInput={(event) => setWords(event.currentTarget.value)} /></label>
        {words.trim() && <div class="row end"><button type="submit" disabled={doing.busy}>Keep the note</button></div>}</form>}
      <Trouble problem={doing.problem} />
      <Trouble problem={live.problem} again={live.again} />
      {tagging && <TagThem ofCase={ofCase} images={[md5]} close={() => setTagging(false)} done={take} />}
    </>
  );
}
