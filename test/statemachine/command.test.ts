import { describe, expect, test } from 'vitest';
import { pack } from '../../src/base/codec.js';
import { packCommand, unpackCommand } from '../../src/statemachine/command.js';
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

    expect(unpackCommand(packCommand(command))).toEqual(command);
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
      timeMs: 5,
      batches: [{ ...batch(), operations: Buffer.of(0x90) }],
    });
  });

  test('of an unknown version stops the replica with a clear text and changes nothing', async () => {
    const replica = await Replica.start();
    replica.entry('noop');

    const apply = () => replica.entry('command', pack([2, 'anything']));

    expect(apply).toThrow(/version 2; this replica knows version 1 only/);
    expect(apply).toThrow(expect.objectContaining({ code: 'VERSION_UNSUPPORTED' }));
    expect(replica.machine.appliedIndex).toBe(1);
    expect(replica.store.applied).toHaveLength(1);
  });

  test.each([
    ['no msgpack', Buffer.of(0xc1)],
    ['no tuple', pack('text')],
    ['no version', pack(['x', 1, []])],
    ['no time', pack([1, null, []])],
    ['no batches', pack([1, 1, null])],
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
