import { expect } from 'vitest';
import { type Random, seededRandom } from '../../../src/base/random.js';
import { text } from '../../../src/client/codec.js';
import type { Client } from '../../../src/client/kv-client.js';
import type { Transaction } from '../../../src/client/transaction.js';
import type { Harness } from './harness.js';

type TextClient = Client<string, string, 'text'>;
type TextTransaction = Transaction<string, string, 'text'>;

export async function all(items: AsyncIterable<{ key: string; value: string }>): Promise<string[]> {
  const found: string[] = [];
  for await (const { key, value } of items) found.push(`${key}=${value}`);
  return found;
}

const KEYS = ['a', 'b', 'c', 'd', 'e', 'f'];

/** Several clients with random transactions; checks them in the order of their commits. @returns conflicts */
export async function playMany(h: Harness, seed: number): Promise<number> {
  const random = seededRandom(seed);
  const done: { commit: number; check: (state: Map<string, string>) => void }[] = [];
  let attempts = 0;
  let committed = 0;
  const clients: TextClient[] = [];
  for (let n = 0; n < 4; n += 1) clients.push(await h.connect({ codec: text }));
  const worker = async (client: TextClient, name: number): Promise<void> => {
    for (let n = 0; n < 8; n += 1) {
      const id = `${name}-${n}`;
      const checks: ((state: Map<string, string>) => void)[] = [];
      await client.transaction(
        async (tx) => {
          attempts += 1;
          checks.length = 0;
          await randomWork(tx, random, id, checks);
          tx.put(`z/${id}`, '');
        },
        { retries: 1000, timeoutMs: 0 },
      );
      committed += 1;
      const { modRevision: commit } = await client.get(`z/${id}`);
      const check = (state: Map<string, string>): void => {
        for (const one of checks) one(state);
      };
      done.push({ commit, check });
    }
  };
  await h.until(Promise.all(clients.map((client, i) => worker(client, i))));
  done.sort((one, two) => one.commit - two.commit);
  expect(new Set(done.map(({ commit }) => commit)).size).toBe(done.length);
  const state = new Map<string, string>();
  for (const { check } of done) check(state);
  const left = await h.until(all((clients[0] as TextClient).range({ to: 'g' })));
  expect(left).toEqual(rangeOf(state, { from: 'a', to: 'g', reverse: false, limit: 100 }));
  return attempts - committed;
}

/** Each check is repeated in the order of the commits, against the state that is there by then. */
async function randomWork(
  tx: TextTransaction,
  random: Random,
  id: string,
  checks: ((state: Map<string, string>) => void)[],
): Promise<void> {
  for (let steps = 1 + random.int(4); steps > 0; steps -= 1) {
    const key = KEYS[random.int(KEYS.length)] ?? 'a';
    switch (random.int(5)) {
      case 0:
      case 1: {
        const { value } = await tx.get(key);
        checks.push((state) => expect(state.get(key)).toBe(value));
        break;
      }
      case 2: {
        tx.put(key, `${id}.${steps}`);
        checks.push((state) => state.set(key, `${id}.${steps}`));
        break;
      }
      case 3: {
        tx.delete(key);
        checks.push((state) => state.delete(key));
        break;
      }
      default: {
        const options = {
          from: key,
          to: 'g',
          reverse: random.int(2) === 0,
          limit: 1 + random.int(6),
        };
        const found = await all(tx.range(options));
        checks.push((state) => expect(rangeOf(state, options)).toEqual(found));
      }
    }
  }
}

function rangeOf(
  state: Map<string, string>,
  { from, to, reverse, limit }: { from: string; to: string; reverse: boolean; limit: number },
): string[] {
  const keys = [...state.keys()].filter((key) => key >= from && key < to).sort();
  if (reverse) keys.reverse();
  return keys.slice(0, limit).map((key) => `${key}=${state.get(key)}`);
}
