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
