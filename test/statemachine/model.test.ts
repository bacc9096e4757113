import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { WriteOperation } from '../../src/base/operation.js';
import { type ModelBatch, NaiveModel } from './naive-model.js';
import { batch, brief, bytes, del, put, Replica, readAll, session } from './replica.js';

/** Small, so that histories reach them. */
const BOUNDS = { sessionsMax: 3, sessionIdleMsMax: 40, batchesPerSessionMax: 3 };

type Step =
  | { readonly type: 'command'; readonly waitMs: number; readonly sends: readonly Send[] }
  | { readonly type: 'noop' }
  /** The disk comes back as it was this many entries ago. */
  | { readonly type: 'restart'; readonly behind: number };

/** One batch as a client sends it. */
interface Send {
  readonly client: number;
  readonly what: 'next' | 'retry' | 'gap';
  /** For a retry: how many batches back. */
  readonly back: number;
  readonly acknowledges: boolean;
  readonly operations: readonly WriteOperation[];
}

const keys = fc.constantFrom('', 'a', 'aa', 'b', 'b\0', 'c', 'd', 'dd', '~');

const operation: fc.Arbitrary<WriteOperation> = fc.oneof(
  { weight: 3, arbitrary: fc.tuple(keys, fc.string({ maxLength: 3 })).map(([k, v]) => put(k, v)) },
  { weight: 2, arbitrary: keys.map(del) },
);

const send: fc.Arbitrary<Send> = fc.record({
  client: fc.nat({ max: 4 }),
  what: fc.constantFrom('next', 'next', 'next', 'retry', 'retry', 'gap'),
  back: fc.nat({ max: 4 }),
  acknowledges: fc.boolean(),
  operations: fc.array(operation, { minLength: 1, maxLength: 4 }),
});

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      type: fc.constant('command' as const),
      waitMs: fc.oneof(
        { weight: 5, arbitrary: fc.nat({ max: 10 }) },
        fc.integer({ min: -20, max: 60 }),
      ),
      sends: fc.array(send, { maxLength: 4 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('noop' as const) }) },
  {
    weight: 1,
    arbitrary: fc.record({ type: fc.constant('restart' as const), behind: fc.nat({ max: 5 }) }),
  },
);

const history = fc.array(step, { maxLength: 40, size: 'max' });

/** A client keeps what it sent, sends some of it again, and starts a new session when told to. */
class ClientModel {
  readonly #name: number;
  #sessions = 0;
  #bornIndex = 0;
  #sent: ModelBatch[] = [];
  #lost: ModelBatch[] = [];

  constructor(name: number) {
    this.#name = name;
  }

  make(request: Send, label: string): ModelBatch {
    if (request.what === 'retry') {
      // Sometimes from a session it has given up: a request that was long under way.
      const from = request.back === 4 && this.#lost.length > 0 ? this.#lost : this.#sent;
      const again = from.at(-1 - (request.back % 3));
      if (again !== undefined) return again;
    }
    const sequence = this.#sent.length + (request.what === 'gap' ? 2 : 1);
    const made: ModelBatch = {
      id: `${this.#name}/${this.#sessions}`,
      bornIndex: this.#bornIndex,
      sequence,
      acknowledged: request.acknowledges ? Math.max(0, sequence - 1 - request.back) : 0,
      // A key that nothing else writes: its version tells how often the batch was applied.
      operations: [...request.operations, put(`once ${label}`, label)],
    };
    if (request.what !== 'gap') this.#sent.push(made);
    return made;
  }

  hear(sent: ModelBatch, answer: string, index: number): void {
    const present = sent.id === `${this.#name}/${this.#sessions}`;
    if (!present || !answer.startsWith('SESSION_EXPIRED')) return;
    this.#lost = this.#sent;
    this.#sent = [];
    this.#sessions += 1;
    this.#bornIndex = index;
  }
}

/** Runs a history on a replica and on the model and compares every answer. */
async function run(steps: readonly Step[], options: { readonly restarts: boolean }) {
  const replica = await Replica.start(BOUNDS);
  const model = new NaiveModel(BOUNDS);
  const clients = [0, 1, 2, 3, 4].map((name) => new ClientModel(name));
  let timeMs = 1000;
  let label = 0;
  for (const one of steps) {
    if (one.type === 'noop') {
      replica.entry('noop');
      model.noop();
    } else if (one.type === 'restart') {
      const to = Math.max(0, replica.log.length - one.behind);
      if (options.restarts) await replica.restart(to);
    } else {
      timeMs += one.waitMs;
      const sent = one.sends.map((request) => {
        label += 1;
        return {
          client: clients[request.client],
          made: clients[request.client]?.make(request, `${label}`),
        };
      });
      const made = sent.flatMap((each) => each.made ?? []);
      const expected = model.command(timeMs, made);
      const answers = replica.command(made.map(toBatch), timeMs).map(brief);
      expect(answers).toEqual(expected);
      sent.forEach(({ client, made: batchSent }, n) => {
        if (batchSent) client?.hear(batchSent, answers[n] ?? '', replica.log.length);
      });
    }
    expect(replica.machine.appliedIndex).toBe(model.index);
    expect(replica.machine.revision).toBe(model.revision);
    expect(replica.machine.sessionCount).toBe(model.sessions.length);
  }
  return { replica, model };
}

function toBatch(made: ModelBatch) {
  return batch({ ...made, sessionId: session(made.id), operations: made.operations });
}

const runs = { numRuns: 150 };

describe('any history', () => {
  test('is answered as the model answers it, restarts or not', async () => {
    const seen = new Map<string, number>();
    await fc.assert(
      fc.asyncProperty(history, async (steps) => {
        const { model } = await run(steps, { restarts: true });
        seen.set('forgotten', (seen.get('forgotten') ?? 0) + Math.sign(model.forgottenThrough));
        seen.set('deep', (seen.get('deep') ?? 0) + Number(model.revision > 60));
      }),
      { numRuns: 400 },
    );
    // The histories do reach what they are meant to reach.
    expect(seen.get('forgotten')).toBeGreaterThan(50);
    expect(seen.get('deep')).toBeGreaterThan(20);
  });

  test('leaves no trace of restarts: hash, sessions and all records are those without', async () => {
    await fc.assert(
      fc.asyncProperty(history, async (steps) => {
        const calm = await run(steps, { restarts: false });
        const rough = await run(steps, { restarts: true });

        expect(rough.replica.machine.stateHash).toBe(calm.replica.machine.stateHash);
        expect(rough.replica.store.pairs()).toEqual(calm.replica.store.pairs());
      }),
      runs,
    );
  });

  test('applies each batch at most once', async () => {
    await fc.assert(
      fc.asyncProperty(history, async (steps) => {
        const { replica } = await run(steps, { restarts: true });

        const marks = await readAll(replica.machine, { from: bytes('once '), to: bytes('once!') });
        for (const mark of marks) expect(mark.version).toBe(1);
      }),
      runs,
    );
  });

  test('can be read at every revision, each key as the model has it', async () => {
    await fc.assert(
      fc.asyncProperty(history, async (steps) => {
        const { replica, model } = await run(steps, { restarts: true });

        for (const [revision, snapshot] of model.snapshots.entries()) {
          for (const key of ['', 'a', 'aa', 'b', 'b\0', 'c', 'd', 'dd', '~', 'once 3', 'nobody']) {
            const found = replica.machine.get(bytes(key), revision);
            const held = found && {
              value: Buffer.from(found.value).toString(),
              create: found.createRevision,
              mod: found.modRevision,
              version: found.version,
            };
            expect(held ?? undefined).toEqual(snapshot.get(key));
          }
        }
      }),
      runs,
    );
  });

  test('can be read in ranges: forward, reverse, in pages of any size, at any revision', async () => {
    const query = fc.record({
      from: keys,
      to: fc.option(keys),
      reverse: fc.boolean(),
      keysMax: fc.integer({ min: 1, max: 6 }),
      at: fc.nat({ max: 100 }),
    });
    await fc.assert(
      fc.asyncProperty(history, fc.array(query, { minLength: 5 }), async (steps, queries) => {
        const { replica, model } = await run(steps, { restarts: true });

        for (const { from, to, reverse, keysMax, at } of queries) {
          const revision = Math.floor((model.revision * at) / 100);
          const expected = [...(model.snapshots[revision] ?? [])]
            .filter(([key]) => key >= from && (to === null || key < to))
            .map(([key, held]) => ({ key, ...held }))
            .sort((a, b) => (a.key < b.key ? -1 : 1));
          if (reverse) expected.reverse();
          const found = await readAll(replica.machine, {
            from: bytes(from),
            to: to === null ? null : bytes(to),
            reverse,
            keysMax,
            revision,
          });
          expect(found).toEqual(expected);
        }
      }),
      runs,
    );
  });
});
