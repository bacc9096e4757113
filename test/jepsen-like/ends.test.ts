import { describe, expect, test } from 'vitest';
import { type End, Ends, endOf, isOrderly } from '../../jepsen-like/cluster/ends.js';

const failed = (error: string | null): End => ({ code: 1, signal: null, error, log: '' });
const killed: End = { code: null, signal: 'SIGKILL', error: null, log: '' };

describe('the end of a replica', () => {
  test('has the error that was named last', () => {
    const log = '{"msg":"error X"}\nerror DISK_FAILED: a\nsomething\nerror WAL_CORRUPT: b\ntry: c';
    expect(endOf({ code: 1, signal: null }, log).error).toBe('WAL_CORRUPT');
    expect(endOf({ code: 1, signal: null }, 'TypeError: x is not\n  error A: b').error).toBeNull();
  });

  test('is in order when it was killed or stopped, and not when it broke', () => {
    const how = (code: number | null, signal: NodeJS.Signals | null): boolean =>
      isOrderly({ code, signal, error: null, log: '' });
    expect([how(0, null), how(130, null), how(null, 'SIGKILL'), how(null, 'SIGTERM')]).toEqual(
      Array(4).fill(true),
    );
    expect([how(1, null), how(null, 'SIGSEGV'), how(null, 'SIGABRT')]).toEqual(
      Array(3).fill(false),
    );
  });
});

describe('an end that nobody asked for', () => {
  test('is strange, whatever was said, when no fault was to make it', () => {
    const ends = new Ends();
    for (const end of [failed('DISK_FAILED'), failed('MEMBER_REMOVED'), failed(null), killed]) {
      expect(ends.judge('n1', end)).toBe(false);
    }
    expect(ends.strange.map(({ name, how }) => [name, how])).toEqual([
      ['n1', 'code 1, DISK_FAILED'],
      ['n1', 'code 1, MEMBER_REMOVED'],
      ['n1', 'code 1'],
      ['n1', 'SIGKILL'],
    ]);
  });

  /** What of all this is excused. */
  function excusedBy(fault: (ends: Ends) => void): string[] {
    const ends = new Ends();
    fault(ends);
    const codes = ['DISK_FAILED', 'DISK_FULL', 'WAL_CORRUPT', 'STATE_CORRUPT', 'DELTAS_CORRUPT'];
    const all = [...codes, 'STATE_DIVERGED', 'MEMBER_REMOVED', 'INVARIANT', 'INTERNAL'];
    const excused = all.filter((code) => ends.judge('n1', failed(code)));
    const others = [...(ends.judge('n1', failed(null)) ? ['crash'] : [])];
    return [...excused, ...others, ...(ends.judge('n1', killed) ? ['SIGKILL'] : [])];
  }

  test('is excused by the fault that it fits', () => {
    expect(excusedBy((ends) => ends.hit('n1', 'disk-failed'))).toEqual(['DISK_FAILED']);
    expect(excusedBy((ends) => ends.hit('n1', 'disk-full'))).toEqual(['DISK_FULL']);
    expect(excusedBy((ends) => ends.hit('n1', 'failpoint'))).toEqual(['SIGKILL']);
    expect(excusedBy((ends) => ends.leaves('n1'))).toEqual(['MEMBER_REMOVED']);
    expect(excusedBy((ends) => ends.damaged('n1', 'a'))).toEqual([
      ...['WAL_CORRUPT', 'STATE_CORRUPT', 'DELTAS_CORRUPT', 'STATE_DIVERGED'],
    ]);
    expect(excusedBy((ends) => ends.damaged('n2', 'a'))).toEqual([]);
  });

  test('is excused no longer than the fault lasts', () => {
    expect(
      excusedBy((ends) => {
        ends.hit('n1', 'disk-failed');
        ends.begins('n1');
      }),
    ).toEqual([]);
    expect(
      excusedBy((ends) => {
        ends.hit('n1', 'disk-failed');
        ends.recovered();
      }),
    ).toEqual([]);
    const begunAnew = (incarnation: string) => (ends: Ends) => {
      ends.damaged('n1', 'a');
      ends.isWhole('n1', incarnation);
    };
    expect(excusedBy(begunAnew('b'))).toEqual([]);
    expect(excusedBy(begunAnew('a'))).toContain('WAL_CORRUPT');
  });

  test('is not excused by what there was of the name before', () => {
    const fault = (ends: Ends): void => {
      ends.damaged('n1', 'a');
      ends.leaves('n1');
      ends.hit('n1', 'disk-failed');
      ends.isNew('n1');
    };
    expect(excusedBy(fault)).toEqual([]);
  });
});
