import { beforeEach, expect, test } from 'vitest';
import { BalsaError } from '../../../src/base/errors.js';
import { seededRandom } from '../../../src/base/random.js';
import {
  type Executor,
  failedExecution,
  type GroupCall,
  type StoreSource,
} from '../../../src/compute/execution.js';
import type { CallRequest } from '../../../src/server/calls/call-types.js';
import { identityOf, Runner } from '../../../src/server/calls/runner.js';
import type { ResolvedProcedure } from '../../../src/statemachine/procedures.js';
import type { StateMachine } from '../../../src/statemachine/state-machine.js';

const ROTTEN = new BalsaError('STATE_CORRUPT', 'a record is not what was written');
const SOURCE: StoreSource = {
  get: () => null,
  scan: () => ({ items: [], more: false }),
  cell: () => null,
};

/** Code that was given to the executor, by its hash. */
let ran: string[];
let runner: Runner;

beforeEach(() => {
  ran = [];
  const executor: Executor = {
    run: async ({ bundle }) => {
      ran.push(bundle.hash);
      return failedExecution(new BalsaError('PROCEDURE_FAILED', 'it ran'));
    },
    runGroup: async (calls: readonly GroupCall[]) => {
      ran.push(...calls.map(({ call }) => call.bundle.hash));
      return calls.map(() => ({ ok: false, error: new BalsaError('INTERNAL', 'ran'), logs: [] }));
    },
    close: async () => {},
  };
  const machine = {
    procedureCode(hash: string) {
      if (hash === 'rotten') throw ROTTEN;
      return hash === 'gone' ? null : Buffer.from('code');
    },
  } as unknown as StateMachine;
  runner = new Runner({
    ...{ executor, random: seededRandom(1), machine: () => machine, cellBytesMax: 1000 },
    ...{ nowMs: () => 7, logMs: () => 7 },
  });
});

const procedure = (hash: string): ResolvedProcedure => ({ name: 'p', mode: 'cp', hash });

async function failureOf(hash: string): Promise<unknown> {
  const execution = await runner.run(procedure(hash), 'null', SOURCE);
  return execution.ok ? 'it gave a result' : execution.error;
}

/** @returns the errors of the calls that were answered */
async function group(...hashes: string[]): Promise<string[]> {
  const requests = hashes.map((hash) => {
    const key = new Uint8Array(16);
    const request: CallRequest = {
      ...{ procedure: 'p', args: 'null', key, isNamed: false, bornIndex: 1 },
      ...{ isPrivate: false, acceptedTimeMs: 0 },
    } as unknown as CallRequest;
    return { request, identity: identityOf(request), resolved: procedure(hash) };
  });
  const bounds = { msMax: 1, bytesMax: 1, rangeCostMax: 1, recordBytesMax: 1 };
  const members = await runner.runGroup(requests, SOURCE, bounds, null as never);
  return members.map((member) => (member.ok ? 'ok' : member.error.code));
}

test('a call whose code cannot be read is answered with why, and was not applied', async () => {
  expect(await failureOf('rotten')).toMatchObject({
    ...{ code: 'STATE_CORRUPT', message: ROTTEN.message, outcome: 'not-applied' },
  });
  expect(await failureOf('gone')).toMatchObject({ code: 'SHUTTING_DOWN' });
  expect(ran).toEqual([]);
  expect(await failureOf('there')).toMatchObject({ code: 'PROCEDURE_FAILED' });
});

test('in a group it is answered alone: others before it are run, and those behind it come next', async () => {
  expect(await group('rotten', 'there')).toEqual(['STATE_CORRUPT']);
  expect(ran).toEqual([]);
  expect(await group('there', 'there', 'rotten', 'there')).toEqual(['INTERNAL', 'INTERNAL']);
  expect(ran).toEqual(['there', 'there']);
});
