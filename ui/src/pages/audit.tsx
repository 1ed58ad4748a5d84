/** Who did what to whom, for administrators. The address says what is looked for, so that it can be passed on. */
import { useEffect, useRef, useState } from 'preact/hooks';
import { acts, type Act, type Sought } from '../api/audit';
import { go, route, to } from '../state/route';
import { announce } from '../state/session';
import { many, short, when } from '../parts/format';
import { Empty, Field, Title, Trouble, useAct } from '../parts/small';

const KINDS: Record<string, string> = {
  'Signing in': 'user_logged_in,log_in_failed,user_logged_out',
  'Photographs looked at': 'image_viewed',
  'Cases and their members': 'case_made,case_changed,case_closed,case_reopened,case_deleted,case_exported,export_fetched,member_set,member_removed',
  'Accounts and keys': 'user_created,user_changed,key_created,key_disabled',
  'Models and workers': 'model_registered,model_changed,dataset_registered,dataset_changed,run_promoted,worker_registered,worker_changed,worker_left,worker_lost',
  'Jobs given up or cancelled': 'withdrawn,cancelled',
  'What was removed': 'image_removed,run_removed,history_removed,case_deleted',
};
/** Pages that may be without one that fits: so many are looked through before somebody is asked. */
const LOOKED_THROUGH = 10;

const FIELDS = ['account', 'code', 'subject', 'after', 'before'] as const;

const TO_THE_SECOND = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'medium' });
const words = (code: string) => code.replaceAll('_', ' ');
/** What the browser's field for a time holds, in its own zone, and back. */
const local = (iso: string) => { const at = new Date(iso); return Number.isNaN(at.getTime()) ? '' : new Date(at.getTime() - at.getTimezoneOffset() * 60_000).toISOString().slice(0, 16); };
const instant = (value: string) => (value ? new Date(value).toISOString() : '');

export function Audit() {
  const query = route.value.query;
  const sought = Object.fromEntries(FIELDS.flatMap((name) => { const said = query.get(name); return said ? [[name, said]] : []; })) as Sought;
  const asked = JSON.stringify(sought);
  const [found, setFound] = useState<{ items: Act[]; next: string | null } | null>(null);
  const doing = useAct();
  const turn = useRef(asked);
  turn.current = asked;
  const more = (before: Act[], from: string | null) => void doing.act(async () => {
    let [items, cursor] = [before, from];
    for (let page = 0; page < LOOKED_THROUGH; page += 1) {
      const got = await acts(sought, cursor);
      // Meanwhile something else was asked for.
      if (turn.current !== asked) return;
      items = [...items, ...got.items];
      cursor = got.next_cursor ?? null;
      setFound({ items, next: cursor });
      if (!cursor || items.length > before.length) break;
    }
    announce(many(items.length, 'act'));
  });
  useEffect(() => {
    setFound(null);
    more([], null);
  }, [asked]);
  return (
    <>
      <Title>Audit</Title>
      <Form key={asked} sought={sought} />
      <Trouble problem={doing.problem} again={() => more(found?.items ?? [], found?.next ?? null)} />
      {found && found.items.length === 0 && !found.next && <Empty>Nothing of the kind was done.</Empty>}
      {found && found.items.length > 0 && (
        <table class="acts">
          <thead><tr><th>When</th><th>Who</th><th>What</th><th>To whom or what</th></tr></thead>
          <tbody>{found.items.map((act, at) => <Row key={at} act={act} />)}</tbody>
        </table>
      )}
      {found?.next && <button type="button" disabled={doing.busy} onClick={() => more(found.items, found.next)}>{doing.busy ? 'Looking…' : 'Older ones'}</button>}
      {!found && doing.busy && <p class="soft">Looking…</p>}
    </>
  );
}

function Form({ sought }: { sought: Sought }) {
  const [now, setNow] = useState<Sought>(sought);
  const search = (event: Event) => {
    event.preventDefault();
    go(to('audit', null, { ...now, account: now.account?.trim(), subject: now.subject?.trim() }));
  };
  const kinds = Object.entries(KINDS);
  const set = (name: keyof Sought) => (event: { currentTarget: { value: string } }) => setNow({ ...now, [name]: event.currentTarget.value });
  const time = (name: 'after' | 'before') => (event: { currentTarget: { value: string } }) => setNow({ ...now, [name]: instant(event.currentTarget.value) });
  return (
    <form class="panel sought" onSubmit={search}>
      <Field label="Who"><input value={now.account ?? ''} onInput={set('account')} placeholder="an account’s name" autocapitalize="off" /></Field>
      <Field label="What"><select value={now.code ?? ''} onChange={set('code')}><option value="">Everything</option>{kinds.map(([name, codes]) => <option key={name} value={codes}>{name}</option>)}
        {now.code && !kinds.some(([, codes]) => codes === now.code) && <option value={now.code}>{words(now.code)}</option>}</select></Field>
      <Field label="To whom or what"><input value={now.subject ?? ''} onInput={set('subject')} placeholder="a name, an id, or an MD5" autocapitalize="off" /></Field>
      <Field label="From"><input type="datetime-local" value={now.after ? local(now.after) : ''} onChange={time('after')} /></Field>
      <Field label="Until"><input type="datetime-local" value={now.before ? local(now.before) : ''} onChange={time('before')} /></Field>
      <div class="row end"><a class="button" href={to('audit')}>Clear</a><button type="submit" class="strong">Search</button></div>
    </form>
  );
}

function Row({ act }: { act: Act }) {
  const seen = act.code.startsWith('image_') ? act.subject : null;
  const person = act.account ?? (act.key ? `key ${act.key}` : null);
  return (
    <tr>
      <td><time dateTime={act.at}>{TO_THE_SECOND.format(new Date(act.at))}</time></td>
      <td>{person ? <a href={to('audit', null, act.account ? { account: act.account } : { subject: act.key })}><bdi>{person}</bdi></a> : <span class="soft">nobody</span>}</td>
      <td><strong>{words(act.code)}</strong>{act.reason && <> <bdi>{act.reason}</bdi></>}{act.count != null && act.count > 1 && <span class="soft"> {many(act.count, 'time')} since {when(act.since)}</span>}</td>
      <td>{seen && <a class="mono" href={to('photo', seen)}>{seen}</a>}
        {[!seen && (act.subject ?? act.subject_id), act.model, act.worker && `worker ${short(act.worker)}`, act.account && act.key && `key ${act.key}`].filter(Boolean).map((what, at) => <span key={at}>{at > 0 && ', '}<bdi>{what}</bdi></span>)}
        {act.job && <span class="soft">{' '}job {short(act.job)}</span>}{act.submission && <> <a href={to('work', act.submission)}>submission {short(act.submission)}</a></>}</td>
    </tr>
  );
}
