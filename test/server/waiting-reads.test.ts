import { describe, expect, test } from 'vitest';
import { systemClock } from '../../src/base/clock.js';
import { BalsaError } from '../../src/base/errors.js';
import { LIMITS } from '../../src/base/limits.js';
import { type ReadDone, WaitingReads } from '../../src/server/waiting-reads.js';

/** Reads, and what became of each: `waiting`, `served` or a code. */
function readsWith(pendingReadsMax = 10) {
  const now = { ms: 1000 };
  const reads = new WaitingReads({
    clock: { ...systemClock, monotonicMs: () => now.ms },
    limits: { ...LIMITS, pendingReadsMax, readWaitMsMax: 3000 },
    nameOf: (member) => `name-${member}`,
  });
  const became: string[] = [];
  const become = (): ReadDone => {
    const i = became.push('waiting') - 1;
    return (error) => {
      became[i] = error === null ? 'served' : `${error.code} ${String(error.details.leader)}`;
    };
  };
  const add = (): void => reads.add(become());
  const hold = (): void => reads.hold(become());
  return { reads, became, add, hold, now };
}

describe('waiting reads', () => {
  test('reads of one turn ask once, and later ones again', () => {
    const { reads, add } = readsWith();
    add();
    add();
    expect(reads.take()).toEqual([{ type: 'read', id: 1 }]);
    expect(reads.take()).toEqual([]);
    add();
    expect(reads.take()).toEqual([{ type: 'read', id: 2 }]);
  });

  test('a read is served when its index is applied, not before', () => {
    const { reads, became, add } = readsWith();
    add();
    reads.take();
    reads.answered({ id: 1, ok: true, index: 7 }, 5);
    reads.applied(6);
    expect(became).toEqual(['waiting']);
    reads.applied(7);
    expect(became).toEqual(['served']);
  });

  test('a read whose index is applied already is served at once', () => {
    const { reads, became, add } = readsWith();
    add();
    reads.take();
    reads.answered({ id: 1, ok: true, index: 5 }, 5);
    expect(became).toEqual(['served']);
  });

  test('indexes out of order are each waited for', () => {
    const { reads, became, add } = readsWith();
    add();
    reads.take();
    add();
    reads.take();
    reads.answered({ id: 1, ok: true, index: 9 }, 1);
    reads.answered({ id: 2, ok: true, index: 4 }, 1);
    reads.applied(5);
    expect(became).toEqual(['waiting', 'served']);
    reads.applied(9);
    expect(became).toEqual(['served', 'served']);
  });

  test('a refusal names the leader when it is known', () => {
    const { reads, became, add } = readsWith();
    for (let i = 0; i < 3; i += 1) {
      add();
      reads.take();
    }
    reads.answered({ id: 1, ok: false, reason: 'lost-leadership', leader: 'm2' }, 0);
    reads.answered({ id: 2, ok: false, reason: 'no-leader', leader: null }, 0);
    reads.answered({ id: 3, ok: false, reason: 'overloaded', leader: 'm2' }, 0);
    expect(became).toEqual(['NOT_LEADER name-m2', 'NOT_LEADER null', 'OVERLOADED undefined']);
  });

  test('beyond pendingReadsMax reads are refused, whatever those before wait for', () => {
    const { reads, became, add } = readsWith(3);
    add();
    reads.take();
    reads.answered({ id: 1, ok: true, index: 7 }, 0);
    add();
    reads.take();
    add();
    add();
    expect(became).toEqual(['waiting', 'waiting', 'waiting', 'OVERLOADED undefined']);
    // Whether the others are there is asked all the same.
    reads.take();
    reads.add(() => {}, true);
    expect(reads.take()).toMatchObject([{ type: 'read', patient: true }]);
    reads.applied(7);
    add();
    expect(became.at(-1)).toBe('waiting');
  });

  test('a replica that stops answers all, wherever they wait, and once', () => {
    const { reads, became, add } = readsWith();
    add();
    reads.take();
    reads.answered({ id: 1, ok: true, index: 7 }, 0);
    add();
    reads.take();
    add();
    reads.abandon(new BalsaError('SHUTTING_DOWN', 'stopping'));
    expect(became).toEqual(Array(3).fill('SHUTTING_DOWN undefined'));
    reads.applied(7);
    reads.answered({ id: 2, ok: true, index: 1 }, 7);
    expect(became).toEqual(Array(3).fill('SHUTTING_DOWN undefined'));
  });
});

describe('a read that waits for readWaitMsMax', () => {
  test('whose index is not applied is told that the replica is behind', () => {
    const { reads, became, add, now } = readsWith();
    add();
    reads.take();
    now.ms += 1000;
    add();
    reads.take();
    reads.answered({ id: 1, ok: true, index: 7 }, 5);
    reads.answered({ id: 2, ok: true, index: 7 }, 5);
    now.ms += 1999;
    reads.expire(5);
    expect(became).toEqual(['waiting', 'waiting']);
    now.ms += 1;
    reads.expire(5);
    expect(became).toEqual(['REPLICA_BEHIND undefined', 'waiting']);
    reads.applied(7);
    expect(became).toEqual(['REPLICA_BEHIND undefined', 'served']);
  });

  test('says how far the replica is, and may be tried again', () => {
    const { reads, now } = readsWith();
    const errors: (BalsaError | null)[] = [];
    reads.add((error) => errors.push(error));
    reads.take();
    reads.answered({ id: 1, ok: true, index: 7 }, 5);
    now.ms += 3000;
    reads.expire(5);
    expect(errors).toMatchObject([
      {
        retryable: true,
        message: 'the read must see entry 7, and this replica has applied 5 after 3000 ms',
        details: { limit: 'readWaitMsMax', index: 7, appliedIndex: 5 },
      },
    ]);
  });

  test('and whose index is not known is told that no majority confirmed it, and once', () => {
    const { reads, became, add, now } = readsWith();
    add();
    reads.take();
    now.ms += 3000;
    add();
    reads.take();
    reads.expire(5);
    expect(became).toEqual(['NO_QUORUM undefined', 'waiting']);
    reads.answered({ id: 1, ok: true, index: 7 }, 5);
    reads.answered({ id: 2, ok: true, index: 7 }, 5);
    reads.applied(7);
    expect(became).toEqual(['NO_QUORUM undefined', 'served']);
  });

  test('for a state that a snapshot brings is told so too', () => {
    const { reads, became, hold, now } = readsWith();
    hold();
    now.ms += 3000;
    reads.expire(5);
    expect(became).toEqual(['REPLICA_BEHIND undefined']);
  });

  test('makes room for others', () => {
    const { reads, became, add, now } = readsWith(2);
    add();
    reads.take();
    reads.answered({ id: 1, ok: true, index: 7 }, 5);
    add();
    reads.take();
    now.ms += 3000;
    reads.expire(5);
    add();
    expect(became.at(-1)).toBe('waiting');
  });
});
