import { describe, expect, test } from 'vitest';
import { pack } from '../../src/base/codec.js';
import { COMMAND_VERSION_MAX, packCommand, unpackCommand } from '../../src/statemachine/command.js';
import { StateMachine } from '../../src/statemachine/state-machine.js';
import { batch, Replica, session } from './replica.js';

describe('the command in a log entry', () => {
  test('comes out as it went in', () => {
    const command = {
      timeMs: 1_790_000_000_123,
      batches: [
        batch({ bornIndex: 7, sequence: 3, acknowledged: 2 }),
        batch({ sessionId: session('b'), bornIndex: 2 ** 40 }),
      ],
    };

    expect(unpackCommand(packCommand(command))).toEqual({ ...command, version: 1 });
  });

  test('carries the operations untouched, readable or not', () => {
    const operations = Uint8Array.of(0xc1, 0, 255);
    const payload = packCommand({ timeMs: 1, batches: [{ ...batch(), operations }] });

    expect(unpackCommand(payload).batches[0]?.operations).toEqual(Buffer.from(operations));
  });

  test('drops a fraction of a millisecond', () => {
    expect(unpackCommand(packCommand({ timeMs: 12.9, batches: [] })).timeMs).toBe(12);
  });

  test('may carry fields that this version does not know', () => {
    const payload = pack([1, 5, [[session('a'), 0, 1, 0, Buffer.of(0x90), 'new']], 'newer']);

    expect(unpackCommand(payload)).toEqual({
      version: 1,
      timeMs: 5,
      batches: [{ ...batch(), operations: Buffer.of(0x90) }],
    });
  });

  test('of an unknown version stops the replica with a clear text and changes nothing', async () => {
    const replica = await Replica.start();
    replica.entry('noop');

    const apply = () => replica.entry('command', pack([COMMAND_VERSION_MAX + 1, 'anything']));

    expect(apply).toThrow(/version 11; this replica knows versions up to 10/);
    expect(apply).toThrow(expect.objectContaining({ code: 'VERSION_UNSUPPORTED' }));
    expect(replica.machine.appliedIndex).toBe(1);
    expect(replica.store.applied).toHaveLength(1);
  });

  test('is written in version 1 unless all members are known to read a newer one', () => {
    const command = { timeMs: 5, batches: [batch()], proposerTerm: 7 };

    expect(unpackCommand(packCommand(command), 1)).toEqual({
      version: 1,
      timeMs: 5,
      batches: [batch()],
    });
    expect(unpackCommand(packCommand(command, 2))).toEqual({ ...command, version: 2 });
    const full = {
      ...command,
      system: [
        { type: 'expire' as const, leases: [7, 2 ** 40] },
        { type: 'compact' as const, revision: 12 },
        { type: 'sweep' as const, records: 500 },
      ],
    };
    expect(unpackCommand(packCommand(full, 3))).toEqual({ ...full, version: 3 });
    const calls = [Buffer.of(1, 2), Buffer.alloc(300 * 1024, 7)];
    const withCalls = { ...full, calls };
    expect(unpackCommand(packCommand(withCalls, 3))).toEqual({ ...full, version: 3 });
    expect(unpackCommand(packCommand(withCalls, 4))).toEqual({ ...withCalls, version: 4 });
    expect(unpackCommand(packCommand(full, 4))).toEqual({ ...full, calls: [], version: 4 });
    const newest = { ...withCalls, merge: null, jobs: [], wallMs: 2 ** 41 };
    expect(unpackCommand(packCommand(newest, 9))).toEqual({ ...newest, version: 9 });
    expect(unpackCommand(packCommand(newest, 8))).not.toHaveProperty('wallMs');
    expect(unpackCommand(packCommand({ timeMs: 5, batches: [] }, 2)).proposerTerm).toBe(0);
    expect(() => packCommand(command, COMMAND_VERSION_MAX + 1)).toThrow(/version that is known/);
  });

  test('does the same to the state in every version', async () => {
    const [one, two] = [await Replica.start(), await Replica.start()];
    const command = { timeMs: 5, batches: [batch()], proposerTerm: 7 };
    one.entry('command', packCommand(command, 1));
    two.entry('command', packCommand(command, 2));

    expect(two.machine.stateHash).toBe(one.machine.stateHash);
    expect(two.store.pairs()).toEqual(one.store.pairs());
  });

  test('of a newer version stops an older replica, which goes on when it is upgraded', async () => {
    const old = await Replica.start({ commandVersionMax: 1 });
    old.entry('command', packCommand({ timeMs: 5, batches: [batch()] }, 1));
    const newer = packCommand({ timeMs: 6, batches: [batch({ sequence: 2 })] }, 2);

    expect(() => old.entry('command', newer)).toThrow(
      expect.objectContaining({
        code: 'VERSION_UNSUPPORTED',
        details: { version: 2, supported: 1 },
      }),
    );
    expect(old.machine.appliedIndex).toBe(1);

    const upgraded = await StateMachine.open(old.store.reopenedAt(1));
    expect(upgraded.apply({ index: 2, type: 'command', payload: newer })[0]?.ok).toBe(true);
  });

  test.each([
    ['no msgpack', Buffer.of(0xc1)],
    ['no tuple', pack('text')],
    ['no version', pack(['x', 1, []])],
    ['no time', pack([1, null, []])],
    ['no batches', pack([1, 1, null])],
    ['no term in version 2', pack([2, 1, []])],
    ['no system in version 3', pack([3, 1, [], 0])],
    ['no calls in version 4', pack([4, 1, [], 0, []])],
    ['a call that is no bytes', pack([4, 1, [], 0, [], ['text']])],
    ['half a batch', pack([1, 1, [[session('a'), 0]]])],
    ['nothing', Buffer.alloc(0)],
  ])('with %s stops the replica', async (_what, payload) => {
    const replica = await Replica.start();

    expect(() => replica.entry('command', payload)).toThrow(
      expect.objectContaining({ code: 'FRAME_INVALID' }),
    );
    expect(replica.store.applied).toHaveLength(0);
  });
});
