/** API keys of microservices. */
import { useState } from 'preact/hooks';
import { disableKey, keys as fetchKeys, makeKey, type Key, type NewKey } from '../api/keys';
import { useLive } from '../state/live';
import { me, may } from '../state/session';
import { when } from '../parts/format';
import { Confirm, Copy, Dialog, Empty, Field, Title, Trouble, useAct } from '../parts/small';

export function Keys() {
  const [making, setMaking] = useState(false);
  const [disabling, setDisabling] = useState<Key | null>(null);
  const live = useLive(() => fetchKeys(), () => null, []);
  return (
    <>
      <Title>API keys</Title>
      <p class="soft">A microservice signs in with a key: it serves the models, or trains on the datasets, that the key names.</p>
      <div class="row"><button type="button" class="strong" onClick={() => setMaking(true)}>Make a key…</button></div>
      <Trouble problem={live.problem} again={live.again} />
      {live.data?.length === 0 && <Empty>There are no keys yet.</Empty>}
      <ul class="cards">
        {live.data?.map((key) => (
          <li key={key.id} class={`card${key.disabled_at ? ' faded' : ''}`}>
            <header><h2 class="mono">{key.id}</h2><span class={`state ${key.disabled_at ? 'off' : 'ok'}`}>{key.disabled_at ? 'disabled' : key.service}</span></header>
            <p><bdi>{key.models.join(', ')}</bdi></p>
            {key.detail && <p class="soft"><bdi>{key.detail}</bdi></p>}
            <p class="soft">{key.owner ?? 'the installation'}, made {when(key.created_at)}{key.expires_at && `, until ${when(key.expires_at)}`}{key.last_used_at ? `, last used ${when(key.last_used_at)}` : ', never used'}</p>
            {!key.disabled_at && <button type="button" class="danger" onClick={() => setDisabling(key)}>Disable…<span class="unseen"> key {key.id}</span></button>}
          </li>
        ))}
      </ul>
      {making && <Make close={() => { setMaking(false); live.again(); }} />}
      {disabling && <Confirm title="Disable this key?" verb="Disable it" act={() => disableKey(disabling.id).then(live.again)} close={() => setDisabling(null)}>
        <p>Microservices that use <code>{disabling.id}</code> stop within seconds. It cannot be enabled again.</p></Confirm>}
    </>
  );
}

function Make({ close }: { close: () => void }) {
  const [service, setService] = useState<'predict' | 'train'>('predict');
  const [globs, setGlobs] = useState('');
  const [owner, setOwner] = useState('');
  const [detail, setDetail] = useState('');
  const [until, setUntil] = useState('');
  const [made, setMade] = useState<NewKey | null>(null);
  const doing = useAct();
  const make = (event: Event) => {
    event.preventDefault();
    const models = globs.split(/[\s,]+/).filter(Boolean);
    void doing.act(async () => setMade(await makeKey({
      service, models, owner: owner.trim() || undefined, detail: detail.trim() || undefined, expires_at: until ? new Date(until).toISOString() : undefined,
    })), 'Key made');
  };
  if (made) {
    return (
      <Dialog title="The new key" close={close}>
        <p>Keep it now: it is shown this once, and only its hash is stored.</p>
        <p><Copy text={made.key} what="the key" /></p>
        <div class="row end"><button type="button" class="strong" onClick={close}>I have it</button></div>
      </Dialog>
    );
  }
  return (
    <Dialog title="Make an API key" close={close}>
      <form onSubmit={make}>
        <Field label="For"><select value={service} onChange={(event) => setService(event.currentTarget.value as 'predict' | 'train')}><option value="predict">serving models</option><option value="train">training</option></select></Field>
        <Field label={service === 'predict' ? 'Models' : 'Datasets'} hint="Names, or patterns such as face_*; they may be new"><input required value={globs} spellcheck={false} onInput={(event) => setGlobs(event.currentTarget.value)} /></Field>
        {may.govern.value && <Field label="Owner" hint={`Empty: ${me.value?.name}`}><input value={owner} onInput={(event) => setOwner(event.currentTarget.value)} /></Field>}
        <Field label="What it is for"><input value={detail} maxLength={200} onInput={(event) => setDetail(event.currentTarget.value)} /></Field>
        <Field label="Valid until" hint="Empty: until it is disabled"><input type="datetime-local" value={until} onInput={(event) => setUntil(event.currentTarget.value)} /></Field>
        <Trouble problem={doing.problem} />
        <div class="row end"><button type="button" onClick={close}>Cancel</button><button type="submit" class="strong" disabled={doing.busy}>Make it</button></div>
      </form>
    </Dialog>
  );
}
