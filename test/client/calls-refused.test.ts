import { expect, test } from 'vitest';
import { refusal } from './support/fake-cluster.js';
import { Harness } from './support/harness.js';

test('one that every replica refuses for want of room says so, and that it was not applied', async () => {
  const h = new Harness();
  h.cluster.fate = (request) => (request.type === 'call' ? refusal('AP_QUEUE_FULL') : undefined);
  const db = await h.connect();
  const call = db.call('p', null, { consistency: 'ap-local', timeoutMs: 1500 });
  expect(await h.failure(call)).toMatchObject({ code: 'AP_QUEUE_FULL', outcome: 'not-applied' });
});

test('one that was refused so, and sent again, may be applied when its time is up', async () => {
  const h = new Harness();
  let refusals = 0;
  h.cluster.fate = (request) => {
    if (request.type !== 'call') return undefined;
    refusals += 1;
    return refusals === 1 ? refusal('AP_QUEUE_FULL') : 'ignore';
  };
  const db = await h.connect();
  const call = db.call('p', null, { consistency: 'ap-local', timeoutMs: 3000 });
  expect(await h.failure(call)).toMatchObject({ outcome: 'unknown' });
  expect(refusals).toBeGreaterThan(1);
});

test('a call that any replica may take waits a moment for the leader: its outcome is not known when the link is changed for a better one', async () => {
  const h = new Harness();
  h.cluster.leader = null;
  const db = await h.connect();
  const call = db.call('p', null, { consistency: 'ap-local', timeoutMs: 5000 });
  call.catch(() => {});
  await h.clock.advance(100);
  await h.clock.settle();
  expect(h.cluster.received('call')).toHaveLength(0);
  // There is none: whoever is there gets it.
  await h.clock.advance(200);
  await h.clock.settle();
  expect(h.cluster.received('call').length).toBeGreaterThan(0);
  await h.until(db.close());
});
