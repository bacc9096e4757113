import { Server, ServerCredentials, type ServerDuplexStream } from '@grpc/grpc-js';
import { afterEach, describe, expect, test } from 'vitest';
import { toMapKey } from '../../src/base/bytes.js';
import { LIMITS } from '../../src/base/limits.js';
import { packResults, unpackOperations } from '../../src/base/operation-codec.js';
import { connect, json } from '../../src/client/client.js';
import { acceptedChannel, type Channel } from '../../src/rpc/channel.js';
import { unpackClientFrame } from '../../src/rpc/client-frames.js';
import { PartialFrames } from '../../src/rpc/frame-parts.js';
import type { ClientAnswer, ClientFrame, ClientRequest } from '../../src/rpc/protocol.js';
import { packReplicaFrame } from '../../src/rpc/replica-frames.js';
import { clientService } from '../../src/rpc/services.js';
import { OWN_VERSIONS } from '../../src/rpc/version.js';

/** One replica without a cluster, over real gRPC on this machine. */
class TinyReplica {
  readonly #server = new Server({
    'grpc.max_receive_message_length': LIMITS.frameBytesMax,
    'grpc.max_send_message_length': LIMITS.frameBytesMax,
  });
  readonly #values = new Map<string, Uint8Array>();
  readonly channels = new Set<Channel>();
  readonly #frameBytesMax: number;
  #revision = 0;
  address = '';

  constructor(frameBytesMax: number) {
    this.#frameBytesMax = frameBytesMax;
  }

  static async start(port = 0, frameBytesMax: number = LIMITS.frameBytesMax): Promise<TinyReplica> {
    const replica = new TinyReplica(frameBytesMax);
    replica.#server.addService(clientService, {
      Stream: (call: ServerDuplexStream<Buffer, Buffer>) => replica.#accept(call),
    });
    const bound = await new Promise<number>((resolve, reject) => {
      replica.#server.bindAsync(
        `127.0.0.1:${port}`,
        ServerCredentials.createInsecure(),
        (error, p) => (error === null ? resolve(p) : reject(error)),
      );
    });
    replica.address = `127.0.0.1:${bound}`;
    running.push(replica);
    return replica;
  }

  stop(): void {
    this.#server.forceShutdown();
  }

  #accept(call: ServerDuplexStream<Buffer, Buffer>): void {
    const channel: Channel = acceptedChannel(call, {
      frameBytesMax: this.#frameBytesMax,
      partial: new PartialFrames(this.#frameBytesMax),
      onRefused: () => channel.abort(),
      onFrame: (bytes) => this.#received(channel, bytes),
      onClose: () => this.channels.delete(channel),
    });
    this.channels.add(channel);
  }

  #received(channel: Channel, bytes: Buffer): void {
    const frame = framed(bytes);
    // One that is too large.
    if (frame === null) channel.abort();
    else if (frame.type === 'hello')
      channel.send(packReplicaFrame({ type: 'hello', hello: this.#hello() }));
    else if (frame.type === 'probe') channel.send(packReplicaFrame({ type: 'probe-answer' }));
    else {
      const answers = frame.requests.map((request) => this.#answer(request));
      channel.send(packReplicaFrame({ type: 'answers', answers }));
    }
  }

  #hello() {
    return {
      ...OWN_VERSIONS,
      clusterId: 'tiny',
      clusterName: 'tiny',
      replica: 'n1',
      members: [{ name: 'n1', address: this.address }],
      leader: 'n1',
      appliedIndex: 0,
      ...LIMITS,
      ...{ batchBytesMax: this.#frameBytesMax / 4, frameBytesMax: this.#frameBytesMax },
    };
  }

  #answer(request: ClientRequest): ClientAnswer {
    const { id } = request;
    const meta = () => ({
      ...{ term: 1, revision: this.#revision, appliedIndex: this.#revision },
      ...{ stalenessMs: null, side: 'unknown' as const },
    });
    if (request.type === 'write') {
      const results = unpackOperations(request.operations).map((operation) => {
        this.#revision += 1;
        if (operation.type === 'put')
          this.#values.set(toMapKey(operation.key), operation.value ?? new Uint8Array(0));
        return { type: 'put' as const, revision: this.#revision };
      });
      return { type: 'write', id, meta: meta(), results: packResults(results) };
    }
    if (request.type === 'call') {
      const answer = { result: String(request.args.length), revision: 1, hash: '', logs: [] };
      return { type: 'call', id, meta: meta(), ...answer, repeated: false, pending: null };
    }
    if (request.type !== 'get') return { type: 'status', id, status: '{"replica":"n1"}' };
    const items = request.keys.map((key) => {
      const value = this.#values.get(toMapKey(key));
      const at = { createRevision: 1, modRevision: 1, version: 1, lease: 0 };
      return value === undefined ? null : { key, value, ...at };
    });
    return { type: 'get', id, meta: meta(), items };
  }
}

function framed(bytes: Buffer): ClientFrame | null {
  try {
    return unpackClientFrame(bytes);
  } catch {
    return null;
  }
}

const running: TinyReplica[] = [];

afterEach(() => {
  for (const replica of running.splice(0)) replica.stop();
});

describe('over gRPC', () => {
  test('calls go and answers come, many at once and large ones too', async () => {
    const replica = await TinyReplica.start();
    await using db = await connect(replica.address);
    const puts = Array.from({ length: 5000 }, (_, i) => db.put(`k${i}`, `v${i}`));
    expect((await Promise.all(puts)).at(-1)?.revision).toBe(5000);
    const large = Buffer.alloc(1024 * 1024, 7);
    await db.put('large', large);
    expect((await db.get('large')).value?.equals(large)).toBe(true);
    expect((await db.get('k4999')).value?.toString()).toBe('v4999');
    expect((await db.status()).replica).toBe('n1');
  });

  test('what is asked in one turn goes in frames that the replica takes, however small those are', async () => {
    const KiB = 1024;
    const replica = await TinyReplica.start(0, 1024 * KiB);
    await using db = await connect(replica.address);
    const text = 'x'.repeat(100 * KiB);
    const calls = Array.from({ length: 50 }, () => db.call('length', text));
    const puts = Array.from({ length: 50 }, (_, i) => db.put(`k${i}`, text));
    const gets = Array.from({ length: 50 }, (_, i) => db.get(`${i}`.padEnd(60 * KiB)));
    const lengths = (await Promise.all(calls)).map(({ result }) => result);
    expect(lengths).toEqual(calls.map(() => text.length + 2));
    expect((await Promise.all(puts)).at(-1)?.revision).toBe(50);
    expect(await Promise.all(gets)).toHaveLength(50);
  });

  test('arguments that no frame holds are refused, and cost nobody the connection', async () => {
    const replica = await TinyReplica.start();
    await using db = await connect(replica.address);
    const large = db.call('length', 'x'.repeat(50 * 1024 * 1024));
    const small = db.call('length', '');
    await expect(large).rejects.toMatchObject({ code: 'PROCEDURE_LIMIT', outcome: 'not-applied' });
    expect((await small).result).toBe(2);
  });

  test('a replica that goes away and comes back is found again', async () => {
    const first = await TinyReplica.start();
    await using db = await connect({ endpoints: [first.address], codec: json<{ n: number }>() });
    await db.put('k', { n: 1 });
    first.stop();
    const put = db.put('k', { n: 2 });
    await TinyReplica.start(Number(first.address.split(':')[1]));
    await put;
    expect((await db.get('k')).value).toEqual({ n: 2 });
  });

  test('an address where nobody listens is UNREACHABLE, with the reason', async () => {
    const gone = await TinyReplica.start();
    gone.stop();
    const failed = connect({ endpoints: [gone.address], connectTimeoutMs: 300 });
    await expect(failed).rejects.toMatchObject({
      code: 'UNREACHABLE',
      message: expect.stringContaining('ECONNREFUSED'),
    });
  });

  test('a gRPC server that is no replica is PROTOCOL_VERSION', async () => {
    const server = new Server();
    const port = await new Promise<number>((resolve, reject) => {
      server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, p) =>
        error === null ? resolve(p) : reject(error),
      );
    });
    await expect(connect(`127.0.0.1:${port}`)).rejects.toMatchObject({ code: 'PROTOCOL_VERSION' });
    server.forceShutdown();
  });

  test('a closed client leaves no stream behind', async () => {
    const replica = await TinyReplica.start();
    const db = await connect(replica.address);
    expect(replica.channels.size).toBe(1);
    await db.close();
    await expect.poll(() => replica.channels.size).toBe(0);
  });
});
