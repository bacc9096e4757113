import { once } from 'node:events';
import { createConnection, createServer, type Server, type Socket } from 'node:net';
import { Client, credentials, status } from '@grpc/grpc-js';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { LIMITS, type Limits } from '../../src/base/limits.js';
import { waitUntil } from '../../src/cluster/wait-until.js';
import { type Channel, dial, MESSAGE_BYTES_MAX } from '../../src/rpc/channel.js';
import { FRAME_PART_BYTES, framePart } from '../../src/rpc/frame-parts.js';
import { CLIENT_STREAM_PATH } from '../../src/rpc/protocol.js';
import { Listener } from '../../src/server/listener.js';

/** A listener that keeps the channels that it accepted. */
class Accepting {
  readonly channels: Channel[] = [];
  readonly frames: string[] = [];
  closed = 0;
  refused = 0;
  address = '';
  #listener: Listener | null = null;

  async open(limits: Partial<Limits> = {}): Promise<void> {
    const { listener, address } = await Listener.open({
      listen: '127.0.0.1:0',
      limits: { ...LIMITS, ...limits },
      acceptPeerSnapshot: () => ({ receive: () => {}, closed: () => {} }),
      acceptClientSnapshot: () => ({ receive: () => {}, closed: () => {} }),
      acceptPeer: () => ({ receive: () => {}, closed: () => {} }),
      acceptPeerBulk: () => ({ receive: () => {}, closed: () => {} }),
      acceptClient: (channel) => {
        this.channels.push(channel);
        return {
          receive: (frame) => void this.frames.push(frame.toString()),
          refused: () => {
            this.refused += 1;
          },
          closed: () => {
            this.closed += 1;
          },
        };
      },
      health: { ready: () => true, onChange: () => () => {} },
    });
    this.#listener = listener;
    this.address = address;
  }

  async accepted(): Promise<Channel> {
    return waitUntil('a stream', async () => this.channels[0]);
  }

  async close(): Promise<void> {
    await this.#listener?.close(50);
  }
}

let server = new Accepting();

afterEach(() => server.close());

async function dialled() {
  server = new Accepting();
  await server.open();
  const told = { frames: [] as string[], reasons: [] as string[] };
  const channel = dial({
    address: server.address,
    path: CLIENT_STREAM_PATH,
    onFrame: (frame) => void told.frames.push(frame.toString()),
    onClose: (reason) => void told.reasons.push(reason.message),
  });
  channel.send(Buffer.from('hello'));
  const other = await server.accepted();
  return { channel, other, told };
}

function portOf(listening: Server): number {
  const address = listening.address();
  return typeof address === 'object' ? (address?.port ?? 0) : 0;
}

const until = (what: string, holds: () => boolean): Promise<true> =>
  waitUntil(what, async () => (holds() ? true : undefined));

describe('a channel', () => {
  test('is closed when a message says that it is longer than any: what follows would be taken for a part of it', async () => {
    server = new Accepting();
    await server.open();
    const client = new Client(server.address, credentials.createInsecure());
    const asIs = (bytes: Buffer): Buffer => bytes;
    const call = client.makeBidiStreamRequest(CLIENT_STREAM_PATH, asIs, asIs);
    call.resume();
    const ended = new Promise<{ readonly code?: number }>((resolve) => call.on('error', resolve));
    call.write(Buffer.alloc(MESSAGE_BYTES_MAX + 1));
    expect((await ended).code).toBe(status.RESOURCE_EXHAUSTED);
    client.close();
  });

  test('whose large frame comes in part counts for what all of them may hold, until it is over', async () => {
    server = new Accepting();
    await server.open({ partialFrameBytesMax: 4 * FRAME_PART_BYTES });
    const frame = Buffer.alloc(5 * FRAME_PART_BYTES, 'x');
    const parts = [0, 1, 2, 3, 4].map((n) => framePart(frame, n * FRAME_PART_BYTES));
    const client = new Client(server.address, credentials.createInsecure());
    const asIs = (bytes: Buffer): Buffer => bytes;
    const begun = (count: number) => {
      const call = client.makeBidiStreamRequest(CLIENT_STREAM_PATH, asIs, asIs);
      call.on('error', () => {}).resume();
      for (const part of parts.slice(0, count)) call.write(part);
      call.write(Buffer.from('not the next part'));
      return call;
    };
    const first = begun(3);
    await until('three parts', () => server.frames.length === 1);
    const second = begun(2);
    await until('the limit', () => server.refused === 1);
    second.cancel();
    first.cancel();
    await until('both to be over', () => server.closed === 2);
    expect(server.frames).toHaveLength(1);
    begun(3);
    await until('three parts again', () => server.frames.length === 2);
    expect(server.refused).toBe(1);
    client.close();
  });

  test('that is ended by the replica brings what was sent before, then closes, once on each side', async () => {
    const { channel, other, told } = await dialled();
    for (let i = 0; i < 100; i += 1) other.send(Buffer.from(`frame ${i}`));
    other.end();
    other.send(Buffer.from('too late'));
    await until('the end', () => told.reasons.length > 0);
    expect(told.frames).toHaveLength(100);
    expect(told.frames.at(-1)).toBe('frame 99');
    channel.end();
    channel.abort();
    expect([told.reasons.length, server.closed]).toEqual([1, 1]);
  });

  test('that is ended by the client brings what was sent before', async () => {
    const { channel, told } = await dialled();
    for (let i = 0; i < 100; i += 1) channel.send(Buffer.from(`frame ${i}`));
    channel.end();
    channel.send(Buffer.from('too late'));
    await until('the end', () => told.reasons.length > 0);
    expect(server.frames).toHaveLength(101);
    expect(server.frames.at(-1)).toBe('frame 99');
    expect(server.closed).toBe(1);
  });

  test.each(['client', 'replica'])(
    'that is aborted by the %s is closed on both sides',
    async (who) => {
      const { channel, other, told } = await dialled();
      if (who === 'client') channel.abort();
      else other.abort();
      await until('the end', () => told.reasons.length > 0 && server.closed > 0);
      expect([told.reasons.length, server.closed]).toEqual([1, 1]);
    },
  );

  test('counts what the network has not taken, and no more when it has', async () => {
    const { channel } = await dialled();
    channel.send(Buffer.alloc(1000));
    expect(channel.pendingBytes).toBeGreaterThanOrEqual(1000);
    await until('the network', () => channel.pendingBytes === 0);
  });

  test('whose other side does not read is cut off soon after its end', async () => {
    server = new Accepting();
    await server.open();
    const [host = '', port] = server.address.split(':');
    const sockets: Socket[] = [];
    const proxy = createServer((socket) => {
      const onward = createConnection({ host, port: Number(port) });
      sockets.push(socket, onward);
      for (const end of [socket, onward]) end.on('error', () => {});
      socket.pipe(onward).pipe(socket);
    }).listen(0, '127.0.0.1');
    await until('the port', () => proxy.listening);
    // Without a keepalive of its own, unlike one of ours.
    const client = new Client(`127.0.0.1:${portOf(proxy)}`, credentials.createInsecure());
    const asIs = (bytes: Buffer): Buffer => bytes;
    const call = client.makeBidiStreamRequest(CLIENT_STREAM_PATH, asIs, asIs);
    call.on('error', () => {});
    call.write(Buffer.from('hello'));
    const other = await server.accepted();
    sockets[1]?.unpipe().pause();
    for (let i = 0; i < 50; i += 1) other.send(Buffer.alloc(1024 * 1024));
    other.end();
    const startMs = performance.now();
    await until('the cut', () => server.closed > 0);
    const afterMs = performance.now() - startMs;
    // Not by the keepalive of the connection, which takes 15 s: it may well answer.
    expect(afterMs).toBeGreaterThan(3000);
    expect(afterMs).toBeLessThan(10_000);
    call.cancel();
    client.close();
    for (const socket of sockets) socket.destroy();
    proxy.close();
  });

  test('to a machine that accepts and says nothing is given up when it is aborted', async () => {
    const sockets: Socket[] = [];
    const silent = createServer((socket) => {
      sockets.push(socket.resume());
    }).listen(0, '127.0.0.1');
    await until('the port', () => silent.listening);
    const reasons: string[] = [];
    const channel = dial({
      address: `127.0.0.1:${portOf(silent)}`,
      path: CLIENT_STREAM_PATH,
      onFrame: () => {},
      onClose: (reason) => void reasons.push(reason.code),
    });
    channel.send(Buffer.alloc(100));
    await until('a connection', () => sockets.length > 0);
    channel.abort();
    await until('the end', () => reasons.length > 0);
    expect(reasons).toEqual(['UNREACHABLE']);
    for (const socket of sockets) socket.destroy();
    silent.close();
  });
});

/** The ping of HTTP/2: length, type, flags (1: it is an answer), stream 0, and contents of eight bytes. */
const pingFrame = (flags: number): Buffer =>
  Buffer.from([0, 0, 8, 6, flags, 0, 0, 0, 0, ...Array<number>(8).fill(7)]);

/** Speaks HTTP/2 and answers no pings; `pings`: the flags of those that have come. */
async function mute(address: string): Promise<{ socket: Socket; pings: number[] }> {
  const socket = createConnection(Number(address.split(':')[1]), '127.0.0.1');
  await once(socket, 'connect');
  const pings: number[] = [];
  let bytes = Buffer.alloc(0);
  socket.on('data', (chunk: Buffer) => {
    bytes = Buffer.concat([bytes, chunk]);
    while (bytes.byteLength >= 9) {
      const end = 9 + bytes.readUIntBE(0, 3);
      if (bytes.byteLength < end) return;
      if (bytes[3] === 6) pings.push(bytes[4] ?? 0);
      bytes = bytes.subarray(end);
    }
  });
  const settings = Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]);
  socket.write(Buffer.concat([Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), settings]));
  return { socket, pings };
}

test('a replica waits for the answer to a ping as long as it takes behind what is large on a slow link', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  try {
    server = new Accepting();
    await server.open();
    const { socket, pings } = await mute(server.address);
    const closed = once(socket, 'close');
    const come = async (count: number): Promise<void> => {
      while (pings.length < count) await once(socket, 'data');
    };
    socket.write(pingFrame(0));
    await come(1);
    vi.advanceTimersByTime(10_000);
    await come(2);
    expect(pings).toEqual([1, 0]);
    vi.advanceTimersByTime(29_000);
    socket.write(pingFrame(0));
    await Promise.race([come(3), closed]);
    expect(pings).toEqual([1, 0, 1]);
    vi.advanceTimersByTime(2_000);
    await closed;
  } finally {
    vi.useRealTimers();
  }
});
