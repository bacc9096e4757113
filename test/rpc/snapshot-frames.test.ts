import { describe, expect, test } from 'vitest';
import { packFrame } from '../../src/rpc/frame.js';
import {
  packSnapshotFrame,
  type SnapshotFrame,
  unpackSnapshotFrame,
} from '../../src/rpc/snapshot-frames.js';

const HEADER = {
  format: 1,
  id: '10-abc',
  clusterName: 'c',
  clusterId: 'id',
  position: { index: 10, term: 3 },
  configuration: Buffer.from('configuration'),
  configurationIndex: 4,
  revision: 7,
  stateHash: 0xffff_ffff,
  createdMs: 1_700_000_000_000,
};

const VERSIONS = { protocolVersion: 2, protocolVersionMin: 1 };

const FRAMES: readonly SnapshotFrame[] = [
  { type: 'request', request: { ...VERSIONS, clientName: 'balsa', clusterId: null } },
  { type: 'request', request: { ...VERSIONS, clientName: 'balsa', clusterId: 'id' } },
  { type: 'header', offer: { ...VERSIONS, from: 'n1.a', to: 'n2.b', term: 5, header: HEADER } },
  { type: 'answer', afterChunk: 12 },
  { type: 'chunk', chunk: { number: 3, pairs: Buffer.from('pairs'), checksum: 99 } },
  { type: 'ack', chunk: 3 },
  { type: 'end', end: { chunks: 3, keys: 5, bytes: 1000, checksum: 99 } },
  { type: 'done' },
  {
    type: 'refusal',
    error: { code: 'OVERLOADED', message: 'later', outcome: null, details: null },
  },
];

describe('frames of a snapshot stream', () => {
  test.each(FRAMES)('come back as they were: %o', (frame) => {
    expect(unpackSnapshotFrame(packSnapshotFrame(frame))).toEqual(frame);
  });

  test('that are damaged anywhere are refused', () => {
    for (const frame of FRAMES) {
      const bytes = packSnapshotFrame(frame);
      for (let at = 0; at < bytes.byteLength; at += 1) {
        const damaged = Buffer.from(bytes);
        damaged[at] = (damaged[at] ?? 0) ^ 4;
        expect(() => unpackSnapshotFrame(damaged)).toThrow(
          expect.objectContaining({ code: 'FRAME_INVALID' }),
        );
      }
    }
  });

  test.each([
    [[99], 'FRAME_INVALID'],
    [[], 'FRAME_INVALID'],
    [[3], 'FRAME_INVALID'],
    [[3, -1], 'FRAME_INVALID'],
    [[4, 1, 2, 'text'], 'FRAME_INVALID'],
    [[2, 1, 1, 'n1', 'n2', 3, Buffer.from([0xc1])], 'SNAPSHOT_CORRUPT'],
  ])('with wrong fields are refused: %j', (tuple, code) => {
    expect(() => unpackSnapshotFrame(packFrame(tuple))).toThrow(expect.objectContaining({ code }));
  });
});
