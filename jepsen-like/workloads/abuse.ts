import { createCipheriv, createHash, randomBytes } from 'node:crypto';
import { type ClientHttp2Session, connect as connectHttp2 } from 'node:http2';
import { createConnection, type Socket } from 'node:net';
import type { Client } from '../../src/client/client.js';
import type { Random } from '../../src/cluster/harness.js';
import type { Answer } from '../run/recorder.js';
import { registerFinish, registerStep } from './register.js';
import { type Bench, pick, type Step, type Workload } from './workload.js';

const MiB = 1024 * 1024;
const LARGE_BYTES_MAX = 8 * MiB;
const LARGE_KEYS = 4;

export const largeValues: Workload = {
  name: 'large-values',
  about: 'values from one byte to 8 MiB, which arrive as they were sent',
  checkers: ['large-values'],
  processes: 3,
  pauseMs: 300,
  start: (_bench, { db, log, random }): Step => {
    return async () => {
      const key = `large/${random.int(LARGE_KEYS)}`;
      if (random.int(2) === 0) {
        await log.do({ f: 'get', key, writes: false }, () => readLarge(db, key));
        return;
      }
      const bytes = Math.floor(LARGE_BYTES_MAX ** random.next());
      const content = contentOf(random, bytes);
      const question = { f: 'put', key, value: digest(content), writes: true };
      await log.do(question, async () => {
        const { revision, meta } = await db.put(key, content, { timeoutMs: 15_000 });
        return { revision, meta };
      });
    };
  },
  finish: async (bench) => {
    for (let i = 0; i < LARGE_KEYS; i += 1) {
      const key = `large/${i}`;
      await bench.final({ f: 'get', key, writes: false }, () => readLarge(bench.db, key));
    }
  },
};

const SEED_BYTES = 16;

/** Nowhere does it repeat itself, so that no part of it can stand for another one. */
export function contentOf(random: Random, bytes: number): Buffer {
  const seed = Buffer.from(Array.from({ length: SEED_BYTES }, () => random.int(256)));
  const stream = createCipheriv('aes-128-ctr', seed, Buffer.alloc(SEED_BYTES));
  return stream.update(Buffer.alloc(bytes));
}

async function readLarge(db: Client, key: string): Promise<Answer> {
  const { value, meta } = await db.get(key, { timeoutMs: 15_000 });
  return { value: value === undefined ? null : digest(value), meta };
}

function digest(bytes: Uint8Array): { readonly bytes: number; readonly sha256: string } {
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  return { bytes: bytes.byteLength, sha256 };
}

// ---------------------------------------------------------------------------------------------

/** All replicas together. */
const IDLE_CONNECTIONS = 10_000;
const OPENED_AT_ONCE = 200;

/** So slowly that it is no load of its own. */
const REOPENED_AT_ONCE = 50;
const REOPENED_EACH_MS = 1000;
/** With fewer of them open at first little is shown. */
const OPEN_MIN = 0.9 * IDLE_CONNECTIONS;

/** Connections that do nothing, while others read and write. */
export const idle: Workload = {
  name: 'idle',
  about: 'single keys are read and written beside ten thousand connections that do nothing',
  checkers: ['register'],
  processes: 6,
  prepare: async (bench) => {
    const sockets = new Set<Socket>();
    const fill = async (most: number): Promise<void> => {
      const addresses = bench.system.cluster.running.map(({ address }) => address);
      const missing = addresses.length === 0 ? 0 : IDLE_CONNECTIONS - sockets.size;
      const opened = Array.from({ length: Math.min(missing, most) }, (_, i) =>
        openIdle(addresses[i % addresses.length] ?? '', sockets),
      );
      await Promise.all(opened);
    };
    for (let i = 0; i < IDLE_CONNECTIONS; i += OPENED_AT_ONCE) await fill(OPENED_AT_ONCE);
    const atFirst = openOf(sockets);
    bench.tell('idle connections, open at first', atFirst);
    if (atFirst < OPEN_MIN)
      bench.wrong(`only ${atFirst} of ${IDLE_CONNECTIONS} were open at first`);
    // Those of a replica that was killed are gone.
    const filling = setInterval(() => void fill(REOPENED_AT_ONCE), REOPENED_EACH_MS);
    bench.stopping.addEventListener('abort', () => {
      clearInterval(filling);
      bench.tell('idle connections, open in the end', openOf(sockets));
      for (const socket of sockets) socket.destroy();
    });
  },
  start: (bench, client): Step => registerStep(bench, client, 'idle'),
  finish: (bench) => registerFinish(bench, 'idle'),
};

function openOf(sockets: ReadonlySet<Socket>): number {
  return [...sockets].filter(({ readyState }) => readyState === 'open').length;
}

const HTTP2_PREFACE = Buffer.concat([
  Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
  // An empty frame of settings.
  Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]),
]);

/** Resolves when it is open, or is not to be. */
function openIdle(address: string, sockets: Set<Socket>): Promise<void> {
  const [host = '127.0.0.1', port = '0'] = address.split(':');
  const socket = createConnection({ host, port: Number(port) });
  sockets.add(socket);
  // Replicas are killed beside it.
  socket.on('error', () => {});
  socket.resume();
  return new Promise((resolve) => {
    socket.once('connect', () => {
      socket.write(HTTP2_PREFACE);
      resolve();
    });
    socket.once('close', () => {
      sockets.delete(socket);
      resolve();
    });
  });
}

// ---------------------------------------------------------------------------------------------

type Attack = (address: string, random: Random) => Promise<void>;

const CLIENT_STREAM = '/balsa.v1.Client/Stream';
const PEER_STREAM = '/balsa.v1.Peer/Stream';
const ATTACK_MS_MAX = 3000;

/** Frames that are none, on streams that are some, and what is no HTTP/2 at all. */
const ATTACKS: readonly Attack[] = [
  (address, random) => sendRaw(address, randomBytes(1 + random.int(200_000))),
  (address) => sendRaw(address, Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n')),
  (address, random) =>
    sendRaw(address, Buffer.concat([HTTP2_PREFACE, randomBytes(1 + random.int(50_000))])),
  // Half of what a connection begins with, and then nothing.
  (address) => sendRaw(address, HTTP2_PREFACE.subarray(0, 10)),
  (address, random) =>
    sendOnStream(address, CLIENT_STREAM, grpcFrame(randomBytes(random.int(5000)))),
  (address, random) => sendOnStream(address, PEER_STREAM, grpcFrame(randomBytes(random.int(5000)))),
  // Says that it is larger than anything is allowed to be.
  (address) => sendOnStream(address, CLIENT_STREAM, Buffer.from([0, 0x7f, 0xff, 0xff, 0xff, 1, 2])),
  (address) => sendOnStream(address, '/balsa.v1.Client/Nothing', grpcFrame(Buffer.from('x'))),
  (address, random) => manyStreams(address, 50 + random.int(300)),
];

/** Clients that do not keep to the protocol, beside others that do. */
export const hostile: Workload = {
  name: 'hostile',
  about:
    'single keys are read and written beside clients that send noise, half frames and too much',
  checkers: ['register'],
  processes: 8,
  start: (bench, client): Step => {
    if (client.index > 1) return registerStep(bench, client, 'hostile');
    return attack(bench, client.random);
  },
  finish: (bench) => registerFinish(bench, 'hostile'),
};

function attack(bench: Bench, random: Random): Step {
  return async () => {
    await pick(random, ATTACKS)(pick(random, bench.system.cluster.endpoints), random);
    await bench.sleep(random.int(100));
  };
}

function sendRaw(address: string, bytes: Buffer): Promise<void> {
  return new Promise((resolve) => {
    const [host = '127.0.0.1', port = '0'] = address.split(':');
    const socket = createConnection({ host, port: Number(port) });
    const timer = setTimeout(() => socket.destroy(), ATTACK_MS_MAX);
    // It may be thrown out at any moment.
    socket.on('error', () => {});
    socket.once('close', () => {
      clearTimeout(timer);
      resolve();
    });
    socket.resume();
    socket.write(bytes);
  });
}

function grpcFrame(content: Buffer): Buffer {
  const header = Buffer.alloc(5);
  header.writeUInt32BE(content.byteLength, 1);
  return Buffer.concat([header, content]);
}

const HEADERS = { ':method': 'POST', 'content-type': 'application/grpc', te: 'trailers' };

function withSession(
  address: string,
  work: (session: ClientHttp2Session, done: () => void) => void,
): Promise<void> {
  return new Promise((resolve) => {
    const session = connectHttp2(`http://${address}`);
    const done = (): void => {
      clearTimeout(timer);
      session.destroy();
      resolve();
    };
    const timer = setTimeout(done, ATTACK_MS_MAX);
    session.on('error', done);
    session.once('connect', () => work(session, done));
  });
}

function sendOnStream(address: string, path: string, bytes: Buffer): Promise<void> {
  return withSession(address, (session, done) => {
    const stream = session.request({ ...HEADERS, ':path': path });
    stream.on('error', done);
    stream.on('close', done);
    stream.resume();
    stream.write(bytes);
  });
}

/** Streams that are opened and forgotten. */
function manyStreams(address: string, count: number): Promise<void> {
  return withSession(address, (session) => {
    for (let i = 0; i < count && !session.destroyed; i += 1) {
      const stream = session.request({ ...HEADERS, ':path': CLIENT_STREAM });
      stream.on('error', () => {});
      stream.resume();
    }
  });
}
