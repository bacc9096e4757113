import { describe, expect, test, vi } from 'vitest';
import { crc32 } from '../../src/base/checksum.js';
import { type Random, seededRandom } from '../../src/base/random.js';
import { PEER_SNAPSHOT_PATH } from '../../src/rpc/protocol.js';
import { makeWorld, runScript } from '../crash/script.js';
import type { World } from '../simulation/world.js';

/** `DAMAGES=all` tries each frame with several flips. */
const FLIPS = process.env.DAMAGES === 'all' ? 1000 : 12;

/** Frames of snapshots that members send each other are handed to `touch` on their way. */
function watchSnapshots(world: World, touch: (frame: Buffer) => Buffer): void {
  const { network } = world;
  const dial = network.dial.bind(network);
  network.dial = (place, options) => {
    const channel = dial(place, options);
    if (options.path !== PEER_SNAPSHOT_PATH) return channel;
    return { ...channel, send: (frame) => channel.send(touch(frame)) };
  };
}

const CHECKSUM_BYTES = 4;

/** On the wire, or before it was framed: then the frame itself looks whole. */
function flipped(frame: Buffer, random: Random): Buffer {
  const copy = Buffer.from(frame);
  const isFramed = random.int(2) === 0;
  const from = isFramed ? 0 : CHECKSUM_BYTES;
  const offset = from + random.int(copy.length - from);
  copy.writeUInt8(copy.readUInt8(offset) ^ (1 << random.int(8)), offset);
  if (!isFramed) copy.writeUInt32BE(crc32(copy.subarray(CHECKSUM_BYTES)));
  return copy;
}

async function framesOfTheScript(): Promise<number> {
  const world = makeWorld();
  let frames = 0;
  watchSnapshots(world, (frame) => {
    frames += 1;
    return frame;
  });
  await runScript(world);
  return frames;
}

async function runWithFlip(target: number, random: Random): Promise<string | null> {
  const world = makeWorld();
  let count = 0;
  watchSnapshots(world, (frame) => {
    count += 1;
    return count === target ? flipped(frame, random) : frame;
  });
  return runScript(world).then(
    () => null,
    (error: Error) => error.message,
  );
}

// Much of one core's time, which others may want too.
vi.setConfig({ testTimeout: 3_600_000 });

describe('a snapshot on its way to a follower', () => {
  test('with a flipped bit in any frame is noticed, and sent again; no replica takes in a wrong state', async () => {
    const frames = await framesOfTheScript();
    expect(frames).toBeGreaterThan(30);
    const random = seededRandom(5);
    const problems: string[] = [];
    for (let n = 0; n < FLIPS; n += 1) {
      // The first and the last ones always: the header and the end are there.
      const target = n < 4 ? n + 1 : 1 + random.int(frames);
      const problem = await runWithFlip(target, random);
      if (problem !== null) problems.push(`frame ${target}: ${problem}`);
    }
    expect(problems).toEqual([]);
  });
});
