import { expect, test } from 'vitest';
import { BalsaError } from '../../src/base/errors.js';
import { LIMITS } from '../../src/base/limits.js';
import type { CallProcedureRequest, ClientAnswer } from '../../src/rpc/protocol.js';
import { CallBytes } from '../../src/server/calls/call-bytes.js';
import { type CallDone, type CallRequest, otherMode } from '../../src/server/calls/call-types.js';
import { ClientCalls } from '../../src/server/client-calls.js';
import type { FreshnessFacts } from '../../src/server/freshness.js';
import type { Replica } from '../../src/server/replica.js';
import type { ReadDone } from '../../src/server/waiting-reads.js';
import type { ResolvedProcedure } from '../../src/statemachine/procedures.js';

const REQUEST: CallProcedureRequest = {
  ...{ type: 'call', id: 1, route: 'read', consistency: 'ap-local', bound: 0 },
  ...{ procedure: 'count', args: 'null', key: Buffer.from('key'), isNamed: false, bornIndex: 0 },
  ...{ age: { at: 'sent', ms: 100 }, peers: 0 },
};

/** A replica whose procedure is of a mode that is known later than it is asked for. */
function asked(request: CallProcedureRequest) {
  const state = {
    ...{ nowMs: 0, mode: null as ResolvedProcedure['mode'] | null, appliedIndex: 1 },
    /** What `ap` calls say of the state that they were made over; what the lane says. */
    ...{ facts: undefined as FreshnessFacts | undefined, ofLane: null as BalsaError | null },
  };
  const reads: ReadDone[] = [];
  const called: CallRequest[] = [];
  const replica = {
    meta: () => ({ appliedIndex: state.appliedIndex, stalenessMs: 0, side: 'majority' }),
    machine: { revision: 7 },
    node: { role: 'leader' },
    read: (_level: unknown, done: ReadDone) => void reads.push(done),
    calls: {
      bytes: new CallBytes(LIMITS),
      resolve: () => (state.mode === null ? null : { name: 'count', mode: state.mode, hash: '' }),
      callAp: (call: CallRequest, _durability: unknown, done: CallDone) => {
        called.push(call);
        const { facts } = state;
        done({ ok: true, result: '1', revision: 0, hash: '', repeated: false, logs: [], facts });
      },
      call: (call: CallRequest, done: CallDone) => {
        called.push(call);
        const { ofLane: error } = state;
        if (error !== null) done({ ok: false, error, logs: [] });
        else done({ ok: true, result: '3', revision: 8, hash: '', repeated: false, logs: [] });
      },
      read: async ({ onRun }: { readonly onRun: () => void }, done: CallDone) => {
        // What was changed here is waited for.
        state.appliedIndex = 5;
        onRun();
        done({ ok: true, result: '2', revision: 0, hash: '', repeated: false, logs: [] });
      },
    },
  } as unknown as Replica;
  const answers: ClientAnswer[] = [];
  const refused: BalsaError[] = [];
  const calls = new ClientCalls({
    ...{ clock: { monotonicMs: () => state.nowMs }, limits: LIMITS },
    answer: (answer) => void answers.push(answer),
    refuse: (_id, error) => void refused.push(error),
    ask: () => {},
  });
  const known = (mode: ResolvedProcedure['mode'], nowMs = 0): void => {
    Object.assign(state, { mode, nowMs });
    for (const done of reads) done(null);
  };
  return {
    calls,
    replica,
    ask: () => calls.request(replica, request),
    known,
    state,
    called,
    answers,
    refused,
  };
}

test('an ap procedure that is known only once there is a state is called as one', () => {
  const { ask, known, called, answers } = asked(REQUEST);
  ask();
  known('ap', 40);
  expect(answers).toMatchObject([{ type: 'call', id: 1, result: '1' }]);
  expect(called.map(({ ageMs }) => ageMs)).toEqual([140]);
});

test('one that was deployed anew as cp, which is known only behind the wait of a read, is called as one', () => {
  const { ask, known, called, answers, refused, state } = asked({ ...REQUEST, route: 'lane' });
  state.mode = 'read';
  ask();
  known('cp');
  expect([called.length, refused]).toEqual([1, []]);
  expect(answers).toMatchObject([{ type: 'call', id: 1, result: '3' }]);
});

test('one that the lane finds to be of another mode is to be asked for again, and other refusals are final', () => {
  const { ask, refused, state } = asked({ ...REQUEST, route: 'lane' });
  const read = { name: 'count', mode: 'read', hash: '' } as ResolvedProcedure;
  state.mode = 'cp';
  state.ofLane = otherMode(REQUEST, read);
  ask();
  state.ofLane = new BalsaError('INVALID_ARGUMENT', 'no', { outcome: 'not-applied' });
  ask();
  expect(refused).toMatchObject([
    { code: 'OVERLOADED', outcome: 'not-applied', details: { retryAfterMs: 10 } },
    { code: 'INVALID_ARGUMENT' },
  ]);
});

test('an ap call says how fresh the state was that it was made over, however long it waited for copies', () => {
  const { ask, answers, state } = asked(REQUEST);
  Object.assign(state, { mode: 'ap', facts: { stalenessMs: 11_000, side: 'isolated' } });
  ask();
  expect(answers).toMatchObject([{ meta: { stalenessMs: 11_000, side: 'isolated' } }]);
});

test('an ap procedure that is called as one that only reads is refused, also when that is known late', () => {
  const refusal = { code: 'INVALID_ARGUMENT', outcome: 'not-applied' };
  const now = asked({ ...REQUEST, consistency: 'any' });
  now.state.mode = 'ap';
  expect(now.ask).toThrow(expect.objectContaining(refusal));

  const late = asked({ ...REQUEST, consistency: 'any' });
  late.ask();
  late.known('ap');
  expect(late.refused).toMatchObject([refusal]);
  expect([...now.called, ...late.called]).toEqual([]);
});

test('what waits for the changes made here before it is run is answered as of then', () => {
  for (const [consistency, appliedIndex] of [
    ['ap-local', 5],
    ['any', 1],
  ] as const) {
    const { ask, known, answers } = asked({ ...REQUEST, consistency });
    ask();
    known('read');
    expect(answers).toMatchObject([{ type: 'call', meta: { appliedIndex } }]);
  }
});

test('what waits for its level is refused beyond a bound of bytes of arguments', () => {
  const reads: ReadDone[] = [];
  const refused: unknown[] = [];
  const bytes = new CallBytes({ pendingRequestBytesMax: 10 });
  const replica = {
    read: (_level: unknown, done: ReadDone) => void reads.push(done),
    calls: { bytes, resolve: () => null },
  } as unknown as Replica;
  const calls = new ClientCalls({
    ...{ clock: { monotonicMs: () => 0 }, limits: LIMITS, answer: () => {}, ask: () => {} },
    refuse: (_id, { code }) => void refused.push(code),
  });
  const ask = (): void => calls.request(replica, { ...REQUEST, args: '"éé"' });

  ask();
  expect(ask).toThrow('pendingRequestBytesMax');
  for (const done of reads) done(new BalsaError('NO_QUORUM', 'nobody is there'));
  ask();
  expect(reads).toHaveLength(2);
  expect(refused).toEqual(['NO_QUORUM']);
});
