import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { packDelta, unpackDelta } from '../../src/base/delta-codec.js';
import { BalsaError } from '../../src/base/errors.js';
import {
  DELTAS,
  DELTAS_HELD,
  type DeltaFrame,
  deltaFrameTuple,
  isDeltaFrame,
  RIGHTS_WANTED,
} from '../../src/rpc/delta-frames.js';
import { packFrame } from '../../src/rpc/frame.js';
import { packDeltaFrame, unpackPeerFrame } from '../../src/rpc/peer-frames.js';
import { anyDelta } from '../base/delta-helpers.js';

const ENDS = { from: 'n1.a', to: 'n2.b' };
const ORIGIN = '0123456789abcdef';
const count = fc.maxSafeNat();
const origin = fc
  .uint8Array({ minLength: 8, maxLength: 8 })
  .map((bytes) => Buffer.from(bytes).toString('hex'));

const held = fc.record({
  type: fc.constant('deltas-held' as const),
  ...{ origin, sequence: count, timeMs: count, lacks: fc.boolean() },
  through: fc.array(fc.tuple(origin, count), { maxLength: 9 }).map((pairs) => new Map(pairs)),
});
const wanted = fc.record({
  type: fc.constant('rights-wanted' as const),
  ...{ origin, keys: fc.array(fc.string({ unit: 'binary', maxLength: 20 }), { maxLength: 5 }) },
});

const unpack = (tuple: readonly unknown[]): unknown => unpackPeerFrame(packFrame(tuple), ENDS);

describe('frames about deltas', () => {
  test('come out as they went in', () => {
    fc.assert(
      fc.property(fc.oneof(held, wanted), (frame: DeltaFrame) => {
        expect(isDeltaFrame(deltaFrameTuple(frame)[0])).toBe(true);
        expect(unpackPeerFrame(packDeltaFrame(frame), ENDS)).toEqual(frame);
      }),
      { seed: 1, numRuns: 500 },
    );
  });

  test('carry deltas as they were packed where they were made', () => {
    fc.assert(
      fc.property(fc.array(anyDelta, { maxLength: 5 }), (made) => {
        const deltas = made.map(packDelta);
        const frame = unpackPeerFrame(
          packDeltaFrame({ type: 'deltas', behind: new Map(), deltas }),
          ENDS,
        );
        if (frame.type !== 'deltas') throw new Error(`a frame of type ${frame.type}`);
        expect(frame.deltas.map((bytes) => Buffer.from(bytes))).toEqual(deltas);
        expect(frame.deltas.map(unpackDelta)).toEqual(made);
      }),
      { seed: 2, numRuns: 200 },
    );
  });

  test('keep the types that they have on the wire', () => {
    expect([DELTAS, DELTAS_HELD, RIGHTS_WANTED]).toEqual([4, 5, 6]);
    const frame: DeltaFrame = {
      ...{ type: 'deltas-held', origin: ORIGIN, sequence: 7, timeMs: 8, lacks: true },
      through: new Map([[ORIGIN, 7]]),
    };
    expect(deltaFrameTuple({ type: 'deltas', behind: frame.through, deltas: [] })).toEqual([
      ...[4, [], [ORIGIN, 7]],
    ]);
    expect(deltaFrameTuple(frame)).toEqual([5, ORIGIN, 7, 8, [ORIGIN, 7], true]);
  });

  test.each([
    ['deltas that are none', [DELTAS]],
    ['deltas in place of a list', [DELTAS, 'x']],
    ['a delta that is no bytes', [DELTAS, [Buffer.from('x'), 'x']]],
    ['deltas behind what is no list', [DELTAS, [], 'x']],
    ['rights of no queue', [RIGHTS_WANTED, null, []]],
    ['rights of a queue with a short name', [RIGHTS_WANTED, 'abcdef', []]],
    ['rights of a queue with capitals', [RIGHTS_WANTED, ORIGIN.toUpperCase(), []]],
    ['rights of a queue that has a line behind its name', [RIGHTS_WANTED, `${ORIGIN}\n`, []]],
    ['rights of keys that are no list', [RIGHTS_WANTED, ORIGIN, 'k']],
    ['rights of a key that is no text', [RIGHTS_WANTED, ORIGIN, ['k', 7]]],
    ['what is held, of no queue', [DELTAS_HELD, 7, 7, 8, [], true]],
    ['what is held, below 0', [DELTAS_HELD, ORIGIN, -1, 8, [], true]],
    ['what is held, at no time', [DELTAS_HELD, ORIGIN, 7, 1.5, [], true]],
    ['what is held, in no list', [DELTAS_HELD, ORIGIN, 7, 8, null, true]],
    ['what is held, with an origin alone', [DELTAS_HELD, ORIGIN, 7, 8, [ORIGIN], true]],
    ['what is held, of a false origin', [DELTAS_HELD, ORIGIN, 7, 8, ['x', 7], true]],
    ['what is held, past 2^53 - 1', [DELTAS_HELD, ORIGIN, 7, 8, [ORIGIN, 2 ** 53], true]],
    ['what is held, and no word whether it lacks more', [DELTAS_HELD, ORIGIN, 7, 8, []]],
  ])('%s: FRAME_INVALID', (_what, tuple) => {
    expect(codeOf(() => unpack(tuple))).toBe('FRAME_INVALID');
  });

  test('that somebody made up are frames, or FRAME_INVALID, and nothing else', () => {
    const type = fc.constantFrom(DELTAS, DELTAS_HELD, RIGHTS_WANTED);
    fc.assert(
      fc.property(type, fc.array(fc.jsonValue(), { maxLength: 6 }), (first, rest) => {
        expect(['none', 'FRAME_INVALID']).toContain(codeOf(() => unpack([first, ...rest])));
      }),
      { seed: 3, numRuns: 1000 },
    );
  });

  test('that were damaged on their way are refused', () => {
    const flips = fc.record({ at: fc.nat(), by: fc.integer({ min: 1, max: 255 }) });
    fc.assert(
      fc.property(fc.oneof(held, wanted), flips, fc.boolean(), (frame, { at, by }, isCut) => {
        const whole = packDeltaFrame(frame);
        const place = at % whole.length;
        const bytes = Buffer.from(isCut ? whole.subarray(0, place) : whole);
        if (!isCut) bytes[place] = (bytes[place] as number) ^ by;
        expect(codeOf(() => unpackPeerFrame(bytes, ENDS))).toBe('FRAME_INVALID');
      }),
      { seed: 4, numRuns: 500 },
    );
  });
});

function codeOf(work: () => unknown): string {
  try {
    work();
    return 'none';
  } catch (error) {
    return error instanceof BalsaError ? error.code : String(error);
  }
}
