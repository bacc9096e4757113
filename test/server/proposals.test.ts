import { describe, expect, test } from 'vitest';
import { BalsaError } from '../../src/base/errors.js';
import { LIMITS, type Limits } from '../../src/base/limits.js';
import type { WriteBatch } from '../../src/base/operation.js';
import { packOperations } from '../../src/base/operation-codec.js';
import type { RaftEvent } from '../../src/raft/types.js';
import { Proposals, type ProposalsOptions } from '../../src/server/proposals.js';
import { unpackCommand } from '../../src/statemachine/command.js';
import type { BatchAnswer } from '../../src/statemachine/types.js';

function batch(sequence: number, valueBytes = 10): WriteBatch {
  return {
    sessionId: Buffer.alloc(16, 1),
    bornIndex: 0,
    sequence,
    acknowledged: 0,
    operations: packOperations([
      { type: 'put', key: Buffer.from('k'), value: Buffer.alloc(valueBytes) },
    ]),
  };
}

function proposals(
  limits: Partial<Limits> = {},
  options: Partial<ProposalsOptions> = {},
): Proposals {
  return new Proposals({
    id: 'n1',
    commandVersion: () => 1,
    lacking: () => ['n2'],
    term: () => 1,
    logTimeMs: () => 1000,
    limits: { ...LIMITS, ...limits },
    nameOf: (member) => member,
    ...options,
  });
}

const ONE = { operations: 1, version: 1 };
const OK: BatchAnswer = { ok: true, results: Buffer.alloc(0), repeated: false };

function outcome(answer: BatchAnswer | undefined): string {
  if (answer === undefined) return 'waiting';
  return answer.ok ? 'ok' : `${answer.error.code} ${answer.error.outcome}`;
}

describe('proposals', () => {
  test('batches of one turn become one entry', () => {
    const p = proposals();
    p.add(batch(1), ONE, () => {});
    p.add(batch(2), ONE, () => {});
    const events = p.take();
    expect(events).toHaveLength(1);
    const [event] = events;
    if (event?.type !== 'propose') throw new Error('a proposal');
    expect(unpackCommand(event.payload).batches.map((b) => b.sequence)).toEqual([1, 2]);
    expect(p.take()).toEqual([]);
  });

  test('batches beyond entryBytesMax become several entries', () => {
    const p = proposals({ entryBytesMax: 1000 });
    for (let i = 1; i <= 3; i += 1) p.add(batch(i, 600), ONE, () => {});
    expect(p.take()).toHaveLength(3);
  });

  test('batches beyond entryOperationsMax become several entries; one alone may have more', () => {
    const p = proposals({ entryOperationsMax: 10 });
    for (const operations of [50, 6, 4, 1]) p.add(batch(1), { operations, version: 1 }, () => {});
    const sizes = p.take().map((event) => {
      if (event.type !== 'propose') throw new Error('a proposal');
      return unpackCommand(event.payload).batches.length;
    });
    expect(sizes).toEqual([1, 2, 1]);
  });

  test('a batch is answered when its entry is applied', () => {
    const p = proposals();
    let answer: BatchAnswer | undefined;
    p.add(batch(1), ONE, (a) => {
      answer = a;
    });
    p.take();
    p.answered({ id: 1, accepted: true, position: { index: 7, term: 2 } });
    expect(outcome(answer)).toBe('waiting');
    p.applied({ index: 7, term: 2 }, [OK]);
    expect(outcome(answer)).toBe('ok');
    expect(p.pendingBytes).toBe(0);
  });

  test('an entry of another term at its index means that it was not applied', () => {
    const p = proposals();
    let answer: BatchAnswer | undefined;
    p.add(batch(1), ONE, (a) => {
      answer = a;
    });
    p.take();
    p.answered({ id: 1, accepted: true, position: { index: 7, term: 2 } });
    p.applied({ index: 7, term: 3 }, []);
    expect(outcome(answer)).toBe('NOT_LEADER not-applied');
  });

  test('a lost leadership leaves what is in the log unknown', () => {
    const p = proposals();
    let answer: BatchAnswer | undefined;
    p.add(batch(1), ONE, (a) => {
      answer = a;
    });
    p.take();
    p.answered({ id: 1, accepted: true, position: { index: 7, term: 2 } });
    p.leadershipLost('n2');
    expect(outcome(answer)).toBe('NOT_LEADER unknown');
  });

  test('a refused proposal is known not to be applied', () => {
    const p = proposals();
    const answers: BatchAnswer[] = [];
    p.add(batch(1), ONE, (a) => answers.push(a));
    p.take();
    p.answered({ id: 1, accepted: false, reason: 'overloaded', leader: 'n1' });
    p.add(batch(2), ONE, (a) => answers.push(a));
    p.take();
    p.answered({ id: 2, accepted: false, reason: 'not-leader', leader: 'n2' });
    expect(answers.map(outcome)).toEqual(['OVERLOADED not-applied', 'NOT_LEADER not-applied']);
  });

  test('beyond pendingRequestBytesMax batches are refused, and taken again when there is room', () => {
    const p = proposals({ pendingRequestBytesMax: 1000 });
    const answers: BatchAnswer[] = [];
    p.add(batch(1, 800), ONE, (a) => answers.push(a));
    p.add(batch(2, 800), ONE, (a) => answers.push(a));
    expect(answers.map(outcome)).toEqual(['OVERLOADED not-applied']);
    p.take();
    p.answered({ id: 1, accepted: false, reason: 'not-leader', leader: null });
    p.add(batch(2, 800), ONE, (a) => answers.push(a));
    expect(answers).toHaveLength(2);
  });

  test('beyond pendingOperationsMax, too; one that is larger by itself is let in alone', () => {
    const p = proposals({ pendingOperationsMax: 10 });
    const answers: BatchAnswer[] = [];
    const many = { ...ONE, operations: 20 };
    p.add(batch(1), many, (a) => answers.push(a));
    p.add(batch(2), ONE, (a) => answers.push(a));
    expect(answers.map(outcome)).toEqual(['OVERLOADED not-applied']);
    p.take();
    p.answered({ id: 1, accepted: false, reason: 'not-leader', leader: null });
    for (let i = 0; i < 11; i += 1) p.add(batch(3 + i), ONE, (a) => answers.push(a));
    expect(answers.slice(2).map(outcome)).toEqual(['OVERLOADED not-applied']);
  });

  test('a stopping replica says what is known: queued is not applied, in the log is unknown', () => {
    const p = proposals();
    const answers: BatchAnswer[] = [];
    p.add(batch(1), ONE, (a) => answers.push(a));
    p.take();
    p.answered({ id: 1, accepted: true, position: { index: 7, term: 2 } });
    p.add(batch(2), ONE, (a) => answers.push(a));
    p.abandon(new BalsaError('SHUTTING_DOWN', 'stopping'));
    expect(answers.map(outcome)).toEqual(['SHUTTING_DOWN not-applied', 'SHUTTING_DOWN unknown']);
    expect(p.pendingBytes).toBe(0);
  });
});

function commands(events: readonly RaftEvent[]): ReturnType<typeof unpackCommand>[] {
  return events.map((event) => {
    if (event.type !== 'propose') throw new Error('a proposal');
    return unpackCommand(event.payload);
  });
}

describe('calls of procedures', () => {
  /** What each entry is made of. */
  function made(events: readonly RaftEvent[]): string[] {
    return events.map((event) => {
      if (event.type !== 'propose') throw new Error('a proposal');
      const { batches, calls = [], system = [] } = unpackCommand(event.payload);
      return `${batches.length} batches, ${calls.length} calls, ${system.length} of the leader`;
    });
  }

  function all(p: Proposals): void {
    p.add(batch(1), ONE, () => {});
    p.addSystem([{ type: 'expire', leases: [1] }], () => {});
    p.addCalls([Buffer.from('a'), Buffer.from('b')], () => {});
  }

  test('go into an entry of their own, behind the batches of the turn', () => {
    const p = proposals({}, { commandVersion: () => 4 });
    all(p);
    expect(made(p.take())).toEqual([
      '1 batches, 0 calls, 0 of the leader',
      '0 batches, 2 calls, 0 of the leader',
      '0 batches, 0 calls, 1 of the leader',
    ]);
  });

  test('are stamped with a time of day, and merges are, and nothing else', () => {
    const p = proposals({}, { commandVersion: () => 9 });
    p.wallMs = () => 2000;
    all(p);
    p.addMerge({ members: ['n1'], reports: [], deltas: [] }, () => {});
    const stamps = p.take().map((event) => {
      if (event.type !== 'propose') throw new Error('a proposal');
      const { calls, merge, wallMs } = unpackCommand(event.payload);
      return [calls?.length, merge === null ? 'no merge' : 'a merge', wallMs];
    });
    expect(stamps).toEqual([
      [0, 'no merge', 0],
      [2, 'no merge', 2000],
      [0, 'no merge', 0],
      [0, 'a merge', 2000],
    ]);
  });

  test('get into the log alone while all else is held, which follows later', () => {
    const p = proposals({}, { commandVersion: () => 4 });
    p.hold(true);
    all(p);
    expect(made(p.take())).toEqual(['0 batches, 2 calls, 0 of the leader']);
    expect(p.take()).toEqual([]);
    p.hold(false);
    expect(made(p.take())).toEqual([
      '1 batches, 0 calls, 0 of the leader',
      '0 batches, 0 calls, 1 of the leader',
    ]);
  });
});

describe('operations that older versions do not know', () => {
  const EXTENDED = { operations: 1, version: 3 };

  test('are refused while a member cannot read them, and say which', () => {
    const p = proposals();
    let answer: BatchAnswer | undefined;
    p.add(batch(1), EXTENDED, (a) => {
      answer = a;
    });
    expect(outcome(answer)).toBe('UPGRADE_PENDING not-applied');
    if (answer?.ok === false) {
      expect(answer.error.details).toEqual({ lacking: ['n2'], version: 3 });
    }
    expect(p.take()).toEqual([]);
  });

  test('are refused when such a member joins before they are in the log', () => {
    let version = 3;
    const p = proposals({}, { commandVersion: () => version });
    const answers: BatchAnswer[] = [];
    p.add(batch(1), EXTENDED, (a) => answers.push(a));
    p.add(batch(2), ONE, (a) => answers.push(a));
    expect(answers).toEqual([]);
    version = 2;
    const [command] = commands(p.take());
    expect(command?.batches.map((b) => b.sequence)).toEqual([2]);
    expect(answers.map(outcome)).toEqual(['UPGRADE_PENDING not-applied']);
    expect(p.pendingBytes).toBeLessThan(200);
  });
});

describe('what the leader proposes itself', () => {
  test('goes into an entry of its own, behind the batches of the turn', () => {
    const p = proposals({}, { commandVersion: () => 3 });
    p.addSystem([{ type: 'expire', leases: [4] }], () => {});
    p.add(batch(1), ONE, () => {});
    const [first, second] = commands(p.take());
    expect(first?.batches).toHaveLength(1);
    expect(first?.system).toEqual([]);
    expect(second?.batches).toHaveLength(0);
    expect(second?.system).toEqual([{ type: 'expire', leases: [4] }]);
  });

  test('is told when it was applied, and that it was not', () => {
    const p = proposals({}, { commandVersion: () => 3 });
    const told: boolean[] = [];
    const add = (): void => p.addSystem([], (applied) => told.push(applied));
    add();
    p.take();
    p.answered({ id: 1, accepted: true, position: { index: 7, term: 1 } });
    expect(told).toEqual([]);
    p.applied({ index: 7, term: 1 }, []);
    expect(told).toEqual([true]);
    add();
    p.take();
    p.answered({ id: 2, accepted: true, position: { index: 8, term: 1 } });
    p.leadershipLost(null);
    add();
    p.take();
    p.answered({ id: 3, accepted: false, reason: 'not-leader', leader: null });
    add();
    p.abandon(new BalsaError('SHUTTING_DOWN', 'stop'));
    expect(told).toEqual([true, false, false, false]);
  });

  test('is dropped when a member has joined that cannot read it', () => {
    let version = 3;
    const p = proposals({}, { commandVersion: () => version });
    const told: boolean[] = [];
    p.addSystem([{ type: 'sweep', records: 1 }], (applied) => told.push(applied));
    version = 2;
    expect(p.take()).toEqual([]);
    expect(told).toEqual([false]);
  });

  test('waits, as all commands do, until log time is known', () => {
    let timeMs: number | null = null;
    const p = proposals({}, { commandVersion: () => 3, logTimeMs: () => timeMs });
    p.add(batch(1), ONE, () => {});
    p.addSystem([], () => {});
    expect(p.take()).toEqual([]);
    timeMs = 77;
    expect(commands(p.take()).map((command) => command.timeMs)).toEqual([77, 77]);
  });
});
