import { versionOf } from '../../src/base/command-versions.js';
import type { Compare, ReadOperation, TxnStep, WriteOperation } from '../../src/base/operation.js';
import { packCommand } from '../../src/statemachine/command.js';
import type { AppliedEntry } from '../../src/statemachine/state-machine.js';
import type { SystemOperation } from '../../src/statemachine/types.js';
import { BOUNDS } from './model-bounds.js';
import { checkEverything, checkFacts } from './model-checks.js';
import {
  type LoggedEntry,
  ModelReplica,
  SimpleDisk,
  type StateDisk,
  wordOf,
} from './model-replica.js';
import { ALL_DUE, OWN, type Send, type Step } from './model-steps.js';
import { type ModelAnswer, type ModelBatch, NaiveModel } from './naive-model.js';
import type { ModelResult, NaiveStore } from './naive-store.js';
import { inOrder, plainAnswer, same } from './plain.js';
import { batch, put, session } from './replica.js';

export interface WorldOptions {
  /** The disk of the replica that crashes. */
  readonly disk: StateDisk;
  /** Each batch also writes a key that nothing else writes: its version tells how often it was applied. */
  readonly marks?: boolean;
}

/**
 * One log of entries, the model of it, and replicas that apply it: one that never stops, one that comes
 * back with an older disk and applies the rest again, one that begins with a snapshot.
 */
export class ModelWorld {
  readonly model = new NaiveModel(BOUNDS);
  readonly log: LoggedEntry[] = [];
  readonly #marks: boolean;
  readonly #clients = [0, 1, 2, 3, 4].map((name) => new ClientModel(name));
  #timeMs = 1000;
  #label = 0;
  readonly #seen = new Set<string>();
  #revisionBefore = 0;

  private constructor(
    readonly steady: ModelReplica,
    readonly restarting: ModelReplica,
    public restored: ModelReplica,
    marks: boolean,
  ) {
    this.#marks = marks;
  }

  static async start(options: WorldOptions): Promise<ModelWorld> {
    const steady = await ModelReplica.start(new SimpleDisk(), BOUNDS);
    const restarting = await ModelReplica.start(options.disk, BOUNDS);
    const restored = await ModelReplica.start(new SimpleDisk(), BOUNDS);
    return new ModelWorld(steady, restarting, restored, options.marks === true);
  }

  get replicas(): readonly ModelReplica[] {
    return [this.steady, this.restarting, this.restored];
  }

  async run(steps: readonly Step[]): Promise<void> {
    for (const step of steps) await this.#step(step);
    await checkEverything(this);
    await this.sweepAll();
    await checkEverything(this);
  }

  /** Nothing that is no longer kept is left. */
  async sweepAll(): Promise<void> {
    const { machine } = this.steady;
    for (let n = 0; machine.sweptRevision < machine.compactedRevision; n += 1) {
      inOrder([n, 100]);
      await this.#command([], [{ type: 'sweep', records: 1000 }], 3);
    }
    same(machine.info().spaceBytes, this.model.store.neededBytes());
  }

  /** What this history reached, for tests of the histories themselves. */
  seen(): ReadonlySet<string> {
    const { store } = this.model;
    if (this.model.forgottenThrough > 0) this.#seen.add('session forgotten');
    if (store.events.some((events) => events.length > 1)) {
      this.#seen.add('several writes at one revision');
    }
    return this.#seen;
  }

  #note(answers: readonly ModelAnswer[], system: readonly SystemOperation[]): void {
    const { store } = this.model;
    const note = (results: readonly ModelResult[]): void => {
      for (const result of results) {
        if (result.type === 'error') this.#seen.add(result.code);
        if (result.type === 'txn') note(result.results);
      }
    };
    for (const answer of answers) if (answer.ok) note(answer.results);
    const oldest = store.events[store.compacted] ?? [];
    if (oldest.some(({ type }) => type === 'delete')) {
      this.#seen.add('tombstone at the compacted revision');
    }
    const last = store.events[store.revision] ?? [];
    if (last.some(({ item }) => item.version === 1 && this.#wasCompacted(item.key))) {
      this.#seen.add('compacted key made again');
    }
    const expires = system.some(({ type }) => type === 'expire');
    if (expires && store.revision > this.#revisionBefore && answers.length === 0) {
      this.#seen.add('lease expired with keys');
    }
    this.#revisionBefore = store.revision;
  }

  /** The key was written, and deleted for good by a revision that is compacted. */
  #wasCompacted(key: string): boolean {
    const { store } = this.model;
    const events = store.events.slice(0, store.compacted).flat();
    return events.some(({ type, item }) => type === 'delete' && item.key === key);
  }

  async #step(step: Step): Promise<void> {
    switch (step.type) {
      case 'noop':
        this.model.other();
        await this.#append('noop', new Uint8Array(), []);
        break;
      case 'configuration':
        this.model.other();
        await this.#append('configuration', Buffer.from(step.text), []);
        break;
      case 'restart':
        await this.restarting.restart(step.behind, this.log);
        break;
      case 'snapshot':
        await this.restored.close();
        this.restored = await ModelReplica.fromSnapshot(this.steady, step.behind, this.log, BOUNDS);
        break;
      case 'check':
        await checkEverything(this);
        break;
      case 'command':
        this.#timeMs += step.waitMs;
        await this.#commands(step);
        break;
    }
  }

  async #commands(step: Step & { readonly type: 'command' }): Promise<void> {
    const { store } = this.model;
    const system = step.system.map((operation) => this.#resolveSystem(operation));
    const isAlone = system.some(({ type }) => type === 'sweep') && this.#hasQuota(step.sends);
    // What a sweep frees decides whether later puts have space: then it has an entry for itself.
    if (isAlone) await this.#command([], system, 3);
    const made = step.sends.map((send) => {
      this.#label += 1;
      const client = this.#client(send.client);
      return client.make(send, {
        operations: send.operations.map((operation) => resolve(operation, store)),
        mark: this.#marks ? `${this.#label}` : null,
      });
    });
    await this.#command(made, isAlone ? [] : system, step.version);
  }

  #hasQuota(sends: readonly Send[]): boolean {
    const isSet = this.model.store.settings.spaceQuotaBytes > 0;
    return isSet || sends.some((send) => send.operations.some(({ type }) => type === 'settings'));
  }

  async #command(
    batches: readonly ModelBatch[],
    system: readonly SystemOperation[],
    version: number,
  ): Promise<void> {
    const timeMs = this.#timeMs;
    const isOld =
      system.length === 0 &&
      batches.every((one) => one.operations.every((o) => versionOf(o) === 1));
    const written = isOld ? version : Math.max(version, 3);
    const payload = packCommand(
      { timeMs, batches: batches.map(toBatch), system, proposerTerm: 1 },
      written,
    );
    const expected = this.model.command(timeMs, batches, system, written);
    this.#note(expected, system);
    const answers = await this.#append('command', payload, expected, system);
    batches.forEach((sent, n) => {
      const answer = answers[n];
      if (answer?.ok !== false || answer.code !== 'SESSION_EXPIRED') return;
      this.#client(Number(sent.id[0])).forgotten(sent, this.log.length);
    });
  }

  async #append(
    type: AppliedEntry['type'],
    payload: Uint8Array,
    expected: readonly unknown[],
    system: readonly SystemOperation[] = [],
  ) {
    const entry = { index: this.log.length + 1, type, payload };
    const logged: LoggedEntry = { entry, answers: null, revision: this.model.store.revision };
    this.log.push(logged);
    let plain: readonly ModelAnswer[] = [];
    for (const replica of this.replicas) {
      const answers = await replica.apply(logged, this.model);
      // The same bytes at every replica, also when an entry is applied again.
      const words = answers.map(wordOf);
      logged.answers ??= words;
      same(words, logged.answers);
      plain = answers.map(plainAnswer);
      same(plain, expected);
    }
    this.#adoptSpace(system);
    checkFacts(this);
    return plain;
  }

  /** How much a slice of a sweep removes is not the model's business, but it must not be too much. */
  #adoptSpace(system: readonly SystemOperation[]): void {
    if (!system.some(({ type }) => type === 'sweep')) return;
    const { store } = this.model;
    const { spaceBytes } = this.steady.machine.info();
    inOrder([store.neededBytes(), spaceBytes, store.spaceBytes]);
    store.spaceBytes = spaceBytes;
  }

  #resolveSystem(operation: SystemOperation): SystemOperation {
    const { store } = this.model;
    if (operation.type === 'compact') {
      return { type: 'compact', revision: resolveRevision(operation.revision, store) };
    }
    if (operation.type !== 'expire' || operation.leases[0] !== ALL_DUE) return operation;
    const due = [...store.leases].filter(([, { deadlineMs }]) => deadlineMs <= this.#timeMs);
    return { type: 'expire', leases: due.map(([lease]) => lease) };
  }

  #client(name: number): ClientModel {
    const found = this.#clients[name];
    if (found === undefined) throw new Error(`there is no client ${name}`);
    return found;
  }
}

/** A client keeps what it sent, sends some of it again, and starts a new session when told to. */
class ClientModel {
  readonly #name: number;
  #sessions = 0;
  #bornIndex = 0;
  #sent: ModelBatch[] = [];
  #lost: ModelBatch[] = [];

  constructor(name: number) {
    this.#name = name;
  }

  make(
    send: Send,
    content: { readonly operations: readonly WriteOperation[]; readonly mark: string | null },
  ): ModelBatch {
    if (send.what === 'retry') {
      // Sometimes from a session it has given up: a request that was long under way.
      const from = send.back === 4 && this.#lost.length > 0 ? this.#lost : this.#sent;
      const again = from.at(-1 - (send.back % 3));
      if (again !== undefined) return again;
    }
    const { operations, mark } = content;
    const sequence = this.#sent.length + (send.what === 'gap' ? 2 : 1);
    const made: ModelBatch = {
      id: `${this.#name}/${this.#sessions}`,
      bornIndex: this.#bornIndex,
      sequence,
      acknowledged: send.acknowledges ? Math.max(0, sequence - 1 - send.back) : 0,
      operations: mark === null ? operations : [...operations, put(`once ${mark}`, mark)],
    };
    if (send.what !== 'gap') this.#sent.push(made);
    return made;
  }

  /** The state machine does not know the session of this batch any more. */
  forgotten(sent: ModelBatch, index: number): void {
    if (sent.id !== `${this.#name}/${this.#sessions}`) return;
    this.#lost = this.#sent;
    this.#sent = [];
    this.#sessions += 1;
    this.#bornIndex = index;
  }
}

function toBatch(made: ModelBatch) {
  return batch({ ...made, sessionId: session(made.id), operations: made.operations });
}

/** See `model-steps`: numbers relative to the present become absolute. */
function resolve(operation: WriteOperation, store: NaiveStore): WriteOperation {
  if (operation.type === 'compact') {
    return { type: 'compact', revision: resolveRevision(operation.revision, store) };
  }
  if (operation.type !== 'txn') return operation;
  const steps = (of: readonly TxnStep[]): TxnStep[] =>
    of.map((step) => {
      if (step.type === 'read') return resolveRead(step, store);
      return step.type === 'txn' ? (resolve(step, store) as TxnStep) : step;
    });
  return {
    type: 'txn',
    compares: operation.compares.map((compare) => resolveCompare(compare, store)),
    success: steps(operation.success),
    failure: steps(operation.failure),
  };
}

function resolveCompare(compare: Compare, store: NaiveStore): Compare {
  if (compare.target === 'value' || compare.value >= 0) return compare;
  const { target } = compare;
  if (compare.value > OWN + 100) {
    return { ...compare, value: resolveRevision(compare.value, store) };
  }
  const held = store.latest.get(Buffer.from(compare.from).toString('latin1'));
  const own = target === 'count' ? Number(held !== undefined) : (held?.[target] ?? 0);
  return { ...compare, value: Math.max(0, own + compare.value - OWN) };
}

function resolveRead(read: ReadOperation, store: NaiveStore): ReadOperation {
  const resolved: Record<string, unknown> = { ...read };
  for (const name of BOUND_NAMES) {
    const bound = read[name];
    if (bound !== undefined) resolved[name] = resolveRevision(bound, store);
  }
  return resolved as unknown as ReadOperation;
}

const BOUND_NAMES = [
  'modRevisionMin',
  'modRevisionMax',
  'createRevisionMin',
  'createRevisionMax',
] as const;

function resolveRevision(revision: number, store: NaiveStore): number {
  return revision >= 0 ? revision : Math.max(0, store.revision + 1 + revision);
}
