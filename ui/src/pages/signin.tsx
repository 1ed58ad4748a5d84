/** Signing in, first and again. */
import { useState } from 'preact/hooks';
import { logIn } from '../api/accounts';
import { loadProfile, me, signOut } from '../state/session';
import { Dialog, Field, Trouble, useAct } from '../parts/small';

function Form({ name, again }: { name: string | null; again?: boolean }) {
  const [user, setUser] = useState(name ?? '');
  const [password, setPassword] = useState('');
  const doing = useAct();
  const enter = (event: Event) => {
    event.preventDefault();
    void doing.act(async () => {
      await logIn(user.trim(), password);
      // What one may do can be another by now.
      if (again) await loadProfile();
    });
  };
  return (
    <form onSubmit={enter}>
      <Field label="Name"><input name="username" required autocomplete="username" autocapitalize="off" spellcheck={false} readOnly={again} autoFocus={!again} value={user} onInput={(event) => setUser(event.currentTarget.value)} /></Field>
      <Field label="Password"><input name="password" type="password" required autocomplete="current-password" autoFocus={again} value={password} onInput={(event) => setPassword(event.currentTarget.value)} /></Field>
      <Trouble problem={doing.problem} />
      <div class="row end">
        {again && <button type="button" onClick={() => void signOut()}>Leave</button>}
        <button type="submit" class="strong" disabled={doing.busy}>{doing.busy ? 'Signing in…' : 'Sign in'}</button>
      </div>
    </form>
  );
}

export function SignIn() {
  document.title = 'Sign in – Darkroom';
  return (
    <main class="signin" id="main">
      <div class="sheet">
        <h1>Darkroom</h1>
        <p class="soft">Photographs, and what models find in them.</p>
        <Form name={null} />
      </div>
    </main>
  );
}

/** Over the page, which stays as it was. */
export const Again = () => (
  <Dialog title="Your session has ended" close={null}>
    <p>Sign in again to go on where you were; nothing that you entered is lost.</p>
    <Form name={me.value?.name ?? null} again />
  </Dialog>
);
