import { compareBytes } from '../../../src/base/bytes.js';
import { JOB_COMMANDS } from '../../../src/base/command-versions.js';
import { asBalsaError, BalsaError } from '../../../src/base/errors.js';
import { LIMITS } from '../../../src/base/limits.js';
import type { LogLine, ProcedureStats } from '../../../src/client/procedures.js';
import type { JobQuery, WorkRequest } from '../../../src/rpc/job-protocol.js';
import type {
  AnswerMeta,
  CallProcedureRequest,
  ClientAnswer,
  ClientRequest,
} from '../../../src/rpc/protocol.js';
import { JobService } from '../../../src/server/jobs/job-service.js';
import { packCommand } from '../../../src/statemachine/command.js';
import {
  type AppliedEntry,
  StateMachine,
  type StateMachineOptions,
} from '../../../src/statemachine/state-machine.js';
import type { Command, WriteEvent } from '../../../src/statemachine/types.js';
import { SimpleStateStore } from '../../statemachine/simple-state-store.js';
import { errorAnswer, type FakeStream } from './fake-cluster.js';
import type { Harness } from './harness.js';

/** Leases are looked after this often. */
const TICK_MS = 50;
/** The index that the replicas of the fake cluster name to new clients. */
const BORN = 100;

/** What a call is answered, as far as a test cares. */
export type FakeAnswer = Partial<Omit<Extract<ClientAnswer, { type: 'call' }>, 'type' | 'id'>>;

interface LiveWatch {
  readonly stream: FakeStream;
  readonly request: Extract<ClientRequest, { type: 'watch' }>;
}

/**
 * Lets the real state machine answer the clients of a fake cluster: what one replica would do, without
 * consensus, requests one after the other.
 */
export class RealMachine {
  /** What `info` says of it. */
  diskUse = { stateBytes: 0, logBytes: 0 };
  readonly machine: StateMachine;
  /** No code is run here: what calls are answered. May throw. */
  onCall: (request: CallProcedureRequest) => FakeAnswer = () => ({});
  /** What each replica says of its calls. */
  readonly logs = new Map<string, readonly LogLine[]>();
  readonly stats = new Map<string, readonly ProcedureStats[]>();
  readonly #h: Harness;
  readonly #jobs: JobService;
  #queue: Promise<void> = Promise.resolve();
  #watches: LiveWatch[] = [];

  private constructor(h: Harness, machine: StateMachine) {
    this.#h = h;
    this.machine = machine;
    this.#jobs = this.#jobService();
    machine.onWrites((events) => this.#tell(events));
    h.cluster.fate = (request, stream) => {
      if (request.type === 'status') return undefined;
      this.#queue = this.#queue.then(() => this.#handle(request, stream));
      return 'ignore';
    };
    this.#tick();
  }

  static async behind(h: Harness, bounds: StateMachineOptions = {}): Promise<RealMachine> {
    const machine = await StateMachine.open(new SimpleStateStore(), bounds);
    const real = new RealMachine(h, machine);
    // The clients are born at an index that was applied.
    for (let n = 0; n < BORN; n += 1) await real.#apply('noop', new Uint8Array());
    return real;
  }

  /** Jobs as their leader has them; no code is run here. */
  #jobService(): JobService {
    const { clock } = this.#h;
    return new JobService({
      ...{ id: 'n1', name: 'n1', clock, limits: LIMITS, random: this.#h.environment.random },
      ...{ machine: () => this.machine, nowMs: () => clock.monotonicMs(), executor: null },
      ...{ canPropose: () => true, leader: () => 'n1', send: () => {} },
      ...{ operations: () => 0, loopUse: () => 0, machineUse: () => 0, processors: 2 },
      propose: (jobs, _isPatient, done) => {
        this.#queue = this.#queue.then(async () => {
          await this.#command({ jobs });
          done(true);
        });
      },
    });
  }

  #tick(): void {
    const { clock } = this.#h;
    clock.setTimer(TICK_MS, () => {
      this.#queue = this.#queue.then(async () => {
        const leases = this.machine.dueLeases(clock.monotonicMs(), 100);
        if (leases.length > 0) await this.#command({ system: [{ type: 'expire', leases }] });
      });
      this.#jobs.tick();
      this.#tick();
    });
  }

  async #apply(type: AppliedEntry['type'], payload: Uint8Array) {
    const entry = { index: this.machine.appliedIndex + 1, type, payload };
    await this.machine.prepare(entry);
    const answers = this.machine.apply(entry);
    this.#jobs.applied();
    return answers;
  }

  #command(fields: Partial<Command>) {
    const timeMs = this.#h.clock.monotonicMs();
    return this.#apply('command', packCommand({ timeMs, batches: [], ...fields }, JOB_COMMANDS));
  }

  async #handle(request: ClientRequest, stream: FakeStream): Promise<void> {
    try {
      const answer = await this.#answer(request, stream);
      if (answer !== null && stream.open) stream.send({ type: 'answers', answers: [answer] });
    } catch (error) {
      const answers = [errorAnswer(request.id, asBalsaError(error))];
      if (stream.open) stream.send({ type: 'answers', answers });
    }
  }

  get #meta(): AnswerMeta {
    const { revision, appliedIndex } = this.machine;
    return { term: 1, revision, appliedIndex, stalenessMs: null, side: 'majority' };
  }

  async #answer(request: ClientRequest, stream: FakeStream): Promise<ClientAnswer | null> {
    const { machine } = this;
    const { id } = request;
    switch (request.type) {
      case 'write': {
        const { sessionId } = stream;
        const [answer] = await this.#command({ batches: [{ ...request, sessionId }] });
        if (answer === undefined) throw new Error('no answer to a batch');
        if (!answer.ok) throw answer.error;
        return { type: 'write', id, meta: this.#meta, results: answer.results };
      }
      case 'get': {
        const items = request.keys.map((key) => machine.get(key, request.revision));
        return { type: 'get', id, meta: this.#meta, items };
      }
      case 'range': {
        const meta = this.#meta;
        const page = await machine.range({ ...request, ...request.filter });
        return { ...page, type: 'range', id, meta };
      }
      case 'leases':
        return { type: 'leases', id, meta: this.#meta, leases: await this.#leases(request.lease) };
      case 'store': {
        const { namespaces, ...state } = machine.info();
        const named = namespaces.map((one) => ({
          ...one,
          prefix: Buffer.from(one.prefix).toString('hex'),
        }));
        const info = JSON.stringify({ ...state, namespaces: named, ...this.diskUse, diskBytes: 0 });
        return { type: 'store', id, meta: this.#meta, info };
      }
      case 'procedures': {
        const name = stream.replica?.name ?? '';
        const { logs, stats } = this;
        const about = { list: () => machine.procedures(), logs: () => logs.get(name) ?? [] };
        const said = { ...about, stats: () => stats.get(name) ?? [] }[request.about]();
        return { type: 'procedures', id, meta: this.#meta, info: JSON.stringify(said) };
      }
      case 'call': {
        const usual = { result: 'null', hash: 'ab'.repeat(32), repeated: false, logs: [] };
        const { revision } = machine;
        const made = { ...usual, revision, pending: null, ...this.onCall(request) };
        return { type: 'call', id, meta: this.#meta, ...made };
      }
      case 'jobs': {
        const said = await this.#jobs.answer(JSON.parse(request.query) as JobQuery);
        return { type: 'jobs', id, meta: this.#meta, ...said };
      }
      case 'work':
        this.#work(request, stream);
        return null;
      case 'watch': {
        await this.#past({ stream, request });
        return null;
      }
      case 'watch-cancel':
        this.#watches = this.#watches.filter((one) => one.request.id !== request.watch);
        return null;
      default:
        throw new Error(`no ${request.type} here`);
    }
  }

  /** It waits: others are answered meanwhile. */
  #work(request: WorkRequest & { readonly id: number }, stream: FakeStream): void {
    const { id } = request;
    this.#jobs.work(request, (answer) => {
      if (!stream.open) return;
      const said: ClientAnswer =
        answer instanceof BalsaError
          ? errorAnswer(id, answer)
          : { type: 'work', id, meta: this.#meta, ...answer };
      stream.send({ type: 'answers', answers: [said] });
    });
  }

  async #leases(lease: number | null) {
    const { machine } = this;
    const states = lease === null ? machine.leases() : [machine.lease(lease)];
    const found = states.filter((state) => state !== null);
    return Promise.all(
      found.map(async (state) => ({
        ...state,
        remainingMs: Math.max(0, state.deadlineMs - machine.logTimeMs),
        keys: lease === null ? [] : await machine.keysOfLease(state.lease),
      })),
    );
  }

  /** What came before the watch, then the rest as it comes. */
  async #past(watch: LiveWatch): Promise<void> {
    const { request, stream } = watch;
    const { revision } = this.machine;
    const { id, startRevision } = request;
    const created = { type: 'watch-created', id, meta: this.#meta, revision } as const;
    stream.send({ type: 'answers', answers: [created] });
    this.#watches.push(watch);
    if (startRevision === null || startRevision > revision) return;
    const bounds = { eventsMax: 10_000, bytesMax: 10_000_000 };
    const { events } = await this.machine.history({ fromRevision: startRevision, ...bounds });
    this.#send(watch, events);
  }

  #tell(events: readonly WriteEvent[]): void {
    for (const watch of this.#watches) this.#send(watch, events);
  }

  #send({ stream, request }: LiveWatch, events: readonly WriteEvent[]): void {
    const { from, to, id } = request;
    const wanted = events.filter(
      ({ key }) => compareBytes(key, from) >= 0 && (to === null || compareBytes(key, to) < 0),
    );
    const revision = wanted.at(-1)?.revision;
    if (revision === undefined || !stream.open) return;
    const told = wanted.map(({ type, key, value, revision: modRevision, ...rest }) => {
      const { createRevision, version, lease } = rest;
      const item = { key: Buffer.from(key), value: Buffer.from(value), modRevision };
      return { type, item: { ...item, createRevision, version, lease }, previous: null };
    });
    const answer = { type: 'watch-events', id, events: told, revision, more: false } as const;
    stream.send({ type: 'answers', answers: [{ ...answer, appliedIndex: null }] });
  }
}
