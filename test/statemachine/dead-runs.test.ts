import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { toMapKey } from '../../src/base/bytes.js';
import { DeadRuns } from '../../src/statemachine/dead-runs.js';
import { bytes, del, put, Replica, readAll } from './replica.js';

const KEYS = 120;
const keyOf = (n: number): string => `k${String(n).padStart(3, '0')}`;

type Step =
  | { readonly type: 'put' | 'delete'; readonly first: number; readonly count: number }
  | {
      readonly type: 'range';
      readonly first: number;
      readonly last: number;
      readonly reverse: boolean;
      readonly keysMax: number;
      readonly ago: number;
      /** What is written while it is read. */
      readonly beside: readonly number[];
    }
  | { readonly type: 'clear'; readonly first: number; readonly last: number };

const place = fc.nat({ max: KEYS - 1 });
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({
    type: fc.constantFrom('put' as const, 'delete' as const, 'delete' as const),
    first: place,
    count: fc.oneof(fc.constant(1), fc.constant(1), fc.integer({ min: 1, max: KEYS })),
  }),
  fc.record({
    type: fc.constant('range' as const),
    first: place,
    last: place,
    reverse: fc.boolean(),
    keysMax: fc.integer({ min: 1, max: 10 }),
    ago: fc.oneof(fc.constant(0), fc.nat({ max: 60 })),
    beside: fc.array(place, { maxLength: 6 }),
  }),
  fc.record({ type: fc.constant('clear' as const), first: place, last: place }),
);

/** A store with all that it has ever held. */
class World {
  readonly replica: Replica;
  /** By revision. */
  readonly #states: Map<string, string>[] = [new Map()];

  constructor(replica: Replica) {
    this.replica = replica;
    const { store } = replica;
    const scan = store.scan.bind(store);
    // What it gives is how it was when it was asked.
    store.scan = async (range) => {
      const page = await scan(range);
      for (let turns = 0; turns < 5; turns += 1) await null;
      return page;
    };
  }

  get revision(): number {
    return this.#states.length - 1;
  }

  put(n: number): void {
    const value = `v${this.#states.length}`;
    this.#states.push(new Map(this.#latest).set(keyOf(n), value));
    this.replica.write(put(keyOf(n), value));
  }

  delete(n: number): void {
    if (!this.#latest.has(keyOf(n))) return;
    const next = new Map(this.#latest);
    next.delete(keyOf(n));
    this.#states.push(next);
    this.replica.write(del(keyOf(n)));
  }

  /** Whatever is there goes, in one operation. */
  async clear(from: string, to: string): Promise<void> {
    const next = new Map([...this.#latest].filter(([key]) => key < from || key >= to));
    const gone = this.#latest.size - next.size;
    if (gone > 0) this.#states.push(next);
    const [result] = await this.replica.do({
      ...{ type: 'delete-range', from: bytes(from), to: bytes(to) },
    });
    expect(result).toMatchObject({ type: 'delete', deleted: gone });
  }

  at(revision: number, from: string, to: string): string[] {
    const state = this.#states[revision] as Map<string, string>;
    const there = [...state].filter(([key]) => key >= from && key < to);
    return there.map(([key, value]) => `${key}=${value}`).sort();
  }

  get #latest(): Map<string, string> {
    return this.#states.at(-1) as Map<string, string>;
  }
}

async function carryOut(world: World, one: Step): Promise<void> {
  if (one.type === 'clear') {
    await world.clear(keyOf(Math.min(one.first, one.last)), keyOf(Math.max(one.first, one.last)));
  } else if (one.type === 'range') {
    const { reverse, keysMax, ago, beside } = one;
    const [from = '', to = ''] = [keyOf(one.first), keyOf(one.last)].sort();
    const revision = Math.max(0, world.revision - ago);
    const bounds = { from: bytes(from), to: bytes(to) };
    const reading = readAll(world.replica.machine, { ...bounds, reverse, keysMax, revision });
    for (const n of beside) {
      await null;
      if (n % 2 === 0) world.put(n);
      else world.delete(n);
    }
    const items = (await reading).map(({ key, value }) => `${key}=${value}`);
    expect(reverse ? items.reverse() : items).toEqual(world.at(revision, from, to));
  } else {
    for (let n = one.first; n < Math.min(KEYS, one.first + one.count); n += 1) {
      if (one.type === 'put') world.put(n);
      else world.delete(n);
    }
  }
}

describe('runs of deleted keys', () => {
  test('are passed over, and nothing that is there or was there ever is', async () => {
    let passed = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 20, maxLength: 60 }), async (steps) => {
        const world = new World(await Replica.start());
        for (let n = 0; n < KEYS; n += 1) world.put(n);
        for (const one of steps) await carryOut(world, one);
        passed += 1;
      }),
      { seed: 7, numRuns: 60 },
    );
    expect(passed).toBe(60);
  });

  test('hide no key that an entry writes and deletes again from who reads in between', async () => {
    const replica = await Replica.start();
    for (let n = 0; n < KEYS; n += 1) replica.write(put(keyOf(n), 'v'));
    for (let n = 0; n < KEYS; n += 1) replica.write(del(keyOf(n)));
    expect(await replica.items()).toEqual([]);
    const [written] = replica.write(put(keyOf(50), 'again'), del(keyOf(50)));
    const revision = (written as { revision: number }).revision;
    expect(await replica.items({ revision })).toEqual([`${keyOf(50)}=again`]);
    expect(await replica.items({ revision, reverse: true })).toEqual([`${keyOf(50)}=again`]);
    expect(await replica.items()).toEqual([]);
  });

  /** Deleted keys from one to another. */
  function walked(dead: DeadRuns, first: number, last: number, revision = 5): void {
    const walk = dead.walk({ from: bytes(keyOf(first)), to: null }, false);
    for (let n = first; n <= last; n += 1) walk.dead(bytes(keyOf(n)), revision);
    walk.end();
  }
  const ALL = { from: bytes(''), to: null };
  const shown = (dead: DeadRuns, reverse = false, revision = 9, bounds = ALL): string[] => {
    const pieces: string[] = [];
    let rest: { from: Uint8Array; to: Uint8Array | null } = bounds;
    for (;;) {
      const piece = dead.piece(rest, reverse, revision);
      if (piece === null) return pieces;
      const name = (key: Uint8Array): string => toMapKey(key).replace('\0', '+');
      pieces.push(`${name(piece.from)}..${piece.to === null ? '' : name(piece.to)}`);
      if (!piece.isCut) return pieces;
      rest = reverse
        ? { from: bounds.from, to: piece.from }
        : { from: piece.to as Uint8Array, to: bounds.to };
    }
  };

  test('lie between the pieces of a range that are worth while, either way', () => {
    const dead = new DeadRuns();
    walked(dead, 10, 50);
    walked(dead, 70, 110);
    expect(shown(dead)).toEqual(['..k010', 'k050+..k070', 'k110+..']);
    expect(shown(dead, true)).toEqual(['k110+..', 'k050+..k070', '..k010']);
    const inside = { from: bytes('k020'), to: bytes('k030') };
    expect(shown(dead, false, 9, inside as never)).toEqual([]);
    expect(shown(dead, true, 9, inside as never)).toEqual([]);
  });

  test('grow together, and count for those that read them as they are since', () => {
    const dead = new DeadRuns();
    walked(dead, 10, 50, 5);
    walked(dead, 40, 90, 8);
    expect(dead.size).toBe(1);
    expect(shown(dead)).toEqual(['..k010', 'k090+..']);
    expect(shown(dead, false, 7)).toEqual(['..']);
    expect(shown(dead, true, 7)).toEqual(['..']);
  });

  test('are divided by a key that is written, also while they are found', () => {
    const dead = new DeadRuns();
    walked(dead, 10, 90);
    dead.put('k050');
    expect(shown(dead)).toEqual(['..k010', 'k050..k050+', 'k090+..']);
    const walk = dead.walk(ALL, false);
    for (let n = 10; n < 90; n += 1) walk.dead(bytes(keyOf(n)), 5);
    dead.put('k051');
    walk.end();
    expect(shown(dead)).toEqual(['..k010', 'k050..k050+', 'k051..k051+', 'k090+..']);
  });

  test('that are short are not remembered, and of too many the shortest is forgotten', () => {
    const dead = new DeadRuns();
    walked(dead, 10, 20);
    expect(dead.size).toBe(0);
    for (let n = 0; n < 400; n += 1) walked(dead, n * 1000, n * 1000 + 40 + (n % 3));
    expect(dead.size).toBe(256);
  });
});
