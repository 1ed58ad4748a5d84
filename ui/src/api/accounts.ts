import { all, api, BASE, got, keepToken, send, type Schemas } from './client';

export type User = Schemas['User'];
export type Role = Schemas['Role'];

export async function logIn(username: string, password: string): Promise<void> {
  const body = new URLSearchParams({ grant_type: 'password', username, password });
  // A token that has ended is not sent along.
  const answer = await send(new Request(`${BASE}/auth/login`, { method: 'POST', body, headers: { authorization: 'Basic Og==' } }));
  keepToken(((await answer.json()) as Schemas['TokenOut']).access_token);
}

export const logOut = (everywhere: boolean) => api.POST('/auth/logout', { params: { query: { everywhere } } });
export const profile = () => got(api.GET('/auth/profile'));
export const users = () => all<User>((cursor) => got(api.GET('/auth/users', { params: { query: { limit: 500, cursor } } })));
export const addUser = (body: Schemas['CreateUser']) => got(api.POST('/auth/users', { body }));
export const changeUser = (name: string, body: Schemas['UpdateUser']) =>
  got(api.PATCH('/auth/users/{name}', { params: { path: { name } }, body }));
