import { describe, expect, test } from 'vitest';
import { BalsaError } from '../../src/base/errors.js';
import { noFailpoints } from '../../src/base/failpoints.js';
import { LIMITS } from '../../src/base/limits.js';
import { packOperations } from '../../src/base/operation-codec.js';
import { seededRandom } from '../../src/base/random.js';
import { formedWith } from '../../src/raft/configuration.js';
import type { Entry, Message } from '../../src/raft/types.js';
import { Replica } from '../../src/server/replica.js';
import { StateMachine } from '../../src/statemachine/state-machine.js';
import type { BatchAnswer } from '../../src/statemachine/types.js';
import { MemoryLogStore } from '../../src/storage/memory-log-store.js';
import { MemoryStateVault } from '../../src/storage/memory-state-vault.js';
import { Scheduler } from './test-scheduler.js';

/** One replica on stores whose disk works only when it is told to. */
async function replicaOf(voters: readonly string[]) {
  const scheduler = new Scheduler(1);
  const disk: (() => void)[] = [];
  const logStore = new MemoryLogStore({ schedule: (complete) => void disk.push(complete) });
  const vault = new MemoryStateVault({ schedule: queueMicrotask });
  const memory = vault.current;
  let allowed = 0;
  const allowDisk = memory.allowDisk.bind(memory);
  memory.allowDisk = (index) => {
    allowed = Math.max(allowed, index);
    allowDisk(index);
  };
  const sent: Message[] = [];
  const failures: BalsaError[] = [];
  const replica = new Replica({
    id: 'n1',
    cluster: { name: 'test', id: 'c1' },
    configuration: formedWith(voters),
    clock: scheduler.clock(() => true),
    random: seededRandom(1),
    limits: LIMITS,
    tickMs: 25,
    electionTicks: 30,
    heartbeatTicks: 4,
    ...{ priority: 100, leaseMs: 0, leaseDriftMargin: 0.1, diskStallTicks: 120 },
    transport: {
      send: (_to, messages) => void sent.push(...messages),
      sendStateHash: () => {},
      sendDeltas: () => {},
      sendJobs: () => {},
    },
    logStore,
    restoredLog: logStore.restored,
    vault,
    machine: await StateMachine.open(memory),
    openMachine: (store) => StateMachine.open(store),
    dialSnapshot: () => {
      throw new Error('nobody needs a snapshot');
    },
    formats: { command: 1, snapshot: 1 },
    formatsOf: () => null,
    failpoints: noFailpoints,
    nameOf: (member) => member,
    onEvent: () => {},
    afterTurn: () => {},
    onFailure: (error) => void failures.push(error),
  });
  const turns = (ms = 1): Promise<void> => scheduler.run(scheduler.nowMs + ms);
  const sync = async (): Promise<void> => {
    await turns();
    for (const complete of disk.splice(0)) complete();
    await turns();
  };
  return { replica, sent, failures, turns, sync, allowed: () => allowed, stateStore: memory };
}

function append(
  from: string,
  term: number,
  content: { entries: readonly Entry[]; leaderCommit: number },
): Message {
  return {
    type: 'AppendEntries',
    from,
    to: 'n1',
    term,
    prevLog: { index: 0, term: 0 },
    ...content,
  };
}

const noop = (index: number, term: number): Entry => ({
  index,
  term,
  type: 'noop',
  payload: Buffer.alloc(0),
});

const WRITE = {
  sessionId: Buffer.alloc(16, 1),
  bornIndex: 0,
  sequence: 1,
  acknowledged: 0,
  operations: packOperations([{ type: 'put', key: Buffer.from('k'), value: Buffer.from('v') }]),
};

describe('a replica', () => {
  test('lets no effect of an entry reach the disk before the entry that took the place of another there', async () => {
    const { replica, turns, sync, allowed } = await replicaOf(['n1', 'n2', 'n3']);
    replica.start();
    // Entries of an old leader are on disk, and not committed.
    const old = [noop(1, 1), noop(2, 1), noop(3, 1)];
    replica.receive(append('n2', 1, { entries: old, leaderCommit: 0 }));
    await sync();
    // A new leader replaces them and has committed its own; the disk has not done that yet.
    replica.receive(append('n3', 2, { entries: [noop(1, 2), noop(2, 2)], leaderCommit: 2 }));
    await turns();
    expect(replica.appliedIndex).toBe(2);
    expect(allowed()).toBe(0);
    await sync();
    expect(allowed()).toBe(2);
  });

  test('that fails tells its clients that it stops: another one can answer them', async () => {
    const { replica, turns, sync, failures, stateStore } = await replicaOf(['n1']);
    replica.start();
    await turns(2000);
    for (let i = 0; i < 3; i += 1) await sync();
    expect(replica.node.role).toBe('leader');
    expect(replica.appliedIndex).toBe(1);
    const answers: BatchAnswer[] = [];
    replica.write(WRITE, { operations: 1, version: 1 }, (answer) => answers.push(answer));
    stateStore.apply = () => {
      throw new BalsaError('DISK_FULL', 'no space is left');
    };
    await sync();
    await sync();
    expect(failures.map((error) => error.code)).toEqual(['DISK_FULL']);
    const [answer] = answers;
    if (answer === undefined || answer.ok) throw new Error('the write fails');
    expect([answer.error.code, answer.error.outcome]).toEqual(['SHUTTING_DOWN', 'unknown']);
    expect(answer.error.message).toContain('no space is left');
  });

  test('tells a member at once that it is removed: soon there is no connection to it', async () => {
    const { replica, sent, turns, sync } = await replicaOf(['n1', 'n2']);
    const from = { from: 'n2', to: 'n1', term: 1 } as const;
    replica.start();
    await turns(2000);
    for (const preVote of [true, false]) {
      replica.receive({ type: 'RequestVoteReply', ...from, preVote, granted: true });
      await sync();
    }
    const has = async (matchIndex: number): Promise<void> => {
      await sync();
      replica.receive({
        ...{ type: 'AppendEntriesReply', ...from, result: { success: true, matchIndex } },
      });
      await turns();
    };
    await has(1);
    const { index: expectedIndex, ...members } = replica.node.configuration;
    replica.changeMembers({ expectedIndex, ...members, voters: ['n1'] }, () => {});
    await turns();
    await has(2);
    sent.splice(0);
    // That it leads alone is entry 3, which its own disk commits.
    await sync();
    expect(replica.node.commitIndex).toBe(3);
    expect(sent).toContainEqual(
      expect.objectContaining({ type: 'AppendEntries', to: 'n2', entries: [], leaderCommit: 3 }),
    );
  });
});
