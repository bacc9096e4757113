import { describe, expect, test } from 'vitest';
import type { WriteBatch } from '../../src/base/operation.js';
import { batch, brief, bytes, put, Replica, resultsOf, session } from './replica.js';

const A = session('a');
const B = session('b');
const C = session('c');

/** Batch `sequence` of session `sessionId`; writes a key of its own. */
function nth(sessionId: Uint8Array, sequence: number, more: Partial<WriteBatch> = {}): WriteBatch {
  const key = `${Buffer.from(sessionId).toString('latin1', 0, 1)}${sequence}`;
  return { ...batch({ sessionId, sequence, operations: [put(key, 'v')] }), ...more };
}

function answersKept(replica: Replica): number {
  return replica.store.keys().filter((key) => key.startsWith('a')).length;
}

describe('a batch of a session that is known', () => {
  test('is applied when it is the next', async () => {
    const replica = await Replica.start();

    const answers = [1, 2, 3].map((n) => brief(replica.command([nth(A, n)])[0]));

    expect(answers).toEqual(['put@1', 'put@2', 'put@3']);
  });

  test('is answered with the same bytes and not applied when it comes again', async () => {
    const replica = await Replica.start();
    const [first] = replica.command([nth(A, 1)]);

    const [again] = replica.command([nth(A, 1)]);

    expect(brief(again)).toBe('again put@1');
    expect(again?.ok && Buffer.from(again.results)).toEqual(
      first?.ok && Buffer.from(first.results),
    );
    expect(replica.machine.revision).toBe(1);
    expect(replica.machine.get(bytes('a1'), null)?.version).toBe(1);
  });

  test('is answered with the first outcome also when it says something else now', async () => {
    const replica = await Replica.start();
    replica.command([nth(A, 1)]);

    const [again] = replica.command([{ ...nth(A, 1), operations: Buffer.of(0xc1) }]);

    expect(brief(again)).toBe('again put@1');
  });

  test('is answered again while batches behind it have been applied', async () => {
    const replica = await Replica.start();
    for (const n of [1, 2, 3]) replica.command([nth(A, n)]);

    expect([1, 2, 3].map((n) => brief(replica.command([nth(A, n)])[0]))).toEqual([
      'again put@1',
      'again put@2',
      'again put@3',
    ]);
  });

  test('is refused when one before it has not come, and leaves the session as it is', async () => {
    const replica = await Replica.start();
    replica.command([nth(A, 1)]);
    const before = replica.store.pairs().filter(([key]) => key.startsWith('s'));

    const [answer] = replica.command([nth(A, 3, { acknowledged: 1 })], 1000);

    expect(brief(answer)).toBe('SESSION_GAP not-applied');
    expect(replica.store.pairs().filter(([key]) => key.startsWith('s'))).toEqual(before);
    expect(brief(replica.command([nth(A, 1)])[0])).toBe('again put@1');
    expect(brief(replica.command([nth(A, 2)])[0])).toBe('put@2');
  });

  test('sees the batches before it in the same command', async () => {
    const replica = await Replica.start();

    const answers = replica.command([nth(A, 1), nth(A, 1), nth(A, 3), nth(A, 2), nth(A, 3)]);

    expect(answers.map(brief)).toEqual([
      'put@1',
      'again put@1',
      'SESSION_GAP not-applied',
      'put@2',
      'put@3',
    ]);
  });

  test('sees what earlier batches of the same command wrote', async () => {
    const replica = await Replica.start();

    replica.command([
      batch({ sessionId: A, operations: [put('k', '1')] }),
      batch({ sessionId: B, operations: [put('k', '2')] }),
    ]);

    expect(replica.machine.get(bytes('k'), null)).toMatchObject({ createRevision: 1, version: 2 });
    expect(replica.machine.get(bytes('k'), 1)?.value).toEqual(bytes('1'));
  });
});

describe('answers', () => {
  test('are dropped when the client has them', async () => {
    const replica = await Replica.start();
    for (const n of [1, 2, 3]) replica.command([nth(A, n)]);
    expect(answersKept(replica)).toBe(3);

    replica.command([nth(A, 4, { acknowledged: 2 })]);

    expect(answersKept(replica)).toBe(2);
    expect(brief(replica.command([nth(A, 3)])[0])).toBe('again put@3');
  });

  test('that were acknowledged are not given again: the outcome is unknown', async () => {
    const replica = await Replica.start();
    replica.command([nth(A, 1)]);
    replica.command([nth(A, 2, { acknowledged: 1 })]);

    expect(brief(replica.command([nth(A, 1)])[0])).toBe('SESSION_EXPIRED unknown');
    expect(replica.machine.revision).toBe(2);
  });

  test('are dropped by a batch that comes again, too', async () => {
    const replica = await Replica.start();
    for (const n of [1, 2, 3]) replica.command([nth(A, n)]);

    replica.command([nth(A, 3, { acknowledged: 2 })]);

    expect(answersKept(replica)).toBe(1);
  });

  test('are never acknowledged by the batch that asks for them', async () => {
    const replica = await Replica.start();

    const answers = [
      replica.command([nth(A, 1, { acknowledged: 99 })]),
      replica.command([nth(A, 1, { acknowledged: 99 })]),
      replica.command([nth(A, 2, { acknowledged: 99 })]),
    ];

    expect(answers.map(([answer]) => brief(answer))).toEqual(['put@1', 'again put@1', 'put@2']);
    expect(answersKept(replica)).toBe(1);
  });

  test('are not brought back by a smaller acknowledgement', async () => {
    const replica = await Replica.start();
    for (const n of [1, 2, 3]) replica.command([nth(A, n, { acknowledged: n - 1 })]);

    replica.command([nth(A, 4, { acknowledged: 0 })]);

    expect(answersKept(replica)).toBe(2);
    expect(brief(replica.command([nth(A, 2)])[0])).toBe('SESSION_EXPIRED unknown');
  });

  test('are kept for batchesPerSessionMax batches at most, the newest', async () => {
    const replica = await Replica.start({ batchesPerSessionMax: 2 });
    for (const n of [1, 2, 3]) replica.command([nth(A, n)]);

    expect(answersKept(replica)).toBe(2);
    expect([1, 2, 3].map((n) => brief(replica.command([nth(A, n)])[0]))).toEqual([
      'SESSION_EXPIRED unknown',
      'again put@2',
      'again put@3',
    ]);
  });

  test('survive a restart, whatever part of the log was on disk', async () => {
    for (const diskIndex of [0, 1, 2]) {
      const replica = await Replica.start();
      const first = replica.command([nth(A, 1)]).map(resultsOf);
      replica.command([nth(A, 2)]);

      await replica.restart(diskIndex);

      const [again] = replica.command([nth(A, 1)]);
      expect(brief(again)).toBe('again put@1');
      expect([resultsOf(again)]).toEqual(first);
    }
  });
});

describe('a session that is not known', () => {
  test('is made by its batch 1', async () => {
    const replica = await Replica.start();

    replica.command([nth(A, 1)]);

    expect(replica.machine.sessionCount).toBe(1);
  });

  test('is not made by a later batch', async () => {
    const replica = await Replica.start();

    expect(brief(replica.command([nth(A, 2)])[0])).toBe('SESSION_GAP not-applied');
    expect(replica.machine.sessionCount).toBe(0);
  });

  test('is not made when it claims to be born at an index that is not yet applied', async () => {
    const replica = await Replica.start();
    replica.entry('noop');

    const claims = [1, 2, 3].map((bornIndex) =>
      brief(replica.command([nth(session(`x${bornIndex}`), 1, { bornIndex })])[0]),
    );

    // Entries 2, 3 and 4: each claim is the index just before. Then one that is too high.
    expect(claims).toEqual(['put@1', 'put@2', 'put@3']);
    expect(brief(replica.command([nth(A, 1, { bornIndex: 5 })])[0])).toBe(
      'SESSION_EXPIRED not-applied',
    );
  });
});

describe('sessions are forgotten', () => {
  test('when idle for longer than sessionIdleMsMax, in log time', async () => {
    const replica = await Replica.start({ sessionIdleMsMax: 100 });
    replica.command([nth(A, 1)], 1000);

    replica.command([], 1100);
    expect(replica.machine.sessionCount).toBe(1);
    replica.command([], 1101);

    expect(replica.machine.sessionCount).toBe(0);
    expect(replica.store.keys().filter((key) => /^[sa]/.test(key))).toEqual([]);
  });

  test('before the batches of the same command are looked at', async () => {
    const replica = await Replica.start({ sessionIdleMsMax: 100 });
    replica.command([nth(A, 1)], 1000);

    const [answer] = replica.command([nth(A, 1)], 1101);

    expect(brief(answer)).toBe('SESSION_EXPIRED not-applied');
    expect(replica.machine.revision).toBe(1);
  });

  test('not while they are active, be it with batches that come again', async () => {
    const replica = await Replica.start({ sessionIdleMsMax: 100 });
    replica.command([nth(A, 1)], 1000);

    for (const timeMs of [1090, 1180, 1270]) replica.command([nth(A, 1)], timeMs);

    expect(brief(replica.command([nth(A, 2)], 1370)[0])).toBe('put@2');
  });

  test('but a refused batch does not keep its session', async () => {
    const replica = await Replica.start({ sessionIdleMsMax: 100 });
    replica.command([nth(A, 1)], 1000);

    for (const timeMs of [1090, 1180]) replica.command([nth(A, 9)], timeMs);

    expect(replica.machine.sessionCount).toBe(0);
  });

  test('when there would be more than sessionsMax: the one idle longest goes', async () => {
    const replica = await Replica.start({ sessionsMax: 2 });
    replica.command([nth(A, 1)]);
    replica.command([nth(B, 1)]);
    replica.command([nth(A, 2)]);

    replica.command([nth(C, 1, { bornIndex: 3 })]);

    expect(replica.machine.sessionCount).toBe(2);
    expect(brief(replica.command([nth(A, 2)])[0])).toBe('again put@3');
    expect(brief(replica.command([nth(B, 1)])[0])).toBe('SESSION_EXPIRED not-applied');
  });

  test('when a repeated batch of another made that one the younger', async () => {
    const replica = await Replica.start({ sessionsMax: 2 });
    replica.command([nth(A, 1), nth(B, 1)]);
    replica.command([nth(A, 1)]);

    replica.command([nth(C, 1)]);

    expect(brief(replica.command([nth(A, 1)])[0])).toBe('again put@1');
  });

  test('in the order of the batches when they were last active in the same entry', async () => {
    for (const restarts of [false, true]) {
      const replica = await Replica.start({ sessionsMax: 3 });
      replica.command([nth(C, 1), nth(A, 1), nth(B, 1)]);
      if (restarts) await replica.restart();

      replica.command([nth(session('d'), 1)]);

      expect(brief(replica.command([nth(A, 1)])[0])).toBe('again put@2');
      expect(brief(replica.command([nth(C, 1)])[0])).toBe('SESSION_EXPIRED not-applied');
    }
  });

  test('a thousand with one entry at most', async () => {
    const replica = await Replica.start({ sessionIdleMsMax: 100 });
    const ids = Array.from({ length: 2500 }, (_, n) => session(String(n)));
    replica.command(
      ids.map((sessionId) => nth(sessionId, 1)),
      1,
    );

    const counts = [1, 2, 3].map(() => {
      replica.command([], 1000);
      return replica.machine.sessionCount;
    });

    expect(counts).toEqual([1500, 500, 0]);
  });
});

describe('a session that was forgotten', () => {
  /** A had one batch, in entry 2, born at index 1; it was forgotten with entry 4. */
  async function forgetful(): Promise<Replica> {
    const replica = await Replica.start({ sessionsMax: 1 });
    replica.entry('noop');
    replica.command([nth(A, 1, { bornIndex: 1 })]);
    replica.entry('noop');
    replica.command([nth(B, 1, { bornIndex: 3 })]);
    return replica;
  }

  test('is never made again by its batch 1', async () => {
    const replica = await forgetful();

    const [answer] = replica.command([nth(A, 1, { bornIndex: 1 })]);

    expect(brief(answer)).toBe('SESSION_EXPIRED not-applied');
    expect(replica.machine.get(bytes('a1'), null)?.version).toBe(1);
  });

  test('is told so with any other batch, too', async () => {
    const replica = await forgetful();

    expect(brief(replica.command([nth(A, 2, { bornIndex: 1 })])[0])).toBe(
      'SESSION_EXPIRED not-applied',
    );
  });

  test('is not made again after a restart', async () => {
    for (const diskIndex of [0, 1, 2, 3, 4]) {
      const replica = await forgetful();

      await replica.restart(diskIndex);

      expect(brief(replica.command([nth(A, 1, { bornIndex: 1 })])[0])).toBe(
        'SESSION_EXPIRED not-applied',
      );
    }
  });

  test('does not stand in the way of a new one born at or after its last activity', async () => {
    const replica = await forgetful();

    const answers = [2, 3].map((bornIndex) =>
      brief(replica.command([nth(session(`n${bornIndex}`), 1, { bornIndex })])[0]),
    );

    // Born at 2, where A was last active; but B goes then (entry 4), so born at 3 is too old.
    expect(answers).toEqual(['put@3', 'SESSION_EXPIRED not-applied']);
  });

  test('makes one that is new and born before refused: the two cannot be told apart', async () => {
    const replica = await forgetful();

    expect(brief(replica.command([nth(C, 1, { bornIndex: 1 })])[0])).toBe(
      'SESSION_EXPIRED not-applied',
    );
  });

  test('in the entry that made it is not made again by that entry', async () => {
    const replica = await Replica.start({ sessionsMax: 1 });

    const answers = replica.command([nth(A, 1), nth(B, 1), nth(A, 1)]);

    expect(answers.map(brief)).toEqual(['put@1', 'put@2', 'SESSION_EXPIRED not-applied']);
  });
});
