import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createConnection } from 'node:net';
import { Client, credentials } from '@grpc/grpc-js';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { pack } from '../../src/base/codec.js';
import { LocalCluster } from '../../src/cluster/local-cluster.js';
import { packClientFrame } from '../../src/rpc/client-frames.js';
import { CLIENT_STREAM_PATH, type ClientHello, PEER_STREAM_PATH } from '../../src/rpc/protocol.js';
import { unpackReplicaFrame } from '../../src/rpc/replica-frames.js';
import { OWN_VERSIONS } from '../../src/rpc/version.js';

let cluster: LocalCluster;

beforeAll(async () => {
  cluster = await LocalCluster.start();
});

afterEach(async () => {
  expect(cluster.running).toHaveLength(3);
  await using db = await cluster.connect();
  const { revision } = await db.put('alive', 'yes');
  expect(await db.get('alive')).toMatchObject({ modRevision: revision });
});

afterAll(() => cluster.close());

const HELLO: ClientHello = {
  ...OWN_VERSIONS,
  clientName: 'test',
  clusterId: null,
  sessionId: randomBytes(16),
};

/** Sends raw frames on a stream of the first replica; gives the frames that come until it ends. */
async function talk(path: string, frames: readonly Buffer[]): Promise<Buffer[]> {
  const client = new Client(cluster.endpoints[0] ?? '', credentials.createInsecure());
  const asIs = (bytes: Buffer): Buffer => bytes;
  const stream = client.makeBidiStreamRequest(path, asIs, asIs);
  const received: Buffer[] = [];
  stream.on('data', (frame: Buffer) => received.push(frame));
  const ended = new Promise<void>((resolve) => {
    stream.once('error', () => resolve());
    stream.once('end', () => resolve());
  });
  for (const frame of frames) stream.write(frame);
  await ended;
  client.close();
  return received;
}

function endError(frames: readonly Buffer[]): unknown {
  const ends = frames.map(unpackReplicaFrame).filter((frame) => frame.type === 'end');
  return ends[0]?.error;
}

async function sendRaw(bytes: Buffer): Promise<void> {
  const [host, port] = (cluster.endpoints[0] ?? '').split(':');
  const socket = createConnection({ host: host ?? '', port: Number(port) });
  await once(socket, 'connect');
  // The replica may cut the connection at any moment.
  socket.on('error', () => {});
  const closed = once(socket, 'close');
  socket.resume();
  socket.end(bytes);
  await closed;
}

describe('a replica goes on undisturbed', () => {
  test.each([
    ['noise', randomBytes(1_000_000)],
    ['an HTTP/1 request', Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n')],
    [
      'the start of HTTP/2 and noise behind it',
      Buffer.concat([Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), randomBytes(100_000)]),
    ],
  ])('when its port gets %s', async (_what, bytes) => {
    await sendRaw(bytes);
  });

  test.each([
    ['noise', [randomBytes(100)]],
    ['an empty frame', [Buffer.alloc(0)]],
    ['a frame of unknown type', [pack([99, 1, 2])]],
    [
      'requests before a hello',
      [packClientFrame({ type: 'requests', requests: [{ type: 'status', id: 1 }] })],
    ],
    ['a hello of wrong fields', [pack([1, 'one', 2, 3, 4])]],
    [
      'noise behind a good hello',
      [packClientFrame({ type: 'hello', hello: HELLO }), randomBytes(100)],
    ],
  ])('when a client stream brings %s: the stream ends', async (_what, frames) => {
    expect(endError(await talk(CLIENT_STREAM_PATH, frames))).toMatchObject({
      code: 'FRAME_INVALID',
    });
  });

  test.each([
    ['noise', [randomBytes(100)]],
    ['a frame of unknown type', [pack([99, 1, 2])]],
  ])('when a peer stream brings %s: the stream ends', async (_what, frames) => {
    await talk(PEER_STREAM_PATH, frames);
  });

  test('when a client speaks another protocol version: it is told so', async () => {
    const hello = { ...HELLO, protocolVersion: 99, protocolVersionMin: 99 };

    const frames = await talk(CLIENT_STREAM_PATH, [packClientFrame({ type: 'hello', hello })]);

    expect(endError(frames)).toMatchObject({ code: 'PROTOCOL_VERSION' });
  });

  test('when a client wants another cluster: it is told so', async () => {
    const connecting = cluster.connect({ clusterId: 'another' });

    await expect(connecting).rejects.toMatchObject({ code: 'CLUSTER_MISMATCH' });
  });
});
