/** Cases: who works on what together. */
import { useState } from 'preact/hooks';
import { changeCase, deleteCase, makeCase, oneCase, receipt, removeMember, setMember, type Case, type CaseRole } from '../api/cases';
import { caseList, caseName, loadCases, mayOwn } from '../state/cases';
import { useLive } from '../state/live';
import { go, route, to } from '../state/route';
import { announce, may, me } from '../state/session';
import { count, many, size, when } from '../parts/format';
import { Confirm, Dialog, Empty, Field, Title, Trouble, useAct } from '../parts/small';

export const Cases = () => (route.value.id ? <One key={route.value.id} id={route.value.id} /> : <List />);

function List() {
  const [making, setMaking] = useState(false);
  const list = caseList.value ?? [];
  return (
    <>
      <Title>Cases</Title>
      <div class="row"><button type="button" class="strong" onClick={() => setMaking(true)}>Make a case…</button></div>
      {list.length === 0 && <Empty>There are no cases yet.</Empty>}
      <ul class="cards">
        {list.map((one) => (
          <li key={one.id} class={`card${one.closed_at ? ' faded' : ''}`}>
            <header><h2><a class="cover" href={to('cases', one.id)}><bdi>{caseName(one)}</bdi></a></h2>{one.closed_at ? <span class="state off">closed</span> : one.role && <span class="state ok">{one.role}</span>}</header>
            <p class="soft"><bdi>{one.description}</bdi></p>
            <p class="soft">{one.at_least && 'over '}{many(one.images, 'photograph')}{!one.own && `, ${many(one.members.length, 'member')}`}, since {when(one.created_at)}</p>
          </li>
        ))}
      </ul>
      {making && <Make close={() => setMaking(false)} />}
    </>
  );
}

function Make({ close }: { close: () => void }) {
  const [name, setName] = useState('');
  const [description, setDescription] = useState('');
  const doing = useAct();
  const make = (event: Event) => {
    event.preventDefault();
    void doing.act(async () => {
      const made = await makeCase(name.trim(), description.trim());
      await loadCases();
      go(to('cases', made.id));
    }, 'Case made').then((good) => good && close());
  };
  return (
    <Dialog title="Make a case" close={close}>
      <form onSubmit={make}>
        <Field label="Name"><input required maxLength={200} value={name} onInput={(event) => setName(event.currentTarget.value)} /></Field>
        <Field label="Description"><textarea rows={3} maxLength={4_000} value={description} onInput={(event) => setDescription(event.currentTarget.value)} /></Field>
        <Trouble problem={doing.problem} />
        <div class="row end"><button type="button" onClick={close}>Cancel</button><button type="submit" class="strong" disabled={doing.busy}>Make it</button></div>
      </form>
    </Dialog>
  );
}

function One({ id }: { id: string }) {
  const [asking, setAsking] = useState<'delete' | 'close' | null>(null);
  const [gone, setGone] = useState(false);
  const live = useLive<Case>(() => oneCase(id), () => null, [id]);
  const doing = useAct();
  const one = live.data;
  if (gone) return <Gone id={id} />;
  if (!one) return <><Title>Case</Title><Trouble problem={live.problem} again={live.again} /></>;
  const owns = mayOwn(id);
  const refresh = () => { live.again(); void loadCases(); };
  return (
    <>
      <a class="back" href={to('cases')}>← Cases</a>
      <Title>{caseName(one)}</Title>
      <p><bdi>{one.description}</bdi></p>
      {one.closed_at && <p class="notice">Closed since {when(one.closed_at)}: it can be looked at, not changed.</p>}
      <div class="row">
        <a class="button" href={to('gallery', null, { case: one.id })}>{one.at_least && 'over '}{many(one.images, 'photograph')}</a>
        <a class="button" href={to('work', null, { case: one.id })}>Its work</a>
        {may.govern.value && <a class="button" href={to('audit', null, { subject: one.id })}>Its audit</a>}
        {owns && !one.own && <button type="button" onClick={() => setAsking('close')}>{one.closed_at ? 'Open again…' : 'Close…'}</button>}
        {owns && !one.own && <button type="button" class="danger" onClick={() => setAsking('delete')}>Delete…</button>}
      </div>
      <h2>Members</h2>
      <Members one={one} owns={owns && !one.closed_at} refresh={refresh} />
      <Trouble problem={doing.problem} />
      {asking === 'close' && <Confirm title={one.closed_at ? 'Open this case again?' : 'Close this case?'} verb={one.closed_at ? 'Open it' : 'Close it'} act={() => changeCase(id, { closed: !one.closed_at }).then(refresh)} close={() => setAsking(null)}>
        <p>{one.closed_at ? 'Its members may change what it holds again.' : 'Its members may still look at it, and nobody may change what it holds.'}</p></Confirm>}
      {asking === 'delete' && <Confirm title="Delete this case?" verb="Delete it for good" act={async () => { await deleteCase(id); setGone(true); announce('Case deleted'); void loadCases(); }} close={() => setAsking(null)}>
        <p>Its titles, tags, notes and filters go, and the photographs that no other case holds, with all that was found in them. This cannot be taken back.</p></Confirm>}
    </>
  );
}

/** What went with a case that was deleted. */
function Gone({ id }: { id: string }) {
  const live = useLive((signal) => receipt(id, signal), (told) => (told.done ? null : 2), [id]);
  const told = live.data;
  const rows: [string, string][] = told ? [
    ['Case', told.case], ['Deleted', `${when(told.deleted_at)}, by ${told.by}`], ['Titles', count(told.titles)], ['Photographs that no other case holds', `${count(told.images)}, ${size(told.bytes)}`],
    ['Tags and notes', `${count(told.tags)} and ${count(told.notes)}`], ['State', told.done ? 'all of it is gone' : 'it is being removed'],
  ] : [];
  return (
    <>
      <a class="back" href={to('cases')}>← Cases</a>
      <Title>The case is deleted</Title>
      <Trouble problem={live.problem} again={live.again} />
      <dl class="facts panel">{rows.map(([name, said]) => <div key={name}><dt>{name}</dt><dd>{said}</dd></div>)}</dl>
    </>
  );
}

const ROLES: CaseRole[] = ['owner', 'editor', 'viewer'];

function Members({ one, owns, refresh }: { one: Case; owns: boolean; refresh: () => void }) {
  const [name, setName] = useState('');
  const [role, setRole] = useState<CaseRole>('editor');
  const doing = useAct();
  const set = (user: string, as: CaseRole) => doing.act(() => setMember(one.id, user, as), 'Kept').then((good) => { if (good) refresh(); return good; });
  return (
    <>
      <ul class="members">
        {one.members.map((member) => (
          <li key={member.user}>
            <span><bdi>{member.user}</bdi>{member.user === me.value?.name && <span class="soft"> you</span>}</span>
            {owns
              ? <select aria-label={`Role of ${member.user}`} value={member.role} disabled={doing.busy} onChange={(event) => void set(member.user, event.currentTarget.value as CaseRole)}>{ROLES.map((one) => <option key={one}>{one}</option>)}</select>
              : <span class="soft">{member.role}</span>}
            {owns && <button type="button" disabled={doing.busy} onClick={() => void doing.act(() => removeMember(one.id, member.user), 'Removed').then((good) => good && refresh())}>Remove<span class="unseen"> {member.user}</span></button>}
          </li>
        ))}
      </ul>
      {owns && (
        <form class="row" onSubmit={(event) => { event.preventDefault(); void set(name.trim(), role).then((good) => good && setName('')); }}>
          <input aria-label="Account to add" placeholder="account" required value={name} autocapitalize="off" onInput={(event) => setName(event.currentTarget.value)} />
          <select aria-label="Role" value={role} onChange={(event) => setRole(event.currentTarget.value as CaseRole)}>{ROLES.map((one) => <option key={one}>{one}</option>)}</select>
          <button type="submit" disabled={doing.busy}>Add</button>
        </form>
      )}
      <Trouble problem={doing.problem} />
    </>
  );
}
