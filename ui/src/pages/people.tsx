/** Accounts, for administrators. */
import { useState } from 'preact/hooks';
import { addUser, changeUser, users as fetchUsers, type Role, type User } from '../api/accounts';
import { useLive } from '../state/live';
import { me } from '../state/session';
import { when } from '../parts/format';
import { Confirm, Dialog, Field, Title, Trouble, useAct } from '../parts/small';

const ROLES: [Role, string][] = [['investigator', 'sends photographs and sees what was found'], ['researcher', 'owns models, keys and training runs'], ['admin', 'sees and changes everything']];

export function People() {
  const [open, setOpen] = useState<User | 'new' | null>(null);
  const [disabling, setDisabling] = useState<User | null>(null);
  const live = useLive(() => fetchUsers(), () => null, []);
  return (
    <>
      <Title>People</Title>
      <div class="row"><button type="button" class="strong" onClick={() => setOpen('new')}>Add somebody…</button></div>
      <Trouble problem={live.problem} again={live.again} />
      <ul class="cards">
        {live.data?.map((user) => (
          <li key={user.id} class={`card${user.disabled_at ? ' faded' : ''}`}>
            <header><h2><bdi>{user.name}</bdi></h2>{user.disabled_at && <span class="state off">disabled</span>}</header>
            <p>{user.roles.join(', ') || 'no role'}</p>
            <p class="soft">{user.email && <><bdi>{user.email}</bdi>, </>}since {when(user.created_at)}</p>
            <div class="row">
              <button type="button" onClick={() => setOpen(user)}>Change…<span class="unseen"> {user.name}</span></button>
              {user.name !== me.value?.name && <button type="button" class={user.disabled_at ? '' : 'danger'} onClick={() => setDisabling(user)}>{user.disabled_at ? 'Enable…' : 'Disable…'}<span class="unseen"> {user.name}</span></button>}
            </div>
          </li>
        ))}
      </ul>
      {open && <Account user={open === 'new' ? null : open} close={() => { setOpen(null); live.again(); }} />}
      {disabling && <Confirm title={`${disabling.disabled_at ? 'Enable' : 'Disable'} ${disabling.name}?`} verb={disabling.disabled_at ? 'Enable' : 'Disable'}
        act={() => changeUser(disabling.name, { disabled: !disabling.disabled_at }).then(live.again)} close={() => setDisabling(null)}>
        <p>{disabling.disabled_at ? 'Signing in and keys work again.' : 'Tokens and keys of this account stop working within seconds. What was sent stays.'}</p></Confirm>}
    </>
  );
}

function Account({ user, close }: { user: User | null; close: () => void }) {
  const [name, setName] = useState(user?.name ?? '');
  const [email, setEmail] = useState(user?.email ?? '');
  const [password, setPassword] = useState('');
  const [roles, setRoles] = useState<Role[]>(user?.roles ?? ['investigator']);
  const doing = useAct();
  const saveIt = (event: Event) => {
    event.preventDefault();
    const run = () => user
      ? changeUser(user.name, { email: email.trim() || null, roles, ...(password ? { password } : {}) })
      : addUser({ name: name.trim(), password, roles, ...(email.trim() ? { email: email.trim() } : {}) });
    void doing.act(run, 'Kept').then((good) => good && close());
  };
  return (
    <Dialog title={user ? `Change ${user.name}` : 'Add somebody'} close={close}>
      <form onSubmit={saveIt} autocomplete="off">
        {!user && <Field label="Name"><input required value={name} autocomplete="off" onInput={(event) => setName(event.currentTarget.value)} /></Field>}
        <Field label="E-mail"><input type="email" value={email} onInput={(event) => setEmail(event.currentTarget.value)} /></Field>
        <Field label={user ? 'New password' : 'Password'} hint={user ? 'Empty: as it is. A new one ends all sessions.' : undefined}><input type="password" required={!user} autocomplete="new-password" value={password} onInput={(event) => setPassword(event.currentTarget.value)} /></Field>
        <fieldset><legend>Roles</legend>
          {ROLES.map(([role, what]) => <label class="check" key={role}><input type="checkbox" checked={roles.includes(role)} onChange={(event) => setRoles(event.currentTarget.checked ? [...roles, role] : roles.filter((one) => one !== role))} /> <span><strong>{role}</strong> <span class="soft">{what}</span></span></label>)}
        </fieldset>
        <Trouble problem={doing.problem} />
        <div class="row end"><button type="button" onClick={close}>Cancel</button><button type="submit" class="strong" disabled={doing.busy}>Save</button></div>
      </form>
    </Dialog>
  );
}
