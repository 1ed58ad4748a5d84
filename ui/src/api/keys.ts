import { all, api, got, type Schemas } from './client';

export type Key = Schemas['Key'];
export type NewKey = Schemas['NewKey'];

export const keys = () => all<Key>((cursor) => got(api.GET('/auth/key', { params: { query: { limit: 500, cursor } } })));
export const makeKey = (body: Schemas['CreateKey']) => got(api.POST('/auth/key', { body }));
export const disableKey = (id: string) => got(api.DELETE('/auth/key/{id}', { params: { path: { id } } }));
