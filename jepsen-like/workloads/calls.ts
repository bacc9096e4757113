import type { Client } from '../../src/client/client.js';
import type { Answer } from '../run/recorder.js';
import {
  type Bench,
  forAll,
  parse,
  pick,
  type Step,
  used,
  type Workload,
  type WorkloadClient,
} from './workload.js';

/** Elements of a queue are taken out in the order in which they were put in. */
export const queue: Workload = {
  name: 'queue',
  about: 'procedures put elements into queues and take them out, each once',
  checkers: ['queue'],
  processes: 6,
  start: (bench, { db, log, random }): Step => {
    return async () => {
      const key = `queue/${pick(random, ['a', 'b'])}`;
      if (random.int(2) === 0) {
        const value = bench.fresh();
        await log.do({ f: 'enqueue', key, value, writes: true, class: 'call cp' }, async () => {
          const { revision, meta } = await db.call('enqueue', { key, value });
          return { revision, meta };
        });
        return;
      }
      await log.do({ f: 'dequeue', key, writes: true, class: 'call cp' }, async () => {
        const { result, revision, meta } = await db.call('dequeue', key);
        return { value: result, revision, meta };
      });
    };
  },
  finish: async (bench) => {
    // Read and not taken out: that can be asked again when it was not answered.
    for (const key of ['queue/a', 'queue/b']) {
      await bench.final({ f: 'drain', key, writes: false }, async () => {
        const all: unknown[] = [];
        for await (const { value } of bench.db.range({ prefix: `${key}/` })) all.push(parse(value));
        return { value: all };
      });
    }
  },
};

export const counter: Workload = {
  name: 'counter',
  about: 'procedures add to numbers, which are read meanwhile',
  checkers: ['counter'],
  processes: 6,
  start: (_bench, { db, log, random }): Step => {
    return async () => {
      const key = `counter/${random.int(3)}`;
      if (random.int(3) === 0) {
        await log.do({ f: 'read', key, writes: false }, () => readNumber(db, key));
        return;
      }
      const by = 1 + random.int(5);
      await log.do({ f: 'add', key, value: by, writes: true, class: 'call cp' }, async () => {
        const { revision, meta } = await db.call('increment', { key, by });
        return { revision, meta };
      });
    };
  },
  finish: async (bench) => {
    for (let i = 0; i < 3; i += 1) {
      const key = `counter/${i}`;
      await bench.final({ f: 'read', key, writes: false }, () => readNumber(bench.db, key));
    }
  },
};

async function readNumber(db: Client, key: string): Promise<Answer> {
  const { value, meta } = await db.get(key);
  return { value: Number(value?.toString() ?? 0), meta };
}

/** Two look whether the other is there, and come in if not: each alone would be right, both together are not. */
export const writeSkew: Workload = {
  name: 'write-skew',
  about: 'of two that each come in only when the other is not there, one at most gets in',
  checkers: ['write-skew'],
  processes: 6,
  start: (bench, client): Step => {
    const { db, log, random } = client;
    return async () => {
      const pair = `skew/${Math.floor(bench.recorder.operations / 8)}`;
      const place = pick(random, ['a', 'b']);
      const who = `${place}${bench.fresh()}`;
      used(bench, 'pairs').add(pair);
      if (random.int(4) === 0) {
        await log.do({ f: 'read', key: pair, writes: false }, () => whoIsIn(db, pair));
        return;
      }
      const question = { f: 'insert', key: pair, value: who, writes: true };
      if (random.int(2) === 0)
        await log.do(question, () => insertAtClient(client, { pair, place, who }));
      else {
        await log.do({ ...question, class: 'call cp' }, async () => {
          const { revision, meta } = await db.call('insert', { pair, place, who });
          return { revision, meta };
        });
      }
    };
  },
  finish: (bench) =>
    forAll(used(bench, 'pairs'), (key) =>
      bench.final({ f: 'read', key, writes: false }, () => whoIsIn(bench.db, key)),
    ),
};

async function whoIsIn(db: Client, pair: string): Promise<Answer> {
  const there: unknown[] = [];
  for await (const { value } of db.range({ prefix: `${pair}/` })) there.push(parse(value));
  return { value: there };
}

async function insertAtClient(
  { db }: WorkloadClient,
  { pair, place, who }: { readonly pair: string; readonly place: string; readonly who: string },
): Promise<{ readonly refused?: string }> {
  let sent = false;
  try {
    const isIn = await db.transaction(
      async (tx) => {
        const others = [(await tx.get(`${pair}/a`)).value, (await tx.get(`${pair}/b`)).value];
        if (others.some((value) => value !== undefined)) return false;
        tx.put(`${pair}/${place}`, JSON.stringify(who));
        sent = true;
        return true;
      },
      { retries: 1 },
    );
    return isIn ? {} : { refused: 'CONDITION_FAILED' };
  } catch (error) {
    if (!sent) throw notApplied(error);
    throw error;
  }
}

/** What failed before anything was written. */
export function notApplied(error: unknown): unknown {
  const hasOutcome = error !== null && typeof error === 'object' && 'withOutcome' in error;
  if (!hasOutcome || typeof error.withOutcome !== 'function') return error;
  return error.withOutcome('not-applied') as unknown;
}

export const uniqueIds: Workload = {
  name: 'unique-ids',
  about: 'a procedure gives ids, none twice',
  checkers: ['unique-ids'],
  processes: 4,
  start: (_bench, { db, log }): Step => {
    return async () => {
      await log.do({ f: 'generate', writes: true, class: 'call cp' }, async () => {
        const { result, revision, meta } = await db.call('generate', 'ids');
        return { value: result, revision, meta };
      });
    };
  },
};

/** As a caller who was not answered does: the same again, under the same key, also from elsewhere. */
export const exactlyOnce: Workload = {
  name: 'exactly-once',
  about: 'procedures that are asked for several times under one idempotency key, and count once',
  checkers: ['exactly-once'],
  processes: 6,
  start: (bench, { db, log, random }): Step => {
    const recent = (bench.shared.get('recent') as Asked[] | undefined) ?? [];
    bench.shared.set('recent', recent);
    return async () => {
      const isRetry = recent.length > 0 && random.int(3) === 0;
      const asked = isRetry
        ? pick(random, recent)
        : { key: `k${bench.fresh()}`, amount: 1 + random.int(9) };
      if (!isRetry) recent.push(asked);
      if (recent.length > 30) recent.shift();
      const { key, amount } = asked;
      const route = random.int(4) === 0 ? 'any' : 'lane';
      await log.do({ f: 'call', key, value: amount, writes: true, class: 'call cp' }, async () => {
        const options = { idempotencyKey: key, route } as const;
        const { result, revision, meta } = await db.call('once', { id: key, amount }, options);
        return { value: result, revision, meta };
      });
    };
  },
  finish: (bench) => readApplied(bench),
};

interface Asked {
  readonly key: string;
  readonly amount: number;
}

async function readApplied(bench: Bench): Promise<void> {
  await bench.final({ f: 'read', writes: false }, () => readNumber(bench.db, 'once-total'));
  await bench.final({ f: 'applied', writes: false }, async () => {
    const applied: string[] = [];
    for await (const { key, value } of bench.db.range({ prefix: 'once/' })) {
      for (let i = 0; i < Number(value.toString()); i += 1) applied.push(key.slice('once/'.length));
    }
    return { value: applied };
  });
}
