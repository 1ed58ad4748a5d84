import { all, api, got, keepToken, type Schemas } from './client';

export type User = Schemas['User'];
export type Role = Schemas['Role'];

export async function logIn(username: string, password: string): Promise<void> {
  const body = new URLSearchParams({ grant_type: 'password', username, password });
  const answer = await got(
    api.POST('/auth/login', {
      body: { grant_type: 'password', username, password },
      bodySerializer: () => body,
      // A token that has ended is not sent along.
      headers: { 'content-type': 'application/x-www-form-urlencoded', authorization: 'Basic Og==' },
    }),
  );
  keepToken(answer.access_token);
}

export const logOut = (everywhere: boolean) => api.POST('/auth/logout', { params: { query: { everywhere } } });
export const profile = () => got(api.GET('/auth/profile'));
export const users = () => all<User>((cursor) => got(api.GET('/auth/users', { params: { query: { limit: 500, cursor } } })));
export const addUser = (body: Schemas['CreateUser']) => got(api.POST('/auth/users', { body }));
export const changeUser = (name: string, body: Schemas['UpdateUser']) =>
  got(api.PATCH('/auth/users/{name}', { params: { path: { name } }, body }));
