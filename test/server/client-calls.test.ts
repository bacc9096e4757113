import { expect, test } from 'vitest';
import { LIMITS } from '../../src/base/limits.js';
import type { CallProcedureRequest, ClientAnswer } from '../../src/rpc/protocol.js';
import type { CallDone, CallRequest } from '../../src/server/calls/call-types.js';
import { ClientCalls } from '../../src/server/client-calls.js';
import type { Replica } from '../../src/server/replica.js';
import type { ReadDone } from '../../src/server/waiting-reads.js';

const REQUEST: CallProcedureRequest = {
  ...{ type: 'call', id: 1, route: 'read', consistency: 'ap-local', bound: 0 },
  ...{ procedure: 'count', args: 'null', key: Buffer.from('key'), isNamed: false, bornIndex: 0 },
  ...{ age: { at: 'sent', ms: 100 }, peers: 0 },
};

test('an ap procedure that is known only once there is a state is called as one', () => {
  let nowMs = 0;
  let mode: 'ap' | null = null;
  const reads: ReadDone[] = [];
  const called: CallRequest[] = [];
  const replica = {
    meta: () => ({}),
    read: (_level: unknown, done: ReadDone) => void reads.push(done),
    calls: {
      resolve: () => (mode === null ? null : { name: 'count', mode, hash: '' }),
      callAp: (request: CallRequest, _durability: unknown, done: CallDone) => {
        called.push(request);
        done({ ok: true, result: '1', revision: 0, hash: '', repeated: false, logs: [] });
      },
    },
  } as unknown as Replica;
  const answers: ClientAnswer[] = [];
  const calls = new ClientCalls({
    ...{ clock: { monotonicMs: () => nowMs }, limits: LIMITS },
    answer: (answer) => void answers.push(answer),
    refuse: (_id, error) => {
      throw error;
    },
  });

  calls.request(replica, REQUEST);
  nowMs = 40;
  mode = 'ap';
  for (const done of reads) done(null);
  expect(answers).toMatchObject([{ type: 'call', id: 1, result: '1' }]);
  expect(called.map(({ ageMs }) => ageMs)).toEqual([140]);
});
