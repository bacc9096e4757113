import type { Client } from '../../src/client/client.js';
import type { Answer } from '../run/recorder.js';
import {
  type Bench,
  encode,
  forAll,
  parse,
  pick,
  type Step,
  used,
  type Workload,
  type WorkloadClient,
} from './workload.js';

const KEYS_AT_ONCE = 6;
const OPERATIONS_PER_KEY = 300;

/** Keys change after a while, so that each is judged by itself and no search grows without bound. */
export function registerStep(bench: Bench, client: WorkloadClient, prefix: string): Step {
  const { db, log, random } = client;
  const rounds = (bench.shared.get(`${prefix} rounds`) as number[] | undefined) ?? [];
  bench.shared.set(`${prefix} rounds`, rounds);
  return async () => {
    const slot = random.int(KEYS_AT_ONCE);
    rounds[slot] = (rounds[slot] ?? 0) + 1;
    const key = `${prefix}/${slot}-${Math.floor(rounds[slot] / OPERATIONS_PER_KEY)}`;
    used(bench, prefix).add(key);
    const dice = random.int(100);
    if (dice < 45) {
      await log.do({ f: 'get', key, writes: false }, () => read(db, key));
    } else if (dice < 75) {
      const value = bench.fresh();
      await log.do({ f: 'put', key, value, writes: true }, () => db.put(key, encode(value)));
    } else if (dice < 95) await cas(bench, client, key);
    else {
      await log.do({ f: 'delete', key, writes: true }, async () => {
        const { deleted, revision, meta } = await db.delete(key);
        return { value: deleted, revision, meta };
      });
    }
  };
}

export function registerFinish(bench: Bench, prefix: string): Promise<void> {
  return forAll(used(bench, prefix), (key) =>
    bench.final({ f: 'get', key, writes: false }, () => read(bench.db, key)),
  );
}

async function read(db: Client, key: string): Promise<Answer> {
  const { value, meta } = await db.get(key);
  return { value: parse(value), meta };
}

async function cas(bench: Bench, { db, log, random }: WorkloadClient, key: string): Promise<void> {
  const there = await log.do({ f: 'get', key, writes: false }, () => read(db, key));
  if (there.type !== 'ok' || there.answer.value === null) return;
  // Now and then what it surely does not hold.
  const old = random.int(8) === 0 ? -1 : there.answer.value;
  const next = bench.fresh();
  await log.do({ f: 'cas', key, value: [old, next], writes: true }, async (): Promise<Answer> => {
    const done = await db.cas(key, { expected: { value: encode(old) }, value: encode(next) });
    if (!done.succeeded) return { refused: 'CONDITION_FAILED', revision: done.revision };
    return { revision: done.revision, meta: done.meta };
  });
}

export const register: Workload = {
  name: 'register',
  about: 'read, write, compare-and-set and delete of single keys',
  checkers: ['register', 'strict'],
  processes: 10,
  start: (bench, client) => registerStep(bench, client, 'register'),
  finish: (bench) => registerFinish(bench, 'register'),
};

/** Reads elements of a set one by one, and all together. */
export const set: Workload = {
  name: 'set',
  about: 'elements are added, some are removed, and all of them read',
  checkers: ['set'],
  processes: 6,
  start: (bench, { db, log, random }) => {
    return async () => {
      const group = pick(random, ['a', 'b']);
      const prefix = `set/${group}/${Math.floor(bench.recorder.operations / 4000)}/`;
      used(bench, 'sets').add(prefix);
      const dice = random.int(20);
      if (dice > 2) {
        await add({ db, log, prefix, element: bench.fresh() }, addedTo(bench, prefix));
        return;
      }
      if (dice === 2) {
        const [element] = addedTo(bench, prefix).splice(0, 1);
        if (element !== undefined) await remove({ db, log, prefix, element });
        return;
      }
      await log.do({ f: 'read', key: prefix, writes: false }, () => elementsOf(db, prefix));
    };
  },
  finish: (bench) =>
    forAll(used(bench, 'sets'), (key) =>
      bench.final({ f: 'read', key, writes: false }, () => elementsOf(bench.db, key)),
    ),
};

interface ElementOf extends Pick<WorkloadClient, 'db' | 'log'> {
  readonly prefix: string;
  readonly element: number;
}

/** Elements of a set that may be removed, the oldest first. */
function addedTo(bench: Bench, prefix: string): number[] {
  const name = `added to ${prefix}`;
  const elements = (bench.shared.get(name) as number[] | undefined) ?? [];
  bench.shared.set(name, elements);
  return elements;
}

async function add({ db, log, prefix, element }: ElementOf, added: number[]): Promise<void> {
  const question = { f: 'add', key: prefix, value: element, writes: true };
  const came = await log.do(question, () => db.put(`${prefix}${element}`, encode(element)));
  // One that is added after it was removed would be there again.
  if (came.type === 'ok') added.push(element);
}

async function remove({ db, log, prefix, element }: ElementOf): Promise<void> {
  const question = { f: 'remove', key: prefix, value: element, writes: true };
  await log.do(question, async () => {
    const { revision, meta } = await db.delete(`${prefix}${element}`);
    return { revision, meta };
  });
}

async function elementsOf(db: Client, prefix: string): Promise<Answer> {
  const elements: unknown[] = [];
  let meta: Answer['meta'];
  for await (const item of db.range({ prefix })) {
    elements.push(parse(item.value));
    meta = item.meta;
  }
  return { value: elements, ...(meta === undefined ? {} : { meta }) };
}
