import { PassThrough, type Readable } from 'node:stream';
import { expect } from 'vitest';
import { compareBytes, toBuffer, toBytes } from '../../src/base/bytes.js';
import { BalsaError } from '../../src/base/errors.js';
import type { SnapshotPart } from '../../src/base/snapshot-codec.js';
import type { CliIo, CliStream } from '../../src/cli/io.js';
import { runCli } from '../../src/cli/program.js';
import type { StoreClient, StoreItem, StoreOptions } from '../../src/cli/store-client.js';
import type { CallOptions, Key, Meta, RangeOptions } from '../../src/client/client.js';
import type { ReplicaStatus } from '../../src/rpc/protocol.js';
import type { Server } from '../../src/server/server.js';
import { FakeMembers } from './fake-members.js';

type Stored = Omit<StoreItem, 'meta'>;

type PutHook = (key: string, options: CallOptions) => Promise<void> | void;

/** A store in memory that stands for a cluster, with figures that tests look at. */
export class FakeStore {
  readonly items = new Map<string, Stored>();
  revision = 0;
  /** Called before each put; may throw, or make it wait. */
  onPut: PutHook = () => {};
  /** Statuses by address; an address that is not here is unreachable. */
  readonly statuses = new Map<string, ReplicaStatus>();
  readonly connections: StoreOptions[] = [];
  putsUnderWay = 0;
  putsUnderWayMost = 0;
  open = 0;
  readonly cluster = new FakeMembers('n1', 'n2', 'n3');
  /** What `snapshot` gives. */
  snapshotParts: SnapshotPart[] = [];

  set(key: string, value: string | Uint8Array): void {
    this.#store(Buffer.from(key), toBytes(value));
  }

  get(key: string): string | undefined {
    const item = this.items.get(nameOf(key));
    return item === undefined ? undefined : Buffer.from(item.value).toString();
  }

  connect = async (options: StoreOptions): Promise<StoreClient> => {
    this.connections.push(options);
    const [address = ''] = options.endpoints;
    const status = this.statuses.get(address);
    if (!options.followLeader && status === undefined) {
      throw new BalsaError(
        'UNREACHABLE',
        `no endpoint answered within ${options.connectTimeoutMs} ms: ${address}: ECONNREFUSED`,
      );
    }
    this.open += 1;
    return this.#client(options, status);
  };

  #client(options: StoreOptions, status: ReplicaStatus | undefined): StoreClient {
    const meta = (): Meta => ({
      level: options.consistency === 'any' ? 'any' : 'linearizable',
      token: `${this.revision}@c1`,
      replica: 'n1',
      stalenessMs: null,
      side: 'unknown',
      term: 3,
      revision: this.revision,
      appliedIndex: this.revision,
    });
    const client = {
      // Nobody here asks for what was there before.
      put: (async (key: Key, value: string | Uint8Array, call: CallOptions = {}) => {
        this.putsUnderWay += 1;
        this.putsUnderWayMost = Math.max(this.putsUnderWayMost, this.putsUnderWay);
        try {
          await this.onPut(toBuffer(toBytes(key)).toString(), call);
        } finally {
          this.putsUnderWay -= 1;
        }
        this.#store(toBytes(key), toBytes(value));
        return { revision: this.revision, meta: meta() };
      }) as StoreClient['put'],
      get: async (key: Key) => {
        if (toBytes(key).byteLength === 0) throw new BalsaError('KEY_EMPTY', 'the key is empty');
        const item = this.items.get(nameOf(key)) ?? NOTHING;
        return { ...item, meta: meta() };
      },
      delete: (async (key: Key) => {
        const deleted = this.items.delete(nameOf(key));
        if (deleted) this.revision += 1;
        return { deleted, revision: this.revision, meta: meta() };
      }) as StoreClient['delete'],
      range: ((range: RangeOptions = {}) => this.#range(range, meta())) as StoreClient['range'],
      count: (async (range: RangeOptions = {}) => {
        const count = this.#inRange(range).length;
        return { count, revision: this.revision, meta: meta() };
      }) as StoreClient['count'],
      deleteRange: (async (range: RangeOptions) => {
        const found = this.#inRange(range);
        for (const { key } of found) this.items.delete(nameOf(key));
        if (found.length > 0) this.revision += 1;
        return { deleted: found.length, revision: this.revision, meta: meta() };
      }) as StoreClient['deleteRange'],
      cluster: this.cluster.client,
      snapshot: () => partsOf(this.snapshotParts),
      status: async () => {
        if (status === undefined) throw new BalsaError('NO_QUORUM', 'no status in this fake');
        return status;
      },
      close: async () => {
        this.open -= 1;
      },
    };
    // The other commands are tried with a real client on a real state machine: `machine-store`.
    return client as unknown as StoreClient;
  }

  async *#range(options: RangeOptions, meta: Meta): AsyncGenerator<StoreItem, void, undefined> {
    const { limit = Number.POSITIVE_INFINITY, reverse } = options;
    const items = this.#inRange(options);
    if (reverse === true) items.reverse();
    for (const item of items.slice(0, limit)) yield { ...item, meta };
  }

  #inRange(options: RangeOptions): Stored[] {
    const prefix = nameOf(options.prefix ?? '');
    const from = nameOf(options.from ?? '');
    const to = options.to === undefined ? null : nameOf(options.to);
    return [...this.items.values()]
      .sort((a, b) => compareBytes(a.key, b.key))
      .filter(({ key }) => {
        const name = nameOf(key);
        return name.startsWith(prefix) && name >= from && (to === null || name < to);
      });
  }

  #store(key: Uint8Array, value: Uint8Array): void {
    this.revision += 1;
    const before = this.items.get(nameOf(key));
    this.items.set(nameOf(key), {
      key: Buffer.from(key),
      value: Buffer.from(value),
      createRevision: before?.createRevision ?? this.revision,
      modRevision: this.revision,
      version: (before?.version ?? 0) + 1,
      lease: 0,
    });
  }
}

async function* partsOf(parts: readonly SnapshotPart[]): AsyncGenerator<SnapshotPart, void> {
  for (const part of parts) yield part;
}

const NOTHING = { value: undefined, createRevision: 0, modRevision: 0, version: 0, lease: 0 };

/** One character per byte: what a key is called in the map. */
function nameOf(key: string | Uint8Array): string {
  return toBuffer(toBytes(key)).toString('latin1');
}

export interface RunOptions {
  readonly store?: FakeStore;
  readonly env?: Record<string, string>;
  readonly stdin?: Readable;
  /** stdout and stderr are terminals. */
  readonly isTerminal?: boolean;
  readonly interrupted?: AbortSignal;
  readonly startServer?: CliIo['startServer'];
  readonly runChild?: CliIo['runChild'];
  /** Default: that of the store. */
  readonly connect?: CliIo['connect'];
  /** Default: does not wait. */
  readonly sleep?: (ms: number) => Promise<void>;
  /** Told what is written to stdout, as it comes. */
  readonly onStdout?: (text: string) => void;
  /** Default: an own clock that stands still. */
  readonly nowMs?: () => number;
}

export interface RunResult {
  readonly exit: number;
  readonly stdout: string;
  readonly stdoutBytes: Buffer;
  readonly stderr: string;
}

/** Runs `balsa ARGS` in this process, in a world of its own. */
export async function run(args: readonly string[], options: RunOptions = {}): Promise<RunResult> {
  const stdout = sink(options.isTerminal === true, options.onStdout);
  const stderr = sink(options.isTerminal === true);
  const store = options.store ?? new FakeStore();
  const exit = await runCli(args, {
    stdin: options.stdin ?? input(''),
    stdout: stdout.stream,
    stderr: stderr.stream,
    env: { ...options.env },
    interrupted: options.interrupted ?? new AbortController().signal,
    nowMs: options.nowMs ?? (() => 0),
    sleep: options.sleep ?? (async () => {}),
    connect: options.connect ?? store.connect,
    runChild: options.runChild ?? (() => Promise.reject(new Error('no child here'))),
    startServer: options.startServer ?? (() => Promise.reject(new Error('no server here'))),
  });
  const stdoutBytes = stdout.bytes();
  return { exit, stdout: stdoutBytes.toString(), stdoutBytes, stderr: stderr.bytes().toString() };
}

/** What is said to people when a command is refused: no trace of where in the code that was. */
export function expectRefusal(
  { exit, stdout, stderr }: RunResult,
  expected: { readonly exit: number; readonly says: string },
): void {
  expect({ exit, stdout }).toEqual({ exit: expected.exit, stdout: '' });
  expect(stderr).toContain(expected.says);
  expect(stderr).not.toMatch(/^ +at /m);
}

export function input(text: string | Uint8Array): Readable {
  const stream = new PassThrough();
  stream.end(text);
  return stream;
}

function sink(
  isTTY: boolean,
  onText: (text: string) => void = () => {},
): { readonly stream: CliStream; readonly bytes: () => Buffer } {
  const chunks: Buffer[] = [];
  const stream = new PassThrough();
  stream.on('data', (chunk: Buffer) => {
    chunks.push(chunk);
    onText(chunk.toString());
  });
  return {
    stream: Object.assign(stream, { isTTY, columns: 120 }),
    bytes: () => Buffer.concat(chunks),
  };
}

export function fakeStatus(changes: Partial<ReplicaStatus>): ReplicaStatus {
  return {
    replica: 'n1',
    cluster: 'balsa',
    clusterId: 'c1',
    incarnation: 'i1',
    version: '0.1.0',
    protocolVersion: 1,
    role: 'follower',
    term: 3,
    leader: 'n1',
    commitIndex: 100,
    appliedIndex: 100,
    lastIndex: 100,
    durableIndex: 100,
    revision: 90,
    stateHash: 'ab',
    sessions: 1,
    members: [],
    membership: { index: 0, committed: true, joint: false, members: [] },
    logStart: 0,
    followers: [],
    wal: { bytes: 3 * 1024 * 1024, segments: 1, syncs: 5, lastSyncMs: 1.25, maxSyncMs: 4 },
    clientStreams: 1,
    watches: 2,
    store: {
      compactedRevision: 40,
      sweptRevision: 40,
      spaceBytes: 5 * 1024 * 1024,
      spaceAlarm: false,
      leases: 4,
      spaceQuotaBytes: 0,
      namespaces: 1,
    },
    ap: { origin: 'a'.repeat(16), pending: 0, ownBytes: 0, copiesBytes: 0, refusal: null },
    uptimeMs: 61_000,
    process: { rssBytes: 100_000_000, eventLoopDelayMs: 1.5, eventLoopDelayMaxMs: 12 },
    limits: { keyBytesMax: 65_536 },
    ...changes,
  };
}

export function fakeServer(stopped: Server['stopped'], onClose: () => void = () => {}): Server {
  return {
    name: 'n1',
    address: '127.0.0.1:7001',
    status: () => fakeStatus({}),
    stopped,
    close: async () => onClose(),
  };
}
