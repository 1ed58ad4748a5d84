/** A form made from a JSON Schema; what it cannot show as fields is written as JSON. */
import { useState } from 'preact/hooks';
import { Field, parsed } from './small';

export type Params = Record<string, unknown>;
type Schema = Record<string, unknown>;

const isObject = (value: unknown): value is Schema => typeof value === 'object' && value !== null && !Array.isArray(value);
const number = (value: unknown): number | undefined => (typeof value === 'number' ? value : undefined);
const string = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined);

/** The first type that is not null. */
function typeOf(schema: Schema): string {
  const types = Array.isArray(schema.type) ? schema.type : [schema.type];
  return (types.find((type) => type !== 'null' && typeof type === 'string') as string | undefined) ?? 'any';
}

export function SchemaForm({ schema, params, change }: { schema: unknown; params: Params; change: (params: Params) => void }) {
  const properties = isObject(schema) && isObject(schema.properties) ? Object.entries(schema.properties).filter((pair): pair is [string, Schema] => isObject(pair[1])) : [];
  const required = isObject(schema) && Array.isArray(schema.required) ? schema.required : [];
  const set = (name: string, value: unknown) => {
    const next = { ...params };
    if (value === undefined) delete next[name];
    else next[name] = value;
    change(next);
  };
  if (properties.length === 0) {
    return <Json label="Parameters, as JSON" hint="Left empty, the model's own." value={Object.keys(params).length ? params : undefined} set={(value) => change(isObject(value) ? value : {})} />;
  }
  return <div class="fields">{properties.map(([name, of]) => <One key={name} name={name} schema={of} needed={required.includes(name)} value={params[name]} set={(value) => set(name, value)} />)}</div>;
}

function One({ name, schema, needed, value, set }: { name: string; schema: Schema; needed: boolean; value: unknown; set: (value: unknown) => void }) {
  const label = `${string(schema.title) ?? name}${needed ? ' (needed)' : ''}`;
  const preset = schema.default === undefined ? '' : (string(schema.default) ?? JSON.stringify(schema.default));
  const hint = string(schema.description);
  const type = typeOf(schema);
  if (Array.isArray(schema.enum)) {
    const choices = schema.enum;
    const at = choices.findIndex((choice) => choice === value);
    return (
      <Field label={label} hint={hint}>
        <select value={at < 0 ? '' : String(at)} required={needed} onChange={(event) => set(event.currentTarget.value === '' ? undefined : choices[Number(event.currentTarget.value)])}>
          <option value="">{preset ? `As usual: ${preset}` : 'As usual'}</option>
          {choices.map((choice, nth) => <option key={nth} value={nth}>{typeof choice === 'string' ? choice : JSON.stringify(choice)}</option>)}
        </select>
      </Field>
    );
  }
  if (type === 'boolean') {
    return (
      <Field label={label} hint={hint}>
        <select value={value === undefined ? '' : String(value)} onChange={(event) => set(event.currentTarget.value === '' ? undefined : event.currentTarget.value === 'true')}>
          <option value="">{preset ? `As usual: ${preset}` : 'As usual'}</option><option value="true">yes</option><option value="false">no</option>
        </select>
      </Field>
    );
  }
  if (type === 'array' && isObject(schema.items) && Array.isArray(schema.items.enum)) {
    const now: unknown[] = Array.isArray(value) ? value : Array.isArray(schema.default) ? schema.default : [];
    const pick = (some: unknown[]) => set(some.length > 0 ? some : undefined);
    return (
      <fieldset>
        <legend>{label}</legend>
        <div class="row">{schema.items.enum.map((one) => <label class="check" key={String(one)}><input type="checkbox" checked={now.includes(one)} onChange={(event) => pick(event.currentTarget.checked ? [...now, one] : now.filter((other) => other !== one))} /> {String(one)}</label>)}</div>
        {hint && <small>{hint}</small>}
      </fieldset>
    );
  }
  if (type === 'number' || type === 'integer') {
    return (
      <Field label={label} hint={hint}>
        <input type="number" step={number(schema.multipleOf) ?? (type === 'integer' ? 1 : 'any')} min={number(schema.minimum)} max={number(schema.maximum)} required={needed} placeholder={preset}
          value={number(value) ?? ''} onInput={(event) => set(Number.isNaN(event.currentTarget.valueAsNumber) ? undefined : event.currentTarget.valueAsNumber)} />
      </Field>
    );
  }
  if (type === 'string') {
    return (
      <Field label={label} hint={hint}>
        <input type="text" maxLength={number(schema.maxLength)} minLength={number(schema.minLength)} required={needed} placeholder={preset} value={string(value) ?? ''}
          onInput={(event) => set(event.currentTarget.value === '' ? undefined : event.currentTarget.value)} />
      </Field>
    );
  }
  return <Json label={`${label}, as JSON`} hint={hint} value={value} set={set} preset={preset} />;
}

function Json({ label, hint, value, set, preset }: { label: string; hint?: string; value: unknown; set: (value: unknown) => void; preset?: string }) {
  const [written, setWritten] = useState(value === undefined ? '' : JSON.stringify(value));
  const wrong = parsed(written) === null;
  const write = (text: string) => {
    setWritten(text);
    const value = parsed(text);
    if (value) set(value.json);
  };
  return (
    <Field label={label} hint={wrong ? 'This is not JSON yet; it is not used.' : hint}>
      <textarea rows={2} class="mono" spellcheck={false} placeholder={preset} aria-invalid={wrong} value={written} onInput={(event) => write(event.currentTarget.value)} />
    </Field>
  );
}
