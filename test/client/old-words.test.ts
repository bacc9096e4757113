import { describe, expect, test } from 'vitest';
import { Endpoints } from '../../src/client/endpoints.js';
import type { ClientRequest } from '../../src/rpc/protocol.js';
import { refusal } from './support/fake-cluster.js';
import { Harness, watch } from './support/harness.js';

/** What some replica says, or said long ago, is not the last word about the others. */

describe('a replica that is cut off', () => {
  test('does not make the client forget who the members are by now', async () => {
    const h = new Harness(['n1', 'n4', 'n5']);
    h.cluster.leader = 'n4';
    const old = h.cluster.replica('n1');
    const db = await h.connect({ endpoints: [old.address, h.cluster.replica('n4').address] });
    await h.until(db.put('k', 'v'));
    old.knows = [
      { name: 'n1', address: old.address },
      { name: 'n2', address: '10.0.0.12:7001' },
    ];
    // It hears who leads, and has yet to hear who the members are. All others are asked, since the leader is slow for once.
    let isSlow = true;
    h.cluster.fate = ({ type }) => (type === 'write' && isSlow ? 'ignore' : undefined);
    h.cluster.hellos.length = 0;
    const slow = watch(db.put('k', 'v', { timeoutMs: 2500 }));
    const isAsked = (): boolean => h.cluster.hellos.some(({ replica }) => replica === 'n1');
    while (!isAsked() && h.clock.monotonicMs() < 10_000) await h.clock.advance(1);
    await h.clock.advance(5);
    isSlow = false;
    await h.until(db.put('k', 'v', { timeoutMs: 2500 }));
    expect(slow.error).toBeNull();
    old.believes = null;
    h.cluster.replica('n4').condition = 'refuses';
    h.cluster.replica('n4').disconnectAll();
    h.cluster.elect('n5');
    expect((await h.until(db.put('k', 'v', { timeoutMs: 5000 }))).meta.replica).toBe('n5');
  });

  test('is no better than a leader that is slow, of which others say that it leads', async () => {
    const h = new Harness();
    const db = await h.connect();
    await h.until(db.put('k', 'v'));
    h.cluster.replica('n3').believes = null;
    h.cluster.fate = ({ type }) => (type === 'write' ? 'ignore' : undefined);
    const before = h.cluster.received('write').length;
    watch(db.put('k', 'v', { timeoutMs: 0 }));
    await h.clock.advance(10_000);
    expect(h.cluster.received('write').length - before).toBeLessThanOrEqual(2);
    await h.until(db.close());
  });

  test('does not keep a client with it that asks it again and again for what it cannot serve', async () => {
    const h = new Harness();
    h.cluster.leader = 'n2';
    const cut = h.cluster.replica('n1');
    cut.believes = null;
    h.cluster.fate = ({ type }, { replica }) =>
      type === 'call' && replica === cut
        ? refusal('NOT_LEADER', { details: { leader: null } })
        : undefined;
    const db = await h.connect({ endpoints: [cut.address] });
    const calls = Array.from({ length: 5 }, async (_, i) => {
      await h.clock.advance(i * 20);
      return watch(db.call('p', null, { route: 'any', timeoutMs: 5000 }));
    });
    await Promise.all(calls);
    const startMs = h.clock.monotonicMs();
    const isAsked = (): boolean => h.cluster.hellos.some(({ replica }) => replica === 'n2');
    while (!isAsked() && h.clock.monotonicMs() - startMs < 5000) await h.clock.advance(10);
    expect(h.clock.monotonicMs() - startMs).toBeLessThan(1000);
    await h.until(db.close());
  });
});

test('a doubt ends when nobody waits for an answer any more', async () => {
  const h = new Harness();
  const db = await h.connect();
  h.cluster.fate = ({ type }: ClientRequest) => (type === 'watch' ? 'ignore' : undefined);
  const one = db.watch({ key: 'k' });
  await h.clock.advance(1500);
  await h.until(one.close());
  await h.clock.advance(2000);
  const before = h.cluster.hellos.length;
  await h.clock.advance(60_000);
  expect(h.cluster.hellos.length).toBe(before);
});

test('a leader that was doubted when nobody waited any more is doubted at once by who asks next', async () => {
  const h = new Harness();
  const db = await h.connect();
  h.cluster.fate = ({ type }, { replica }) =>
    type === 'get' && replica?.name === 'n1' ? 'ignore' : undefined;
  expect(await h.failure(db.get('k', { timeoutMs: 1200 }))).toMatchObject({ code: 'TIMEOUT' });
  // It hangs, and does not hear that another one was elected.
  h.cluster.leader = 'n2';
  h.cluster.replica('n1').believes = 'n1';
  await h.clock.advance(4000);
  const startMs = h.clock.monotonicMs();
  const { meta } = await h.until(db.get('k', { timeoutMs: 1200 }));
  expect(meta.replica).toBe('n2');
  expect(h.clock.monotonicMs() - startMs).toBeLessThan(100);
  await h.until(db.close());
});

test('the name of a place is taken from the leader, and from others only where nobody is heard under the old one', () => {
  const endpoints = new Endpoints(['a:1']);
  endpoints.learn([{ name: 'n1', address: 'a:1' }], true);
  endpoints.learn([{ name: 'n9', address: 'a:1' }], false);
  expect(endpoints.named('n9')).toHaveLength(0);
  for (const endpoint of endpoints.all()) endpoint.lastError = refusal('UNREACHABLE');
  endpoints.learn([{ name: 'n9', address: 'a:1' }], false);
  expect(endpoints.named('n9')).toHaveLength(1);
});

test('a write is not blamed on what others were refused with before it', async () => {
  const h = new Harness();
  const db = await h.connect();
  let refusals = 0;
  h.cluster.fate = ({ type }) => {
    if (type !== 'write' || refusals > 0) return undefined;
    refusals += 1;
    h.cluster.elect(null);
    return refusal('OVERLOADED', { outcome: 'not-applied', details: { retryAfterMs: 50 } });
  };
  await h.failure(db.put('k', 'v', { timeoutMs: 1500 }));
  expect(refusals).toBe(1);
  await h.clock.advance(10_000);
  expect(await h.failure(db.put('k', 'v', { timeoutMs: 1500 }))).toMatchObject({
    code: 'NO_QUORUM',
  });
});

test.each(['MERGED_KEYS_FULL', 'UPGRADE_PENDING'] as const)(
  'a call is told at once what only an operator can change: %s',
  async (code) => {
    const h = new Harness();
    h.cluster.fate = ({ type }) =>
      type === 'call' ? refusal(code, { outcome: 'not-applied' }) : undefined;
    const db = await h.connect();
    const error = await h.failure(db.call('p', null, { timeoutMs: 3000 }));
    expect(error).toMatchObject({ code, outcome: 'not-applied' });
    expect(h.cluster.received('call')).toHaveLength(1);
  },
);

test('a lease is said to be lost by one promise, however often it is asked for', async () => {
  const h = new Harness();
  const db = await h.connect();
  const lease = await h.until(db.lease({ ttlMs: 10_000 }));
  expect(lease.lost).toBe(lease.lost);
  await h.until(db.close());
  expect((await h.until(lease.lost)).code).toBe('CLIENT_CLOSED');
});
