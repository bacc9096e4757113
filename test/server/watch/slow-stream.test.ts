import { type ClientHttp2Session, type ClientHttp2Stream, connect as dial } from 'node:http2';
import { describe, expect, test } from 'vitest';
import { LIMITS } from '../../../src/base/limits.js';
import { connect } from '../../../src/client/client.js';
import { waitUntil } from '../../../src/cluster/wait-until.js';
import { packClientFrame } from '../../../src/rpc/client-frames.js';
import { FrameAssembler } from '../../../src/rpc/frame-parts.js';
import { CLIENT_STREAM_PATH, type ClientAnswer } from '../../../src/rpc/protocol.js';
import { unpackReplicaFrame } from '../../../src/rpc/replica-frames.js';
import { OWN_VERSIONS } from '../../../src/rpc/version.js';
import { Servers } from '../servers.js';
import { request } from './hub-world.js';

const VALUE_BYTES = 256 * 1024;
const WRITES = 120;

/** gRPC puts a byte and a length before each message. */
const PREFIX_BYTES = 5;

/**
 * A client that opens a stream and watches, and reads nothing until it is told to. It speaks HTTP/2 itself: the
 * gRPC library takes in all that comes, read or not.
 */
class Sleeper implements Disposable {
  readonly answers: ClientAnswer[] = [];
  readonly #session: ClientHttp2Session;
  readonly #stream: ClientHttp2Stream;
  readonly #assembler = new FrameAssembler(LIMITS.frameBytesMax);
  #rest = Buffer.alloc(0);

  constructor(address: string) {
    this.#session = dial(`http://${address}`);
    this.#session.on('error', () => {});
    this.#stream = this.#session.request({
      ':method': 'POST',
      ':path': CLIENT_STREAM_PATH,
      'content-type': 'application/grpc',
      te: 'trailers',
    });
    this.#stream.on('error', () => {});
    const sessionId = Buffer.alloc(16, 7);
    const hello = { ...OWN_VERSIONS, clientName: 'sleeper', clusterId: null, sessionId };
    this.#write(packClientFrame({ type: 'hello', hello }));
    const watch = request({ from: Buffer.from('a'), startRevision: 1 });
    this.#write(packClientFrame({ type: 'requests', requests: [watch] }));
  }

  #write(frame: Buffer): void {
    const prefix = Buffer.alloc(PREFIX_BYTES);
    prefix.writeUInt32BE(frame.byteLength, 1);
    this.#stream.write(Buffer.concat([prefix, frame]));
  }

  wake(): void {
    this.#stream.on('data', (bytes: Buffer) => {
      this.#rest = Buffer.concat([this.#rest, bytes]);
      for (;;) {
        const end =
          PREFIX_BYTES + (this.#rest.length < PREFIX_BYTES ? 0 : this.#rest.readUInt32BE(1));
        if (this.#rest.length < Math.max(end, PREFIX_BYTES)) return;
        const whole = this.#assembler.take(Buffer.from(this.#rest.subarray(PREFIX_BYTES, end)));
        this.#rest = this.#rest.subarray(end);
        if (whole === null) continue;
        const frame = unpackReplicaFrame(whole);
        if (frame.type === 'answers') this.answers.push(...frame.answers);
      }
    });
  }

  /** Answers of one kind, with their place. */
  events(): Extract<ClientAnswer, { type: 'watch-events' }>[] {
    return this.answers.filter((answer) => answer.type === 'watch-events');
  }

  [Symbol.dispose](): void {
    this.#stream.close();
    this.#session.destroy();
  }
}

describe('over a real stream that nobody reads', () => {
  test('little of what is written waits; all of it comes, in order, when somebody does', async () => {
    await using servers = await Servers.reserve(1);
    const [server] = await servers.startAll();
    const address = server?.address ?? '';
    await using db = await connect({ endpoints: [address], timeoutMs: 60_000 });
    using sleeper = new Sleeper(address);
    await db.put('b', 'before');
    for (let i = 0; i < WRITES; i += 1) await db.put('a', Buffer.alloc(VALUE_BYTES, i));

    sleeper.wake();
    await waitUntil('the sleeper to have heard everything', async () =>
      sleeper.events().at(-1)?.revision === WRITES + 1 ? true : undefined,
    );
    const told = sleeper.events().flatMap(({ events }) => events.map((e) => e.item.modRevision));
    expect(told).toEqual(Array.from({ length: WRITES + 1 }, (_, i) => i + 1));

    // 30 MB were written while it slept. What was sent before it was said to lag is what had waited.
    const lagging = sleeper.answers.findIndex(({ type }) => type === 'watch-lagging');
    expect(lagging).toBeGreaterThan(0);
    const waited = sleeper.answers.slice(0, lagging).reduce((sum, answer) => {
      const events = answer.type === 'watch-events' ? answer.events : [];
      return sum + events.reduce((bytes, { item }) => bytes + item.value.byteLength, 0);
    }, 0);
    expect(waited).toBeLessThan(LIMITS.watchBacklogBytesMax + 3 * VALUE_BYTES + 1024 * 1024);
  }, 120_000);
});
