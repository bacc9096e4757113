import { expect, test } from 'vitest';
import { errorOf, settled } from './support/failure.js';
import { refusal } from './support/fake-cluster.js';
import { Harness } from './support/harness.js';

/** What a replica that is no leader was asked before the leader was found is lost when the link is changed: nobody knows what became of it. */
test('a call that any replica may take is not sent before it is known whether the leader is found', async () => {
  const outcomes: (string | undefined)[] = [];
  for (let seed = 1; seed <= 20; seed += 1) {
    const h = new Harness(undefined, seed);
    // Who does not lead takes its time.
    h.cluster.fate = (request, { replica }) => {
      if (request.type !== 'call') return undefined;
      if (replica?.name !== h.cluster.leader) return 'ignore';
      return refusal('PROCEDURE_ABORTED', { outcome: 'not-applied' });
    };
    const db = await h.connect();
    const error = errorOf(
      await h.until(settled(db.call('p', null, { consistency: 'ap-local', timeoutMs: 5000 }))),
    );
    outcomes.push(error.outcome);
    await h.until(db.close());
  }
  expect(new Set(outcomes)).toEqual(new Set(['not-applied']));
});

test('one that every replica refuses for want of room says so, and that it was not applied', async () => {
  const h = new Harness();
  h.cluster.fate = (request) => (request.type === 'call' ? refusal('AP_QUEUE_FULL') : undefined);
  const db = await h.connect();
  const call = db.call('p', null, { consistency: 'ap-local', timeoutMs: 1500 });
  expect(await h.failure(call)).toMatchObject({ code: 'AP_QUEUE_FULL', outcome: 'not-applied' });
});
