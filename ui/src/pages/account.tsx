/** One's own account. */
import { useState } from 'preact/hooks';
import { changeUser } from '../api/accounts';
import { announce, loadProfile, me, signOut } from '../state/session';
import { Field, Title, Trouble, useAct } from '../parts/small';

export function Account() {
  const user = me.value!;
  const [email, setEmail] = useState(user.email ?? '');
  const [present, setPresent] = useState('');
  const [password, setPassword] = useState('');
  const mail = useAct();
  const pass = useAct();
  const saveMail = (event: Event) => {
    event.preventDefault();
    void mail.act(async () => { await changeUser(user.name, { email: email.trim() || null }); await loadProfile(); }, 'E-mail kept');
  };
  const savePassword = (event: Event) => {
    event.preventDefault();
    void pass.act(async () => {
      await changeUser(user.name, { password, present_password: present });
      announce('The password is changed; sign in with it');
      await signOut();
    });
  };
  return (
    <>
      <Title>{user.name}</Title>
      <p>{user.roles.join(', ') || 'no role'}</p>
      <form class="panel" onSubmit={saveMail}>
        <Field label="E-mail"><input type="email" value={email} onInput={(event) => setEmail(event.currentTarget.value)} /></Field>
        <Trouble problem={mail.problem} />
        <button type="submit" disabled={mail.busy}>Save</button>
      </form>
      <form class="panel" onSubmit={savePassword}>
        <h2>Password</h2>
        <input type="text" class="hidden" autocomplete="username" value={user.name} readOnly tabIndex={-1} aria-hidden="true" />
        <Field label="Present password"><input type="password" required autocomplete="current-password" value={present} onInput={(event) => setPresent(event.currentTarget.value)} /></Field>
        <Field label="New password" hint="It ends every session of yours, this one too."><input type="password" required autocomplete="new-password" value={password} onInput={(event) => setPassword(event.currentTarget.value)} /></Field>
        <Trouble problem={pass.problem} />
        <button type="submit" disabled={pass.busy}>Change the password</button>
      </form>
      <div class="row">
        <button type="button" onClick={() => void signOut()}>Sign out</button>
        <button type="button" onClick={() => void signOut(true)}>Sign out everywhere</button>
      </div>
    </>
  );
}
