import { beforeEach, describe, expect, test } from 'vitest';
import { unpackCall } from '../../../src/base/call-codec.js';
import { TRIGGER_BEGINNINGS } from '../../../src/base/command-versions.js';
import { BalsaError } from '../../../src/base/errors.js';
import { LIMITS } from '../../../src/base/limits.js';
import { seededRandom } from '../../../src/base/random.js';
import {
  type CallDone,
  type CallRequest,
  refusedCall,
} from '../../../src/server/calls/call-types.js';
import { Triggers } from '../../../src/server/calls/triggers.js';
import { WatchHub } from '../../../src/server/watch-hub.js';
import { deploy, hashOf } from '../../statemachine/call-records.js';
import { compact } from '../../statemachine/operations.js';
import { put, Replica } from '../../statemachine/replica.js';

const HASH = hashOf('aaaa1111');
const CURSOR = '_triggers/ship';

interface Called {
  readonly request: CallRequest;
  readonly done: CallDone;
}

/** A leader's triggers over a state machine; what they call is answered by the test. */
class World {
  readonly replica: Replica;
  readonly hub: WatchHub;
  readonly called: Called[] = [];
  readonly submitted: Uint8Array[] = [];
  readonly notes: string[] = [];
  triggers: Triggers;
  nowMs = 0;
  /** Records that were submitted, one behind the other. */
  #applied = Promise.resolve();

  static async start(): Promise<World> {
    const replica = await Replica.start();
    const procedures = [{ name: 'ship', mode: 'cp' as const, trigger: 'orders/' }];
    await replica.do({ ...deploy(HASH, ['ship']), procedures });
    return new World(replica);
  }

  private constructor(replica: Replica) {
    this.replica = replica;
    const onFailure = (error: unknown): never => {
      throw error;
    };
    this.hub = new WatchHub({ clock: this.#clock, limits: LIMITS, onFailure }, replica.machine);
    this.triggers = this.#leading();
  }

  /** What was written is told, and the triggers look. */
  async turn(...operations: Parameters<Replica['do']>): Promise<void> {
    if (operations.length > 0) await this.replica.do(...operations);
    this.hub.flush();
    this.nowMs += 1000;
    this.triggers.tick();
    // History is read in the background.
    for (let i = 0; i < 20; i += 1) await new Promise((resolve) => setImmediate(resolve));
    await this.#applied;
    this.triggers.tick();
    await this.#applied;
  }

  /** Other code under the name of the trigger, for writes below this prefix. */
  async deployAnew(prefix: string, version = TRIGGER_BEGINNINGS): Promise<void> {
    const procedures = [{ name: 'ship', mode: 'cp' as const, trigger: prefix }];
    const deployed = { ...deploy(hashOf('bbbb2222'), ['ship']), procedures };
    await this.replica.doIn(version, deployed);
  }

  /** As {@link World.turn}, before it is looked for triggers that have come or gone. */
  async soon(...operations: Parameters<Replica['do']>): Promise<void> {
    await this.replica.do(...operations);
    this.hub.flush();
    this.triggers.tick();
  }

  /** The oldest call that was asked for comes to this. */
  async answer(error: BalsaError | null, failure: string | null = null): Promise<void> {
    const { request, done } = this.called.shift() ?? raise('nothing was called');
    if (error !== null) {
      done(refusedCall(error));
      return;
    }
    await this.replica.do(...(request.supplement?.writes ?? []).map(asPut));
    const { revision } = this.replica.machine;
    const answer = { ok: true, result: 'null', revision, logs: [], repeated: false } as const;
    done({ ...answer, hash: HASH, failure });
  }

  /** Another leader takes over. */
  lead(): void {
    this.triggers.stop();
    this.triggers = this.#leading();
  }

  get cursor(): unknown {
    const stored = this.replica.machine.get(Buffer.from(CURSOR), null);
    return stored === null ? null : JSON.parse(Buffer.from(stored.value).toString());
  }

  /** The values that it was called with, of each call that waits. */
  get told(): unknown[][] {
    return this.called.map(({ request }) =>
      (JSON.parse(request.args) as { value: unknown }[]).map(({ value }) => value),
    );
  }

  get #clock() {
    return {
      monotonicMs: () => this.nowMs,
      wallMs: () => 0,
      setTimer: () => ({ cancel: () => {} }),
      defer: (callback: () => void) => void setImmediate(callback),
    };
  }

  #leading(): Triggers {
    return new Triggers({
      ...{ clock: this.#clock, random: seededRandom(1), nowMs: () => 0, logMs: () => 0 },
      ...{ machine: () => this.replica.machine, canRun: () => true, watches: () => this.hub },
      call: (request, done) => void this.called.push({ request, done }),
      note: (_procedure, line) => void this.notes.push(line),
      submit: (record, done) => {
        this.submitted.push(record);
        this.#applied = this.#applied.then(async () => {
          const [answer] = await this.replica.run({ calls: [record] });
          if (answer === undefined || !answer.ok) throw new Error('it was refused');
          const { revision } = this.replica.machine;
          done({ ok: true, result: 'null', revision, logs: [], repeated: false, hash: HASH });
        });
      },
    });
  }
}

function raise(message: string): never {
  throw new Error(message);
}

function asPut({ key, value }: { key: Uint8Array; value: Uint8Array | null }) {
  return { type: 'put' as const, key, value };
}

/** So many triggers more, none of which is for what the tests write. */
function deployMany(count: number) {
  const names = Array.from({ length: count }, (_, i) => `idle${i}`);
  const procedures = names.map((name) => ({ name, mode: 'cp' as const, trigger: `${name}/` }));
  return { ...deploy(hashOf('cccc3333'), names), procedures };
}

const step = (key: string, value: string) =>
  ({ type: 'put', key: Buffer.from(key), value: Buffer.from(value) }) as const;
const order = (n: number) => put(`orders/${n}`, JSON.stringify(n));
const LEFT_OUT = 'trigger: write orders/1 at revision 1 is left out: PROCEDURE_FAILED: no';
const REMOVE = { type: 'alias-remove', name: 'ship', alias: 'prod' } as const;
const others = (count: number) => Array.from({ length: count }, (_, i) => put(`other/${i}`, 'x'));

let world: World;

beforeEach(async () => {
  world = await World.start();
  await world.turn();
});

describe('a trigger', () => {
  test('is called with what was written below its prefix, in order, and moves its cursor on with it', async () => {
    await world.turn(order(1), put('other', 'x'), order(2));
    expect(world.told).toEqual([[1, 2]]);
    await world.answer(null);
    expect(world.cursor).toEqual({ revision: 3, sub: 0 });
    await world.turn(order(3));
    expect(world.told).toEqual([[3]]);
  });

  test('that fails is called with one write at a time, and leaves out one that fails five times', async () => {
    await world.turn(order(1), order(2));
    const failed = new BalsaError('PROCEDURE_FAILED', 'no', { outcome: 'not-applied' });
    const told: unknown[] = [];
    for (let i = 0; i < 5; i += 1) {
      told.push(...world.told);
      expect(world.called[0]?.request.supplement?.evenIfFailed).toBe(i === 4);
      await world.answer(i === 4 ? null : failed, i === 4 ? 'PROCEDURE_FAILED: no' : null);
      expect(world.notes).toEqual(i === 4 ? [LEFT_OUT] : []);
      world.nowMs += 20_000;
      await world.turn();
    }
    expect(told).toEqual([[1, 2], [1], [1], [1], [1]]);
    expect(world.told).toEqual([[2]]);
  });

  test.each(['PROCEDURE_READ_ONLY', 'PROCEDURE_NOT_FOUND'] as const)(
    'leaves out a write with which its code always ends with %s',
    async (code) => {
      await world.turn(order(1));
      for (let i = 0; i < 5; i += 1) {
        expect(world.called[0]?.request.supplement?.evenIfFailed).toBe(i === 4);
        const failed = new BalsaError(code, 'no', { outcome: 'not-applied' });
        await world.answer(i === 4 ? null : failed);
        world.nowMs += 20_000;
        await world.turn();
      }
      expect(world.told).toEqual([]);
      expect(world.cursor).toEqual({ revision: 1, sub: 0 });
    },
  );

  test('goes on where the one of the leader before has ended', async () => {
    await world.turn(order(1));
    await world.answer(null);
    await world.turn(order(2));
    expect(world.told).toEqual([[2]]);
    world.called.length = 0;
    world.lead();
    await world.turn(order(3));
    expect(world.told).toEqual([[2, 3]]);
  });
});

describe('a trigger on keys of all kinds', () => {
  test.each(['', '_', '_triggers/', '_triggers/ship'])(
    'is not called for having been called: prefix %j',
    async (prefix) => {
      await world.deployAnew(prefix);
      await world.turn();
      await world.turn(put('_mine', '1'));
      const isFor = '_mine'.startsWith(prefix);
      expect(world.told).toEqual(isFor ? [[1]] : []);
      if (isFor) await world.answer(null);
      const { revision } = world.replica.machine;
      for (let i = 0; i < 5; i += 1) await world.turn();
      expect(world.called).toEqual([]);
      expect(world.replica.machine.revision).toBe(revision);
    },
  );

  test('goes on within a revision that has places of triggers as well', async () => {
    await world.deployAnew('');
    await world.turn();
    const writes = Array.from({ length: 150 }, (_, n) => step(`a/${n}`, String(n)));
    const places = ['x', 'y', 'z'].map((name) => step(`_triggers/${name}`, '{}'));
    const steps = [...places.slice(0, 2), ...writes.slice(0, 50), ...places.slice(2)];
    const success = [...steps, ...writes.slice(50)];
    await world.turn({ type: 'txn', compares: [], success, failure: [] });
    const told = [...(world.told[0] ?? [])];
    expect(told).toHaveLength(100);
    await world.answer(null);
    expect(world.cursor).toMatchObject({ sub: 100 });

    world.called.length = 0;
    world.lead();
    await world.turn();
    told.push(...(world.told[0] ?? []));
    expect(told.sort((a, b) => Number(a) - Number(b))).toEqual(writes.map((_, n) => n));
  });
});

describe('a trigger that was removed', () => {
  test('and is deployed again begins then, and not where it was before', async () => {
    await world.turn(order(1));
    await world.answer(null);
    await world.turn(REMOVE);
    await world.turn(order(2));
    await world.deployAnew('orders/');
    await world.turn();
    expect(world.told).toEqual([]);
    await world.turn(order(3));
    expect(world.told).toEqual([[3]]);

    await world.answer(null);
    world.lead();
    await world.turn(order(4));
    expect(world.told).toEqual([[4]]);
  });

  test('and is deployed again before anybody has looked is not told what was written before, whoever leads', async () => {
    await world.turn(order(1));
    await world.answer(null);
    await world.turn(order(2));
    await world.answer(new BalsaError('OVERLOADED', 'not now', { outcome: 'not-applied' }));
    await world.soon(REMOVE);
    await world.soon(order(3));
    await world.deployAnew('orders/');
    world.nowMs += 200;
    await world.soon(order(4));
    expect(world.told).toEqual([]);
    await world.turn();
    expect(world.told).toEqual([[4]]);

    world.called.length = 0;
    world.lead();
    await world.turn();
    expect(world.told).toEqual([[4]]);
  });

  test('and is deployed again while it is called is called with what comes then, and nothing else', async () => {
    await world.turn(order(1));
    expect(world.told).toEqual([[1]]);
    await world.soon(REMOVE);
    await world.soon(order(2));
    await world.deployAnew('orders/');
    await world.soon(order(3));
    await world.answer(null);
    expect(world.told).toEqual([]);
    await world.turn();
    expect(world.told).toEqual([[3]]);
  });

  test('and has another prefix when it is deployed again begins then', async () => {
    await world.turn(order(1), put('bills/1', '1'));
    await world.answer(null);
    await world.turn(put('bills/2', '2'));
    await world.deployAnew('bills/');
    await world.turn(put('bills/3', '3'));
    expect(world.told).toEqual([[3]]);
  });

  test('and has another prefix is not called with what was for the one before, nor goes by its place', async () => {
    await world.turn(order(1));
    await world.answer(null);
    await world.deployAnew('bills/');
    await world.soon(put('bills/2', '2'), order(3));
    expect(world.told).toEqual([]);
    await world.soon(...others(200));
    expect(world.submitted).toEqual([]);
    await world.turn();
    expect(world.told).toEqual([[2]]);
  });
});

describe('a new version of the code of a trigger', () => {
  test('goes on where the one before is, with each write once', async () => {
    await world.turn(order(1));
    expect(world.told).toEqual([[1]]);
    await world.deployAnew('orders/');
    await world.soon(order(2));
    await world.answer(null);
    expect(world.told).toEqual([[2]]);
    await world.turn(order(3));
    await world.answer(null);
    expect(world.told).toEqual([[3]]);
    for (let i = 0; i < 3; i += 1) await world.turn();
    expect(world.told).toEqual([[3]]);
  });

  test('goes on also where an older entry says that it begins later, at a place that was passed', async () => {
    const older = TRIGGER_BEGINNINGS - 1;
    await world.turn(order(1));
    await world.answer(null);
    await world.deployAnew('orders/', older);
    await world.turn(order(2));
    await world.answer(null);
    const [before] = world.replica.machine.triggers();
    const back = { type: 'alias-set', name: 'ship', alias: 'prod', hash: HASH } as const;
    await world.replica.doIn(older, { ...back, expected: null });
    const [after] = world.replica.machine.triggers();
    expect(after?.sinceRevision).toBeGreaterThan(before?.sinceRevision ?? 0);
    // The one that runs is told at once: it was not begun anew.
    await world.soon(order(3));
    expect(world.told).toEqual([[3]]);
    await world.turn(order(4));
    await world.answer(null);
    expect(world.told).toEqual([[4]]);
  });
});

describe('the history that a trigger holds', () => {
  test('goes on without it when nothing is written below its prefix', async () => {
    await world.turn(...others(99));
    expect(world.submitted).toEqual([]);
    await world.turn(...others(1));
    expect(world.submitted.map((bytes) => unpackCall(bytes).writes.length)).toEqual([1]);
    expect(world.cursor).toEqual({ revision: 100, sub: 0 });
    // The mark itself is a write: it does not lead to another one.
    for (let i = 0; i < 5; i += 1) await world.turn();
    expect(world.submitted).toHaveLength(1);
    await world.replica.do(compact(world.replica.machine.revision));
    expect(world.replica.machine.compactedRevision).toBe(101);
  });

  test.each([99, 100, 101, 250])(
    'stands still while nobody writes, with %i triggers more',
    async (count) => {
      await world.turn(deployMany(count));
      await world.turn(...others(100 + count));
      for (let i = 0; i < 3; i += 1) await world.turn();
      // Each has said once how far it is.
      expect(world.submitted).toHaveLength(count + 1);
      const { revision } = world.replica.machine;
      for (let i = 0; i < 5; i += 1) await world.turn();
      expect(world.replica.machine.revision).toBe(revision);

      world.lead();
      for (let i = 0; i < 5; i += 1) await world.turn();
      expect(world.replica.machine.revision).toBe(revision);
      await world.turn(...others(100 + count));
      expect(world.submitted).toHaveLength(2 * (count + 1));
    },
  );

  test('does not go on while it was not called with all that it was told', async () => {
    await world.turn(order(1), ...others(300));
    expect(world.told).toEqual([[1]]);
    for (let i = 0; i < 3; i += 1) await world.turn();
    expect(world.submitted).toEqual([]);
    await world.answer(null);
    expect(world.cursor).toEqual({ revision: 1, sub: 0 });
    await world.turn();
    expect(world.cursor).toEqual({ revision: 302, sub: 0 });
  });

  test('is there for a leader that begins behind a compaction', async () => {
    await world.turn(order(1));
    world.lead();
    world.called.length = 0;
    await world.replica.do(...others(50), compact(51));
    await world.turn();
    expect(world.told).toEqual([[1]]);
    expect(world.notes).toEqual([]);
  });
});
