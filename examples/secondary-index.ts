import { procedure, type ReadContext, read } from 'balsa/procedures';

/**
 * Users that are found by their city and by their e-mail address, not by their id alone. The indices are keys like others,
 * written by the same calls that write the users: so they are never older or newer than these.
 *
 *     balsa deploy examples/secondary-index.ts
 *     balsa proc call saveUser '{ "id": "1", "name": "Ada", "city": "London", "email": "ada@example.org" }'
 *     balsa proc call usersByCity '{ "city": "London" }'
 *     balsa proc call userByEmail '{ "email": "ada@example.org" }'
 */

// A type, and not an interface: only types are known to be JSON.
export type User = {
  readonly id: string;
  readonly name: string;
  readonly city: string;
  readonly email: string;
};

/** Slashes of what was given are no slashes of the key. */
const keyOf = (...parts: readonly string[]): string => parts.map(encodeURIComponent).join('/');
const userKey = (id: string): string => keyOf('user', id);
/** Many users: the id is a part of the key. */
const cityKey = (city: string, id: string): string => keyOf('user-by-city', city, id);
/** One user: the id is the value. */
const emailKey = (email: string): string => keyOf('user-by-email', email.toLowerCase());

/** Makes a user, or changes one. */
export const saveUser = procedure({
  handler: (ctx, user: User) => {
    const owner = ctx.get<string>(emailKey(user.email));
    if (owner !== null && owner !== user.id) ctx.abort(`${user.email} is that of user ${owner}`);
    const before = ctx.get<User>(userKey(user.id));
    if (before !== null) {
      // Where nothing has changed the entries are written again below.
      ctx.delete(cityKey(before.city, before.id));
      ctx.delete(emailKey(before.email));
    }
    ctx.put(userKey(user.id), user);
    ctx.put(cityKey(user.city, user.id), null);
    ctx.put(emailKey(user.email), user.id);
    return { isNew: before === null };
  },
});

export const removeUser = procedure({
  handler: (ctx, { id }: { id: string }) => {
    const user = ctx.get<User>(userKey(id));
    if (user === null) return { removed: false };
    ctx.delete(userKey(id));
    ctx.delete(cityKey(user.city, id));
    ctx.delete(emailKey(user.email));
    return { removed: true };
  },
});

/** In the order of their ids; the next page begins behind the last id of this one. */
export const usersByCity = read({
  handler: async (ctx, query: { city: string; limit?: number; after?: string }) => {
    const { city, limit = 100, after } = query;
    const prefix = cityKey(city, '');
    // A blank comes before all that an id of this form may go on with.
    const from = after === undefined ? prefix : `${cityKey(city, after)} `;
    const entries = await ctx.scan({ from, to: `${prefix}\u{10ffff}`, limit });
    return entries.map(({ key }) => found(ctx, decodeURIComponent(key.slice(prefix.length))));
  },
});

export const userByEmail = read({
  handler: (ctx, { email }: { email: string }) => {
    const id = ctx.get<string>(emailKey(email));
    return id === null ? null : found(ctx, id);
  },
});

/** All is read at one revision: what the index names is there. */
function found(ctx: ReadContext, id: string): User {
  return ctx.get<User>(userKey(id)) ?? ctx.abort(`the index names user ${id}, and there is none`);
}
