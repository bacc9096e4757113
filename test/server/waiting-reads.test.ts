import { describe, expect, test } from 'vitest';
import { BalsaError } from '../../src/base/errors.js';
import { LIMITS } from '../../src/base/limits.js';
import { WaitingReads } from '../../src/server/waiting-reads.js';

/** Reads, and what became of each: `waiting`, `served` or a code. */
function readsWith(pendingReadsMax = 10) {
  const reads = new WaitingReads({
    limits: { ...LIMITS, pendingReadsMax },
    nameOf: (member) => `name-${member}`,
  });
  const became: string[] = [];
  const add = (): void => {
    const i = became.push('waiting') - 1;
    reads.add((error) => {
      became[i] = error === null ? 'served' : `${error.code} ${String(error.details.leader)}`;
    });
  };
  return { reads, became, add };
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
