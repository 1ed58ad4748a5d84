/** The frame round every page: navigation, what went wrong with the connection, what is read aloud. */
import { useEffect, useRef } from 'preact/hooks';
import type { ComponentType } from 'preact';
import { away, ended } from './api/client';
import { Account } from './pages/account';
import { Audit } from './pages/audit';
import { Cases } from './pages/cases';
import { Changes } from './pages/changes';
import { Gallery } from './pages/gallery';
import { Keys } from './pages/keys';
import { Models } from './pages/models';
import { People } from './pages/people';
import { Photo } from './pages/photo';
import { Again, SignIn } from './pages/signin';
import { Training } from './pages/training';
import { Upload } from './pages/upload';
import { Work } from './pages/work';
import { Title, Trouble, useAct } from './parts/small';
import { caseList, loadCases } from './state/cases';
import { forgetList } from './state/gallery';
import { forgetPictures } from './state/pictures';
import { route, to } from './state/route';
import { announced, loadProfile, may, me, signedIn } from './state/session';
import { phase, totals } from './state/upload';

type Page = { name: string; show: ComponentType; hidden?: () => boolean };

const PAGES: Record<string, Page> = {
  gallery: { name: 'Gallery', show: Gallery },
  upload: { name: 'Upload', show: Upload, hidden: () => !may.submit.value },
  cases: { name: 'Cases', show: Cases, hidden: () => caseList.value === null },
  work: { name: 'Work', show: Work },
  models: { name: 'Models', show: Models },
  changes: { name: 'Changes', show: Changes, hidden: () => route.value.page !== 'changes' },
  training: { name: 'Training', show: Training, hidden: () => !may.train.value },
  keys: { name: 'Keys', show: Keys, hidden: () => !may.keys.value },
  people: { name: 'People', show: People, hidden: () => !may.govern.value },
  audit: { name: 'Audit', show: Audit, hidden: () => !may.govern.value },
  photo: { name: 'Photograph', show: Photo, hidden: () => true },
  account: { name: 'Account', show: Account, hidden: () => true },
};

const Nowhere = () => <><Title>There is no such page</Title><p><a href={to('gallery')}>To the gallery</a></p></>;

export function App() {
  const starting = useAct();
  const open = () => void starting.act(loadProfile);
  useEffect(() => {
    if (signedIn.value && !me.value) open();
  }, [signedIn.value]);
  useEffect(() => {
    if (me.value) {
      void loadCases().catch(() => undefined);
    } else {
      // Whoever comes next sees nothing of whoever went.
      forgetList();
      forgetPictures();
      caseList.value = null;
    }
  }, [me.value?.name]);
  if (!signedIn.value) return <SignIn />;
  if (!me.value) {
    if (ended.value) return <SignIn />;
    return <main class="signin" id="main"><div class="sheet"><h1>Darkroom</h1><Trouble problem={starting.problem} again={open} /></div></main>;
  }
  return <Frame />;
}

/** On a phone the names of the pages are wider than the screen. (To scroll it into view would take the focus's place there, too.) */
function showCurrent(): void {
  const current = document.querySelector<HTMLElement>('.top nav [aria-current]');
  const nav = current?.parentElement;
  if (current && nav) nav.scrollLeft = current.offsetLeft - nav.offsetLeft - (nav.clientWidth - current.offsetWidth) / 2;
}

function Frame() {
  const main = useRef<HTMLElement>(null);
  const before = useRef<string | null>(null);
  const { page, id } = route.value;
  const Shown = PAGES[page]?.show ?? Nowhere;
  useEffect(() => {
    const from = before.current;
    before.current = page;
    if (from === null) return;
    // Who goes on to the next photograph stays where the arrows are.
    if (page === 'photo' && main.current?.contains(document.activeElement)) return;
    if (page !== 'gallery') scrollTo(0, 0);
    const focus = (what: string) => main.current?.querySelector<HTMLElement>(what)?.focus({ preventScroll: true });
    focus('h1');
    // Who comes back from a photograph finds it in the grid, once that is laid out.
    if (page === 'gallery' && from === 'photo') requestAnimationFrame(() => requestAnimationFrame(() => focus('.tile a[tabindex="0"]')));
  }, [page, id]);
  // The names of some come once it is known what there is.
  useEffect(showCurrent, [page, caseList.value === null]);
  const sending = phase.value === 'sending' || phase.value === 'paused';
  return (
    <>
      <a class="skip" href="#main" onClick={(event) => { event.preventDefault(); main.current?.focus(); }}>Skip to the content</a>
      <header class="top">
        <a class="brand" href={to('gallery')}>Darkroom</a>
        <nav aria-label="Pages">
          {Object.entries(PAGES).map(([key, one]) => !one.hidden?.() && (
            <a key={key} href={to(key)} aria-current={page === key || (page === 'photo' && key === 'gallery') ? 'page' : undefined}>{one.name}
              {key === 'upload' && sending && <span class="badge">{totals.value.taken}/{totals.value.files}</span>}</a>
          ))}
        </nav>
        <a class="who" href={to('account')} aria-current={page === 'account' ? 'page' : undefined}><bdi>{me.value?.name}</bdi></a>
      </header>
      {away.value && <p class="away" role="status">The server cannot be reached. What you entered is kept; it is tried again and again.</p>}
      <main id="main" ref={main} tabIndex={-1} class={`page-${page}`}><Shown /></main>
      <p class="unseen" role="status" aria-live="polite">{announced.value}</p>
      {ended.value && <Again />}
    </>
  );
}

