/** How filters are written. */
import { Dialog } from './small';

const WORDS: [string, string][] = [
  ['label:person>=0.6', 'a model saw it, and was so sure'],
  ['-label:car', 'what a minus stands before must not be'],
  ['text:"street"', 'a text that was read in it; three letters or more'],
  ['beach', 'a word alone: in the file name, or in a text that was read'],
  ['faces>=1  brightness<40', 'a value that a model gave'],
  ['tag:x  name:beach', 'a tag; a part of the file name'],
  ['model:ocr  is:failed  queued:ocr', 'what was done with it'],
  ['camera:canon  taken-after:2026-01-01', 'what the camera wrote down'],
  ['after:2026-01-01  by:anna', 'when it was uploaded, and by whom'],
  ['width>=1000  type:jpeg', 'what the file is like'],
  ['similar:<md5>', 'what looks alike'],
];

export const FilterHelp = ({ close }: { close: () => void }) => (
  <Dialog title="How filters are written" close={close} wide>
    <p class="soft">Words beside each other must all hold.</p>
    <dl class="facts">{WORDS.map(([word, what]) => <div key={word}><dt class="mono">{word}</dt><dd>{what}</dd></div>)}</dl>
  </Dialog>
);
