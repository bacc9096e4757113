import { describe, expect, test } from 'vitest';
import type { JobDefinition, StageDefinition } from '../../src/base/job-definition.js';
import type { Client } from '../../src/client/kv-client.js';
import { Harness, watch } from './support/harness.js';

/**
 * What the wire cannot carry is refused where it is asked for: a replica that is sent it refuses the whole batch, and with it what
 * others have asked in the same turn of the event loop.
 */

const list = { list: [1] };
const submitted =
  (change: object) =>
  (db: Client): Promise<unknown> =>
    db.submit({ input: list, stages: { a: { task: 'x' } }, ...change } as JobDefinition);
const withStage = (change: object) =>
  submitted({ stages: { a: { task: 'x', ...change } as StageDefinition } });
const withInput = (change: object) => submitted({ input: { prefix: 'a', ...change } });

describe('a write beside', () => {
  test.each<[string, (db: Client) => Promise<unknown>, string]>([
    [
      'a time to live that is no whole number',
      (db) => db.lease({ ttlMs: 1.1 * 1000 + 2 ** -40 }),
      'time to live',
    ],
    [
      'a time to live that is a text',
      (db) => db.lease({ ttlMs: '5000' as unknown as number }),
      'time to live',
    ],
    [
      'an id of a lease with a fraction',
      (db) => db.lease({ ttlMs: 5000, id: 1.5 }),
      'id of a lease',
    ],
    ['an id of a lease below 0', (db) => db.lease({ ttlMs: 5000, id: -1 }), 'id of a lease'],
    [
      'an id of a lease beyond all',
      (db) => db.lease({ ttlMs: 5000, id: 2 ** 53 }),
      'id of a lease',
    ],
    ['a lock with such a time to live', (db) => db.lock('l', { ttlMs: 5000.5 }), 'time to live'],
    [
      'a job whose id is a number',
      (db) => db.jobs.get(5 as unknown as string).cancel(),
      'no id of a job',
    ],
    [
      'a new job whose id is a number',
      (db) =>
        db.submit({ input: list, stages: { a: { task: 'x' } } }, null, {
          id: 5 as unknown as string,
        }),
      'no id of a job',
    ],
    ['a priority with a fraction', submitted({ priority: 1.5 }), 'priority'],
    ['a weight with a fraction', submitted({ weight: 1.5 }), 'weight'],
    ['a retention with a fraction', submitted({ retentionMs: 0.5 }), 'retentionMs'],
    ['retries with a fraction', withStage({ retries: 1.5 }), 'retries'],
    ['lost retries with a fraction', withStage({ lostRetries: 1.5 }), 'lostRetries'],
    ['a count of places with a fraction', withStage({ poisonAfter: 2.5 }), 'poisonAfter'],
    ['a time limit with a fraction', withStage({ timeoutMs: 0.5 }), 'timeoutMs'],
    ['a fan-in with a fraction', withStage({ kind: 'reduce', fanIn: 2.5 }), 'fanIn'],
    ['memory with a fraction', withStage({ memoryBytes: 1.5 }), 'memoryBytes'],
    ['memory below 0', withStage({ memoryBytes: -1 }), 'memoryBytes'],
    ['a kind of stage that there is not', withStage({ kind: 'fold' }), 'kind'],
    ['keys of a task with a fraction', withInput({ keysPerTask: 1.5 }), 'keysPerTask'],
    ['bytes of a task with a fraction', withInput({ bytesPerTask: 1.5 }), 'bytesPerTask'],
    ['a kind of values that there is not', withInput({ values: 'yaml' }), 'values'],
  ])('%s is done, and that is refused', async (_what, ask, says) => {
    const h = new Harness();
    const db = await h.connect();
    const put = watch(db.put('beside', 'x'));
    const bad = watch(ask(db));
    const behind = db.put('behind', 'x');
    await h.until(behind);
    expect(put.error).toBeNull();
    expect(put.value).toMatchObject({ revision: 1 });
    expect(bad.error).toMatchObject({
      ...{ code: 'INVALID_ARGUMENT', outcome: 'not-applied' },
      message: expect.stringContaining(says),
    });
  });
});
