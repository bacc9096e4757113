import { describe, expect, test } from 'vitest';
import {
  BULK_PART_BYTES,
  FRAME_PART_BYTES,
  FrameAssembler,
  framePart,
  PartialFrames,
} from '../../src/rpc/frame-parts.js';
import { FrameQueue } from '../../src/rpc/frame-queue.js';

const LARGE = 3 * FRAME_PART_BYTES + 17;

function frameOf(bytes: number, fill = 1): Buffer {
  const frame = Buffer.alloc(bytes, fill);
  // As the array header of a msgpack tuple: no whole frame has 0xc1 here.
  frame[4] = 0x92;
  return frame;
}

/** A queue on a network that takes what it is told to. */
class Network {
  readonly messages: Buffer[] = [];
  readonly #taken: (() => void)[] = [];
  readonly queue = new FrameQueue((message, taken) => {
    this.messages.push(message);
    this.#taken.push(taken);
  });

  take(): void {
    this.#taken.shift()?.();
  }

  takeAll(): void {
    while (this.#taken.length > 0) this.take();
  }

  received(frameBytesMax = 2 * LARGE): Buffer[] {
    const assembler = new FrameAssembler(frameBytesMax);
    return this.messages.flatMap((message) => assembler.take(message) ?? []);
  }
}

describe('large frames', () => {
  test('travel in parts and arrive whole, in order', () => {
    const network = new Network();
    const sent = [frameOf(10, 1), frameOf(LARGE, 2), frameOf(20, 3), frameOf(LARGE * 2, 4)];
    for (const frame of sent) network.queue.send(frame, false);
    network.takeAll();
    expect(network.messages.length).toBeGreaterThan(10);
    expect(Math.max(...network.messages.map((m) => m.byteLength))).toBeLessThan(
      FRAME_PART_BYTES + 64,
    );
    expect(network.received().map((frame) => frame.equals(sent.shift() ?? frame))).toEqual(
      Array(4).fill(true),
    );
    expect(network.queue.pendingBytes).toBe(0);
  });

  test('go in smaller parts where that is asked for, and arrive whole', () => {
    const messages: Buffer[] = [];
    const taken: (() => void)[] = [];
    const queue = new FrameQueue((message, callback) => {
      messages.push(message);
      taken.push(callback);
    }, BULK_PART_BYTES);
    queue.send(frameOf(FRAME_PART_BYTES), false);
    const pending = [queue.pendingBytes];
    while (taken.length > 0) {
      taken.shift()?.();
      pending.push(queue.pendingBytes);
    }
    expect(pending.map((bytes) => Math.round(bytes / BULK_PART_BYTES))).toEqual([4, 3, 2, 1, 0]);
    const assembler = new FrameAssembler(LARGE);
    const frames = messages.flatMap((message) => assembler.take(message) ?? []);
    expect(frames.map((frame) => frame.equals(frameOf(FRAME_PART_BYTES)))).toEqual([true]);
  });

  test('wait for the network part by part, and urgent frames go in between', () => {
    const network = new Network();
    network.queue.send(frameOf(20 * FRAME_PART_BYTES), false);
    const handed = network.messages.length;
    expect(handed).toBeLessThan(6);
    expect(network.queue.pendingBytes).toBeGreaterThanOrEqual(20 * FRAME_PART_BYTES);
    network.queue.send(frameOf(8, 7), false);
    network.queue.send(frameOf(9, 8), true);
    expect(network.messages).toHaveLength(handed + 1);
    network.takeAll();
    expect(network.received(1e8).map((frame) => frame.byteLength)).toEqual([
      9,
      20 * FRAME_PART_BYTES,
      8,
    ]);
  });

  test('are all handed over before the end of the stream', () => {
    const network = new Network();
    let ended = false;
    network.queue.send(frameOf(20 * FRAME_PART_BYTES), false);
    network.queue.whenEmpty(() => {
      ended = true;
    });
    expect(ended).toBe(false);
    network.takeAll();
    expect(ended).toBe(true);
    expect(network.received(1e8)).toHaveLength(1);
  });

  test('of several streams have room together for so many bytes of parts', () => {
    const partial = new PartialFrames(3 * FRAME_PART_BYTES);
    const frame = frameOf(4 * FRAME_PART_BYTES);
    const parts = [0, 1, 2, 3].map((n) => framePart(frame, n * FRAME_PART_BYTES));
    const [one, other] = [0, 1].map(() => new FrameAssembler(frame.byteLength, partial));
    for (const part of parts.slice(0, 2)) expect(one?.take(part)).toBeNull();
    expect(other?.take(parts[0] as Buffer)).toBeNull();
    expect(other?.isRefused).toBe(false);
    expect(other?.take(parts[1] as Buffer)).toBeNull();
    expect(other?.isRefused).toBe(true);
    // What it held is free again, and what else it is sent is not looked at.
    expect(other?.take(frameOf(10))).toBeNull();
    other?.release();
    expect(one?.take(parts[2] as Buffer)).toBeNull();
    expect(one?.take(parts[3] as Buffer)).toBeNull();
    expect(one?.isRefused).toBe(true);
    const small = frameOf(2 * FRAME_PART_BYTES);
    const third = new FrameAssembler(frame.byteLength, partial);
    for (let i = 0; i < 4; i += 1) {
      expect(third.take(framePart(small, 0))).toBeNull();
      expect(third.take(framePart(small, FRAME_PART_BYTES))?.equals(small)).toBe(true);
    }
  });

  test('beyond the limit, or whose parts do not fit together, come out as what is no frame', () => {
    const frame = frameOf(LARGE);
    const first = framePart(frame, 0);
    expect(new FrameAssembler(LARGE - 1).take(first)).toBe(first);
    const assembler = new FrameAssembler(LARGE);
    expect(assembler.take(first)).toBeNull();
    const ofAnother = framePart(frameOf(LARGE - 1), FRAME_PART_BYTES);
    expect(assembler.take(ofAnother)).toBe(ofAnother);
    const head = first.subarray(0, 9);
    expect(assembler.take(head)).toBe(head);
    for (let i = 1; i < 3; i += 1) expect(assembler.take(first)).toBeNull();
    expect(assembler.take(first)).toBe(first);
  });
});
