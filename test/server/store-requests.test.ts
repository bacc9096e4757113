import { expect, test } from 'vitest';
import { answerStoreRequest } from '../../src/server/store-requests.js';
import { StateMachine } from '../../src/statemachine/state-machine.js';
import { SimpleStateStore } from '../statemachine/simple-state-store.js';

test('what is said of the disk tells the state, which compaction makes smaller, from the log', async () => {
  const machine = await StateMachine.open(new SimpleStateStore(), {});
  const host = {
    storeFacts: { machine, logTimeMs: 0 },
    diskUse: async () => ({ stateBytes: 1000, logBytes: 20 }),
  };
  const meta = {
    ...{ term: 1, revision: 0, appliedIndex: 0, stalenessMs: null },
    side: 'unknown' as const,
  };
  const answer = await answerStoreRequest(
    host,
    { type: 'store', id: 1, consistency: 'any', bound: 0 },
    meta,
  );
  expect(JSON.parse('info' in answer ? answer.info : '')).toMatchObject({
    ...{ stateBytes: 1000, logBytes: 20, diskBytes: 1020 },
  });
});
