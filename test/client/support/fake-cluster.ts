import { fromMapKey, toMapKey } from '../../../src/base/bytes.js';
import { BalsaError, type ErrorCode, type WriteOutcome } from '../../../src/base/errors.js';
import { LIMITS } from '../../../src/base/limits.js';
import type { KeyValue } from '../../../src/base/operation.js';
import { packResults, unpackOperations } from '../../../src/base/operation-codec.js';
import type { Dial } from '../../../src/client/environment.js';
import type { Channel, DialOptions } from '../../../src/rpc/channel.js';
import { unpackClientFrame } from '../../../src/rpc/client-frames.js';
import {
  type AnswerMeta,
  type ClientAnswer,
  type ClientHello,
  type ClientRequest,
  type MemberAddress,
  PROTOCOL_VERSION,
  type ReplicaFrame,
  type ReplicaHello,
  type ReplicaStatus,
  type WatchRequest,
} from '../../../src/rpc/protocol.js';
import { packReplicaFrame } from '../../../src/rpc/replica-frames.js';
import { toWireError } from '../../../src/rpc/wire-error.js';
import { FakeMembers } from './fake-members.js';
import { checkKept, filtered, ModelStore, shown } from './model-store.js';
import type { VirtualClock } from './virtual-clock.js';

type WriteRequest = Extract<ClientRequest, { type: 'write' }>;

/** What a test can make of a request: an error, no answer at all, or its effect without an answer. */
export type Fate = BalsaError | 'ignore' | 'apply-only' | undefined;

/** What became of one attempt of a batch. */
interface Applied {
  readonly session: string;
  readonly sequence: number;
  readonly values: readonly string[];
}

interface Session {
  last: number;
  lastIndex: number;
  readonly answers: Map<number, Buffer>;
}

export function refusal(
  code: ErrorCode,
  options: { outcome?: WriteOutcome; details?: Record<string, unknown> } = {},
): BalsaError {
  return new BalsaError(code, `refused by the test as ${code}`, options);
}

/**
 * Replicas over an in-memory network in virtual time. They share one state, so there is no consensus in
 * here, but sessions, sequences and reads at a revision follow the rules of the real ones.
 */
export class FakeCluster {
  readonly clock: VirtualClock;
  readonly replicas: FakeReplica[];
  latencyMs = 1;
  leader: string | null;
  clusterId = 'cluster-a';
  /** That were answered. */
  probes = 0;
  protocolVersion = PROTOCOL_VERSION;
  limits: Partial<ReplicaHello> = {};
  /** Other addresses of replicas. */
  readonly aliases = new Map<string, string>();
  /** Decides about every request before the replica does. */
  fate: (request: ClientRequest, stream: FakeStream) => Fate = () => undefined;
  /** Every batch that was applied, in order. */
  readonly applied: Applied[] = [];
  /** Every frame of requests that arrived, in order. */
  readonly frames: { readonly replica: string; readonly requests: readonly ClientRequest[] }[] = [];
  /** Every hello that arrived. */
  readonly hellos: { readonly replica: string; readonly hello: ClientHello }[] = [];
  readonly store = new ModelStore();
  readonly sessions = new Map<string, Session>();
  forgottenThrough = 0;
  appliedIndex = 100;
  readonly members: FakeMembers;

  constructor(clock: VirtualClock, names: readonly string[] = ['n1', 'n2', 'n3']) {
    this.clock = clock;
    this.replicas = names.map((name, i) => new FakeReplica(this, name, `10.0.0.${i + 1}:7001`));
    this.leader = names[0] ?? null;
    this.members = new FakeMembers(this.replicas);
    this.store.nowMs = () => clock.monotonicMs();
    this.store.onRevision = () => {
      for (const replica of this.replicas) for (const one of replica.streams) one.tellWatches();
    };
  }

  get revision(): number {
    return this.store.revision;
  }

  /** One more replica; it is no member by that. */
  addReplica(name: string, address: string): FakeReplica {
    const replica = new FakeReplica(this, name, address);
    this.replicas.push(replica);
    return replica;
  }

  /** The replicas learn who the members are, and tell their clients. */
  tellMembers(): void {
    const members = this.members.addresses();
    for (const replica of this.replicas) {
      for (const stream of replica.streams) stream.send({ type: 'members', members });
    }
  }

  get endpoints(): string[] {
    return this.replicas.map((replica) => replica.address);
  }

  replica(name: string): FakeReplica {
    const found = this.replicas.find((r) => r.name === name);
    if (found === undefined) throw new Error(`no replica ${name}`);
    return found;
  }

  /** Requests of one kind that arrived anywhere. */
  received<T extends ClientRequest['type']>(type: T): Extract<ClientRequest, { type: T }>[] {
    const all = this.frames.flatMap((frame) => frame.requests);
    return all.filter((r): r is Extract<ClientRequest, { type: T }> => r.type === type);
  }

  readonly dial: Dial = (options: DialOptions): Channel => {
    const address = this.aliases.get(options.address) ?? options.address;
    const replica = this.replicas.find((r) => r.address === address);
    const stream = new FakeStream(this, replica ?? null, options);
    replica?.streams.add(stream);
    return stream.clientSide;
  };

  /** The replicas learn who leads, and tell their clients. */
  elect(leader: string | null): void {
    this.leader = leader;
    for (const replica of this.replicas) {
      for (const stream of replica.streams) stream.send({ type: 'leader', leader, term: 1 });
    }
  }

  /** All sessions are forgotten, as if they had been idle too long. */
  forgetSessions(): void {
    for (const session of this.sessions.values()) {
      this.forgottenThrough = Math.max(this.forgottenThrough, session.lastIndex);
    }
    this.sessions.clear();
  }

  meta(): AnswerMeta {
    const { revision, appliedIndex } = this;
    return { term: 1, revision, appliedIndex, stalenessMs: null, side: 'unknown' };
  }

  /** As the state machine does it. */
  apply(sessionId: Uint8Array, request: WriteRequest): Buffer | BalsaError {
    const id = toMapKey(sessionId);
    this.appliedIndex += 1;
    const session = this.sessions.get(id);
    if (session === undefined && request.bornIndex < this.forgottenThrough) {
      return refusal('SESSION_EXPIRED', { outcome: 'not-applied' });
    }
    const last = session?.last ?? 0;
    if (request.sequence > last + 1) return refusal('SESSION_GAP', { outcome: 'not-applied' });
    if (session !== undefined && request.sequence <= last) {
      return (
        session.answers.get(request.sequence) ?? refusal('SESSION_EXPIRED', { outcome: 'unknown' })
      );
    }
    const results = this.#applyOperations(id, request);
    const known = session ?? { last: 0, lastIndex: 0, answers: new Map() };
    known.last = request.sequence;
    known.lastIndex = this.appliedIndex;
    known.answers.set(request.sequence, results);
    for (const sequence of known.answers.keys()) {
      if (sequence <= request.acknowledged) known.answers.delete(sequence);
    }
    this.sessions.set(id, known);
    return results;
  }

  #applyOperations(session: string, request: WriteRequest): Buffer {
    const operations = unpackOperations(request.operations);
    const results = operations.map((operation) => this.store.apply(operation));
    const values = operations.map((o) =>
      o.type === 'put' ? Buffer.from(o.value ?? '').toString() : '',
    );
    this.applied.push({ session, sequence: request.sequence, values });
    return packResults(results);
  }

  at(key: string, revision: number | null): KeyValue | null {
    return this.store.at(key, revision);
  }

  /** Every value that was put, in the order in which it was applied. */
  get appliedValues(): string[] {
    return this.applied.flatMap((batch) => batch.values);
  }
}

/** `hangs`: takes connections and says nothing. `away`: nothing is heard from the address at all. */
type Condition = 'up' | 'refuses' | 'hangs' | 'away';

export class FakeReplica {
  readonly name: string;
  readonly address: string;
  readonly streams = new Set<FakeStream>();
  #condition: Condition = 'up';
  /** Overrides what it believes about the leader. */
  believes: string | null | undefined = undefined;
  /** Overrides whom it takes for the members. */
  knows: readonly MemberAddress[] | null = null;
  /** Most keys in a page. */
  pageKeysMax = 1000;
  readonly #cluster: FakeCluster;

  constructor(cluster: FakeCluster, name: string, address: string) {
    this.#cluster = cluster;
    this.name = name;
    this.address = address;
  }

  get condition(): Condition {
    return this.#condition;
  }

  /** Streams that lost something meanwhile are broken: a stream never loses frames and goes on. */
  set condition(condition: Condition) {
    this.#condition = condition;
    for (const stream of [...this.streams]) if (stream.lossy) stream.drop();
  }

  get leader(): string | null {
    return this.believes === undefined ? this.#cluster.leader : this.believes;
  }

  /** The network drops all its streams. */
  disconnectAll(): void {
    for (const stream of [...this.streams]) stream.drop();
  }

  /** What it has applied, when that is less than the others; one entry made each revision then. */
  lagsAt: { readonly appliedIndex: number; readonly revision: number } | null = null;
  /** How old its state is. */
  stalenessMs: number | null = 0;

  meta(): AnswerMeta {
    return { ...this.#cluster.meta(), ...this.lagsAt, stalenessMs: this.stalenessMs };
  }

  /** The levels that it cannot keep. */
  refuses(request: ClientRequest): BalsaError | null {
    if (!('consistency' in request)) return null;
    const { consistency, bound } = request;
    const { appliedIndex } = this.meta();
    if (consistency === 'session' && bound > appliedIndex) return refusal('SESSION_BEHIND');
    if (consistency === 'bounded' && (this.stalenessMs ?? Number.POSITIVE_INFINITY) > bound) {
      return refusal('STALE_BOUND_EXCEEDED');
    }
    return null;
  }

  /** What its status has different from that of the others. */
  status: Partial<ReplicaStatus> = {};

  hello(): ReplicaHello {
    const { clusterId, protocolVersion, members, appliedIndex, limits } = this.#cluster;
    return {
      protocolVersion,
      protocolVersionMin: protocolVersion,
      clusterId,
      clusterName: 'test',
      replica: this.name,
      members: this.knows ?? members.addresses(),
      leader: this.leader,
      appliedIndex,
      keyBytesMax: LIMITS.keyBytesMax,
      valueBytesMax: LIMITS.valueBytesMax,
      operationsPerBatchMax: LIMITS.operationsPerBatchMax,
      batchBytesMax: LIMITS.batchBytesMax,
      frameBytesMax: LIMITS.frameBytesMax,
      batchesPerSessionMax: LIMITS.batchesPerSessionMax,
      ...limits,
    };
  }
}

/** One stream; frames take `latencyMs` each way. */
export class FakeStream {
  readonly #cluster: FakeCluster;
  readonly replica: FakeReplica | null;
  readonly #options: DialOptions;
  sessionId: Uint8Array = new Uint8Array();
  lossy = false;
  /** What comes over it is lost from now on, and nobody is told. */
  isDeaf = false;
  #open = true;

  constructor(cluster: FakeCluster, replica: FakeReplica | null, options: DialOptions) {
    this.#cluster = cluster;
    this.replica = replica;
    this.#options = options;
    const refuses = replica === null || replica.condition === 'refuses';
    if (refuses) this.#later(() => this.#close('ECONNREFUSED'));
  }

  get open(): boolean {
    return this.#open;
  }

  readonly #watches = new Map<number, { readonly request: WatchRequest; next: number }>();

  readonly clientSide: Channel = {
    pendingBytes: 0,
    send: (frame) => this.#later(() => this.#received(frame)),
    end: () => this.#later(() => this.drop()),
    abort: () => {
      this.#open = false;
      this.replica?.streams.delete(this);
    },
  };

  send(frame: ReplicaFrame): void {
    this.sendBytes(packReplicaFrame(frame));
  }

  sendBytes(bytes: Buffer): void {
    if (this.#silent) this.lossy = true;
    else this.#later(() => this.#options.onFrame(bytes));
  }

  /** The network breaks it; the client learns of it. */
  drop(): void {
    this.#close('connection reset');
  }

  get #silent(): boolean {
    return this.replica?.condition === 'hangs' || this.replica?.condition === 'away';
  }

  #received(bytes: Buffer): void {
    const { replica } = this;
    if (this.#silent) this.lossy = true;
    if (replica === null || this.#silent || this.isDeaf) return;
    const frame = unpackClientFrame(bytes);
    if (frame.type === 'hello') {
      this.sessionId = frame.hello.sessionId;
      this.#cluster.hellos.push({ replica: replica.name, hello: frame.hello });
      this.send({ type: 'hello', hello: replica.hello() });
      return;
    }
    if (frame.type === 'probe') {
      this.#cluster.probes += 1;
      this.send({ type: 'probe-answer' });
      return;
    }
    this.#cluster.frames.push({ replica: replica.name, requests: frame.requests });
    const answers = frame.requests.map((r) => this.#answer(r, replica)).filter((a) => a !== null);
    if (answers.length > 0) this.send({ type: 'answers', answers });
  }

  #answer(request: ClientRequest, replica: FakeReplica): ClientAnswer | null {
    const fate = this.#cluster.fate(request, this);
    if (fate instanceof BalsaError) return errorAnswer(request.id, fate);
    if (fate === 'ignore') return null;
    if (request.type === 'watch-cancel') {
      this.#watches.delete(request.watch);
      return null;
    }
    const answer = this.serve(request, replica);
    return fate === 'apply-only' ? null : answer;
  }

  serve(request: ClientRequest, replica: FakeReplica): ClientAnswer {
    const cluster = this.#cluster;
    const { id } = request;
    const meta = replica.meta();
    const changes = request.type === 'write' || request.type === 'admin';
    const needsLeader =
      changes || ('consistency' in request && request.consistency === 'linearizable');
    const follows = changes && replica.leader !== replica.name;
    if (needsLeader && (replica.leader === null || follows)) {
      const details = { leader: replica.leader };
      const outcome = changes ? { outcome: 'not-applied' as const } : {};
      return errorAnswer(id, refusal('NOT_LEADER', { ...outcome, details }));
    }
    const refused = replica.refuses(request);
    if (refused !== null) return errorAnswer(id, refused);
    switch (request.type) {
      case 'write': {
        const results = cluster.apply(this.sessionId, request);
        if (results instanceof BalsaError) return errorAnswer(id, results);
        return { type: 'write', id, meta: cluster.meta(), results };
      }
      case 'get': {
        const lost = checkKept(cluster.store, request.revision);
        if (lost !== null) return errorAnswer(id, lost);
        const revision = request.revision ?? meta.revision;
        const items = request.keys.map((key) => cluster.at(toMapKey(key), revision));
        return { type: 'get', id, meta, items };
      }
      case 'leases': {
        const ids = request.lease === null ? [...cluster.store.leases.keys()] : [request.lease];
        const found = ids.map((one) => cluster.store.leaseInfo(one)).filter((one) => one !== null);
        const leases = request.lease === null ? found.map((l) => ({ ...l, keys: [] })) : found;
        return { type: 'leases', id, meta, leases };
      }
      case 'store':
        return { type: 'store', id, meta, info: JSON.stringify(cluster.store.info()) };
      case 'watch': {
        const { revision } = cluster;
        this.#watches.set(id, { request, next: request.startRevision ?? revision + 1 });
        cluster.clock.setTimer(0, () => this.tellWatches());
        return { type: 'watch-created', id, meta, revision };
      }
      case 'range':
        return this.#range(request, replica);
      case 'admin': {
        const answer = cluster.members.carryOut(request.command, cluster);
        if (answer instanceof BalsaError) return errorAnswer(id, answer);
        return { type: 'admin', id, result: JSON.stringify(answer) };
      }
      default: {
        const status = JSON.stringify({
          replica: replica.name,
          incarnation: `${replica.name}-disk`,
          cluster: 'test',
          term: 7,
          clusterId: cluster.clusterId,
          members: cluster.members.addresses(),
          ...replica.status,
          revision: cluster.revision,
          leader: replica.leader,
          membership: cluster.members.status,
        });
        return { type: 'status', id, status };
      }
    }
  }

  /** Tells of what has happened since it was told last. */
  tellWatches(): void {
    const { store, revision, appliedIndex } = this.#cluster;
    for (const [id, watch] of this.#watches) {
      const { request, next } = watch;
      const events = store.events(request, next);
      watch.next = revision + 1;
      if (events.length === 0) continue;
      this.send({
        type: 'answers',
        answers: [{ type: 'watch-events', id, events, revision, more: false, appliedIndex }],
      });
    }
  }

  #range(request: Extract<ClientRequest, { type: 'range' }>, replica: FakeReplica): ClientAnswer {
    const { store } = this.#cluster;
    const { revision: latest } = replica.meta();
    const revision = request.revision ?? latest;
    const lost = checkKept(store, request.revision);
    if (lost !== null) return errorAnswer(request.id, lost);
    const items = filtered(store.range(request, revision), request.filter);
    if (request.reverse) items.reverse();
    const count = Math.min(request.keysMax, replica.pageKeysMax);
    const page = items.slice(0, count);
    const next = items[count];
    const lastKey = page.at(-1)?.key ?? Buffer.of();
    const bound = request.reverse ? lastKey : next?.key;
    const continueFrom = next === undefined ? null : fromMapKey(toMapKey(bound ?? next.key));
    const meta = replica.meta();
    const { id } = request;
    const given = request.filter.countOnly ? [] : page.map((item) => shown(item, request.filter));
    return { type: 'range', id, meta, items: given, revision, continueFrom, count: page.length };
  }

  #later(action: () => void): void {
    this.#cluster.clock.setTimer(this.#cluster.latencyMs, () => {
      if (this.#open) action();
    });
  }

  #close(why: string): void {
    if (!this.#open) return;
    this.#open = false;
    this.replica?.streams.delete(this);
    const reason = new BalsaError('UNREACHABLE', `${this.#options.address}: ${why}`);
    this.#cluster.clock.setTimer(0, () => this.#options.onClose(reason));
  }
}

export function errorAnswer(id: number, error: BalsaError): ClientAnswer {
  return { type: 'error', id, error: toWireError(error) };
}
