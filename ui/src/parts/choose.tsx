/** Which models to run, of those that the server knows now, each with its parameters. */
import type { Model } from '../api/models';
import { listed, models } from '../api/models';
import { useLive } from '../state/live';
import { count, many } from './format';
import { SchemaForm, type Params } from './schema';
import { Trouble } from './small';

/** The chosen models with their parameters. */
export type Chosen = Record<string, Params>;

export const paramsOf = (chosen: Chosen) => Object.fromEntries(Object.entries(chosen).filter(([, params]) => Object.keys(params).length > 0));

const REFRESH_S = 10;

export function ChooseModels({ chosen, change, disabled }: { chosen: Chosen; change: (chosen: Chosen) => void; disabled?: boolean }) {
  const live = useLive((signal) => models(false, signal), () => REFRESH_S, [], { topics: ['models'], read: listed });
  const toggle = (name: string) => {
    const next = { ...chosen };
    if (name in next) delete next[name];
    else next[name] = {};
    change(next);
  };
  return (
    <fieldset class="choose" disabled={disabled}>
      <legend>Models</legend>
      {!live.data && <Trouble problem={live.problem} again={live.again} />}
      {live.data?.length === 0 && <p class="soft">No model is known yet: start a microservice that registers one.</p>}
      {live.data?.filter((model) => !model.retired_at).map((model) => (
        <Choice key={model.name} model={model} params={chosen[model.name]} toggle={() => toggle(model.name)} change={(params) => change({ ...chosen, [model.name]: params })} />
      ))}
    </fieldset>
  );
}

function Choice({ model, params, toggle, change }: { model: Model; params: Params | undefined; toggle: () => void; change: (params: Params) => void }) {
  const live = model.workers > 0;
  const how = model.paused ? 'paused: jobs wait' : live ? `${many(model.workers, 'worker')}${model.queued ? `, ${count(model.queued)} waiting` : ''}` : 'no worker: jobs wait for one';
  return (
    <div class={`choice${params ? ' chosen' : ''}`}>
      <label class="check"><input type="checkbox" checked={!!params} onChange={toggle} />
        <span><strong>{model.name}</strong> <span class={`state ${live && !model.paused ? 'ok' : 'wait'}`}>{how}</span><br /><span class="soft"><bdi>{model.description}</bdi></span></span></label>
      {params && (model.params_schema != null
        ? <SchemaForm schema={model.params_schema} params={params} change={change} />
        : <details><summary>Parameters</summary><SchemaForm schema={null} params={params} change={change} /></details>)}
    </div>
  );
}
