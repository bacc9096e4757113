import { describe, expect, test } from 'vitest';
import type { WriteOperation } from '../../src/base/operation.js';
import { packCommand } from '../../src/statemachine/command.js';
import { batch, put, Replica, resultsOf } from './replica.js';

describe('a compaction', () => {
  test('of what has been compacted already is refused, as etcd does', async () => {
    const replica = await Replica.start();
    const write = (sequence: number, operation: WriteOperation) => {
      const batches = [batch({ sequence, operations: [operation] })];
      const [answer] = replica.entry('command', packCommand({ timeMs: 0, batches }, 3));
      return resultsOf(answer)[0];
    };
    write(1, put('k', '1'));
    write(2, put('k', '2'));

    expect(write(3, { type: 'compact', revision: 2 })).toEqual({ type: 'done', revision: 2 });
    expect(write(4, { type: 'compact', revision: 2 })).toMatchObject({
      type: 'error',
      code: 'COMPACTED',
      details: { oldest: 2 },
    });
    expect(write(5, { type: 'compact', revision: 3 })).toMatchObject({
      type: 'error',
      code: 'FUTURE_REVISION',
    });
    expect(replica.machine.compactedRevision).toBe(2);
  });
});
