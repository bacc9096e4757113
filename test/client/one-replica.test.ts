import { describe, expect, test } from 'vitest';
import { refusal } from './support/fake-cluster.js';
import { Harness } from './support/harness.js';

describe('staying at one replica', () => {
  test('followLeader false reads from the replica that is named, whoever leads', async () => {
    const h = new Harness();
    const db = await h.connect({ endpoints: ['10.0.0.2:7001'], followLeader: false });
    const { meta } = await h.until(db.get('k'));
    expect(meta).toMatchObject({ replica: 'n2', level: 'linearizable' });
    expect((await h.until(db.status())).replica).toBe('n2');
    expect(h.cluster.hellos.map((hello) => hello.replica)).toEqual(['n2']);
  });

  test('writes to a follower fail with NOT_LEADER at once, again and again', async () => {
    const h = new Harness();
    const db = await h.connect({ endpoints: ['10.0.0.2:7001'], followLeader: false });
    for (let i = 0; i < 10; i += 1) {
      const start = h.clock.monotonicMs();
      const errors = await Promise.all([h.failure(db.put('k', 'v')), h.failure(db.delete('k'))]);
      for (const error of errors) {
        expect(error).toMatchObject({
          code: 'NOT_LEADER',
          outcome: 'not-applied',
          details: { leader: 'n1' },
        });
      }
      expect(h.clock.monotonicMs() - start).toBeLessThan(5);
    }
  });

  test('what needs a leader is NO_QUORUM when the replica knows none, what does not is served', async () => {
    const h = new Harness();
    const db = await h.connect({ endpoints: ['10.0.0.2:7001'], followLeader: false });
    h.cluster.elect(null);
    await h.clock.advance(10);
    const limit = { timeoutMs: 800 };
    const reads = {
      get: () => db.get('k', limit),
      range: () => db.range({ prefix: 'k', ...limit }).next(),
      count: () => db.count({ prefix: 'k', ...limit }),
      info: () => db.info(limit),
      watch: () => db.watch({ prefix: 'k', ...limit }).ready,
    };
    h.cluster.fate = (request) =>
      request.type === 'watch' ? refusal('NOT_LEADER', { details: { leader: null } }) : undefined;
    for (const [name, read] of Object.entries(reads)) {
      const { code, message } = await h.failure(read());
      expect([name, code]).toEqual([name, 'NO_QUORUM']);
      expect(message).toContain('no leader was found');
    }
    expect((await h.until(db.get('k', { consistency: 'any' }))).meta.replica).toBe('n2');
    // One that is told who leads has not lost the majority.
    h.cluster.fate = (request) =>
      request.type === 'get' ? refusal('NOT_LEADER', { details: { leader: 'n1' } }) : undefined;
    expect(await h.failure(db.get('k', limit))).toMatchObject({ code: 'TIMEOUT' });
  });

  test('whoever follows the leader is told TIMEOUT when one was found meanwhile that hangs', async () => {
    const h = new Harness();
    const db = await h.connect();
    let refused = 0;
    h.cluster.fate = (request) => {
      if (request.type !== 'get') return undefined;
      refused += 1;
      return refused === 1 ? refusal('NOT_LEADER', { details: { leader: null } }) : 'ignore';
    };
    const error = await h.failure(db.get('k', { timeoutMs: 900 }));
    expect(refused).toBeGreaterThan(1);
    expect(error).toMatchObject({ code: 'TIMEOUT' });
  });

  test('writes to the leader itself are served', async () => {
    const h = new Harness();
    const db = await h.connect({ endpoints: ['10.0.0.1:7001'], followLeader: false });
    await h.until(db.put('k', 'v'));
    h.cluster.elect('n2');
    expect(await h.failure(db.put('k', 'v'))).toMatchObject({ code: 'NOT_LEADER' });
    h.cluster.elect('n1');
    expect((await h.until(db.put('k', 'w'))).revision).toBe(2);
  });
});
