import { describe, expect, test } from 'vitest';
import { BalsaError } from '../../src/base/errors.js';
import { noFailpoints } from '../../src/base/failpoints.js';
import { LIMITS } from '../../src/base/limits.js';
import { packClientFrame } from '../../src/rpc/client-frames.js';
import type { ClientAnswer, ClientRequest, ReadLevel } from '../../src/rpc/protocol.js';
import { unpackReplicaFrame } from '../../src/rpc/replica-frames.js';
import { ClientConnection, type ClientHost } from '../../src/server/client-connection.js';
import type { ReadDone } from '../../src/server/waiting-reads.js';
import { HandClock } from '../compute/hand-clock.js';

const KiB = 1024;
const UNDER_WAY_MAX = 512;
const LIMITED = { ...LIMITS, frameBytesMax: 256 * KiB, pendingAnswerBytesMax: 1024 * KiB };
const HELLO = {
  ...{ ...LIMITED, protocolVersion: 1, protocolVersionMin: 1, clusterId: 'id', clusterName: 'c' },
  ...{ replica: 'n1', members: [], leader: 'n1', appliedIndex: 3 },
};
const LEVEL = { consistency: 'linearizable', bound: 0 } as const;

/** One stream to a replica whose reads are readable when the test says so, and whose client reads when the test does. */
class Stream {
  /** Of reads that wait for their level. */
  readonly reads: { readonly level: ReadLevel; readonly done: ReadDone }[] = [];
  /** Why it cannot be read just now. */
  unreadable: BalsaError | null = null;
  /** Reads wait for {@link readable}. */
  holds = true;
  /** What was made of answers. */
  made = 0;
  answers: ClientAnswer[] = [];
  ended: string | null = null;
  /** The client reads all at once. */
  isRead = false;
  pendingBytes = 0;
  mostPending = 0;
  readonly clock = new HandClock();
  readonly connection: ClientConnection;
  #turn: (() => void)[] = [];

  readonly replica: Record<string, unknown>;

  constructor(replica: Readonly<Record<string, unknown>>) {
    const stream = this;
    const read = (level: ReadLevel, done: ReadDone): void => {
      if (this.holds) this.reads.push({ level, done });
      else done(this.unreadable);
    };
    const meta = () => ({
      term: 1,
      revision: 2,
      appliedIndex: 3,
      stalenessMs: 0,
      side: 'majority',
    });
    this.replica = Object.assign({ read, meta }, replica);
    this.connection = new ClientConnection({
      host: {
        ...{ limits: LIMITED, failpoints: noFailpoints, tellsStatus: false },
        replica: this.replica,
        hello: () => HELLO,
      } as unknown as ClientHost,
      stream: {
        get pendingBytes() {
          return stream.pendingBytes;
        },
        send: (frame) => this.#sent(frame),
        end: () => {},
      },
      clock: {
        monotonicMs: () => 0,
        defer: (callback) => void this.#turn.push(callback),
        setTimer: (delayMs, callback) => this.clock.setTimer(delayMs, callback),
      },
      onAnswers: () => {},
    });
    const session = { clusterId: null, sessionId: Buffer.alloc(16, 1) };
    const hello = { protocolVersion: 1, protocolVersionMin: 1, clientName: 'test', ...session };
    this.connection.receive(packClientFrame({ type: 'hello', hello }));
    this.pendingBytes = 0;
  }

  ask(requests: readonly ClientRequest[]): void {
    this.connection.receive(packClientFrame({ type: 'requests', requests: [...requests] }));
  }

  /** The level of all that waits is kept. */
  readable(): void {
    for (const { done } of this.reads.splice(0)) done(this.unreadable);
  }

  /** One turn of the event loop, and what it has answered is sent. */
  async turn(): Promise<void> {
    await new Promise<void>((resolve) => setImmediate(resolve));
    this.connection.flush();
    for (const callback of this.#turn.splice(0)) callback();
  }

  async turns(count: number): Promise<void> {
    for (let i = 0; i < count; i += 1) await this.turn();
  }

  /** The ids of what was answered this way, of all that came since the last time. */
  take(type: string): number[] {
    const [taken, rest] = [[] as number[], [] as ClientAnswer[]];
    for (const answer of this.answers) {
      if (kindOf(answer) === type) taken.push(answer.id);
      else rest.push(answer);
    }
    this.answers = rest;
    return taken;
  }

  #sent(bytes: Buffer): void {
    if (!this.isRead) this.pendingBytes += bytes.byteLength;
    this.mostPending = Math.max(this.mostPending, this.pendingBytes);
    const frame = unpackReplicaFrame(bytes);
    if (frame.type === 'end') this.ended = frame.error.code;
    if (frame.type === 'answers') this.answers.push(...frame.answers);
  }
}

const kindOf = (answer: ClientAnswer): string =>
  answer.type === 'error' ? answer.error.code : answer.type;
const ids = (count: number): number[] => Array.from({ length: count }, (_, id) => id);
const askLeases = (id: number): ClientRequest => ({ type: 'leases', id, ...LEVEL, lease: null });
const askStore = (id: number): ClientRequest => ({ type: 'store', id, ...LEVEL });
const askProcedures = (id: number): ClientRequest => ({
  ...{ type: 'procedures', id, ...LEVEL, about: 'list' },
});
const askResults = (id: number): ClientRequest => ({
  ...{ type: 'jobs', id, ...LEVEL, query: JSON.stringify({ about: 'results', job: 'j', from: 0 }) },
});
const askRange = (id: number): ClientRequest => ({
  ...{ type: 'range', id, ...LEVEL, from: Buffer.alloc(0), to: null, reverse: false },
  ...{ keysMax: 10, filter: {}, revision: null },
});

/** With so many leases; its answers are counted. */
function withLeases(count: number): Stream {
  const leases = Array.from({ length: count }, (_, i) => {
    return { lease: i + 1, ttlMs: 1000, deadlineMs: 1000, keyCount: 0 };
  });
  const machine = {
    leases: () => {
      stream.made += 1;
      return leases;
    },
    procedures: () => [],
    info: () => ({ namespaces: [], logTimeMs: 0 }),
    range: () => new Promise(() => {}),
  };
  const storeFacts = { machine, logTimeMs: 0 };
  const diskUse = async () => ({ stateBytes: 0, logBytes: 0 });
  const stream: Stream = new Stream({ machine, storeFacts, diskUse });
  return stream;
}

/** With jobs whose pages of results have so many bytes; its answers are counted. */
function withResults(bytes: number): Stream {
  const page = Buffer.alloc(bytes);
  const answer = async () => {
    stream.made += 1;
    return { info: '{}', bytes: page };
  };
  const stream: Stream = new Stream({ calls: { jobs: { answer } } });
  return stream;
}

describe('questions of one stream', () => {
  test('in one frame as large as may be make no more lists than may be under way, one in each turn', async () => {
    const stream = withLeases(1000);
    stream.isRead = true;
    stream.ask(ids(65_536).map(askLeases));
    stream.readable();
    expect(stream.made).toBe(1);
    stream.holds = false;
    for (let i = 1; i < UNDER_WAY_MAX; i += 1) {
      await stream.turn();
      expect(stream.made).toBe(i + 1);
    }
    await stream.turns(3);
    expect(stream.made).toBe(UNDER_WAY_MAX);
    expect(stream.take('OVERLOADED')).toHaveLength(65_536 - UNDER_WAY_MAX);
    expect(stream.take('leases')).toEqual(ids(UNDER_WAY_MAX));
    expect(stream.ended).toBeNull();
  });

  test('about 200 pages of results are all answered by and by, and do not end it', async () => {
    const stream = withResults(64 * KiB);
    const answered = new Set<number>();
    let open = ids(200);
    for (let round = 0; round < 200 && open.length > 0; round += 1) {
      stream.ask(open.map(askResults));
      stream.readable();
      stream.holds = false;
      await stream.turns(open.length + 1);
      for (const id of stream.take('jobs')) answered.add(id);
      open = stream.take('OVERLOADED');
      stream.pendingBytes = 0;
      stream.holds = true;
    }
    expect(stream.ended).toBeNull();
    expect(answered.size).toBe(200);
    // No page was made in vain.
    expect(stream.made).toBe(200);
    expect(stream.mostPending).toBeLessThan(LIMITED.pendingAnswerBytesMax);
  });

  test('of all kinds count together, and ranges with them', () => {
    const stream = withLeases(1);
    const kinds = [askLeases, askStore, askProcedures, askResults, askRange];
    stream.ask(ids(UNDER_WAY_MAX).map((id) => (kinds[id % kinds.length] ?? askStore)(id)));
    stream.connection.flush();
    expect(stream.answers).toEqual([]);
    stream.ask(kinds.map((ask, n) => ask(1000 + n)));
    stream.connection.flush();
    expect(stream.take('OVERLOADED')).toEqual([1000, 1001, 1002, 1003, 1004]);
  });

  test('that have ended make room for others, however they have ended', async () => {
    const stream = withLeases(1);
    stream.unreadable = new BalsaError('NO_QUORUM', 'nobody answers');
    stream.ask(ids(UNDER_WAY_MAX).map(askStore));
    stream.readable();
    stream.connection.flush();
    expect(stream.take('NO_QUORUM')).toHaveLength(UNDER_WAY_MAX);
    stream.unreadable = null;
    stream.ask(ids(UNDER_WAY_MAX).map(askStore));
    stream.readable();
    stream.holds = false;
    await stream.turns(UNDER_WAY_MAX + 1);
    expect(stream.take('store')).toEqual(ids(UNDER_WAY_MAX));
    stream.ask([askProcedures(1)]);
    await stream.turn();
    expect(stream.take('procedures')).toEqual([1]);
  });

  test('that had to wait look again whether there is a state, and whether a bound is kept', async () => {
    const stream = withLeases(1);
    const bounded = { ...askLeases(2), consistency: 'bounded', bound: 7 } as ClientRequest;
    stream.ask([askLeases(1), bounded, askLeases(3)]);
    stream.readable();
    await stream.turn();
    expect(stream.take('leases')).toEqual([1]);
    // Both are asked: one of them may have to wait for a majority.
    expect(stream.reads.map(({ level }) => [level.consistency, level.bound])).toEqual([
      ['bounded', 7],
      ['any', 0],
    ]);
    const [late, other] = stream.reads.splice(0);
    other?.done(null);
    await stream.turn();
    late?.done(new BalsaError('STALE_BOUND_EXCEEDED', 'too old'));
    await stream.turn();
    expect(stream.take('leases')).toEqual([3]);
    expect(stream.take('STALE_BOUND_EXCEEDED')).toEqual([2]);
  });

  test('wait no longer for one that does not come to an answer, as on a disk that hangs; it is answered all the same', async () => {
    const answering: ((bytes: Buffer) => void)[] = [];
    const answer = async () => {
      const bytes = await new Promise<Buffer>((resolve) => answering.push(resolve));
      return { info: '{}', bytes };
    };
    const stream = new Stream({ calls: { jobs: { answer } } });
    stream.ask([askResults(1), askResults(2), askResults(3)]);
    stream.readable();
    stream.holds = false;
    await stream.turns(2);
    expect(answering).toHaveLength(1);
    stream.clock.fire();
    expect(answering).toHaveLength(2);
    answering.shift()?.(Buffer.alloc(1));
    await stream.turns(2);
    // The one that was late lets nobody pass a second time.
    expect([answering.length, stream.take('jobs')]).toEqual([1, [1]]);
    answering.shift()?.(Buffer.alloc(1));
    await stream.turns(2);
    answering.shift()?.(Buffer.alloc(1));
    await stream.turns(2);
    expect(stream.take('jobs')).toEqual([2, 3]);
    expect(stream.clock.timers.size).toBe(0);
  });

  test('that a snapshot has overtaken are to be asked again, and the replica is not given up for it', async () => {
    let fail = (_error: Error): void => {};
    const answer = () =>
      new Promise<never>((_resolve, reject) => {
        fail = reject;
      });
    const replica = { machine: {}, calls: { jobs: { answer } } };
    const stream = new Stream(replica);
    const closed = new BalsaError('SHUTTING_DOWN', 'the state is closed');
    stream.ask([askResults(1), askResults(2)]);
    stream.readable();
    stream.holds = false;
    fail(closed);
    await stream.turns(2);
    expect(stream.take('SHUTTING_DOWN')).toEqual([1]);
    stream.replica.machine = {};
    fail(closed);
    await stream.turns(2);
    expect(stream.take('OVERLOADED')).toEqual([2]);
  });

  test('are not answered when it is closed: nothing is read for them', async () => {
    const stream = withLeases(1);
    let lookups = 0;
    const machine = {
      get: () => {
        lookups += 1;
        return null;
      },
      range: () => {
        lookups += 1;
        return new Promise(() => {});
      },
    };
    const other = new Stream({ machine });
    const get = { type: 'get', id: 1, ...LEVEL, keys: [Buffer.from('k')], revision: null } as const;
    other.ask([get, askRange(2)]);
    stream.ask([askLeases(1), askLeases(2), askLeases(3)]);
    stream.reads.shift()?.done(null);
    stream.reads.shift()?.done(null);
    stream.connection.closed();
    other.connection.closed();
    other.readable();
    stream.readable();
    await stream.turns(3);
    expect([stream.made, lookups]).toEqual([1, 0]);
  });
});
