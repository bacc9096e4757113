import { CALL_COMMANDS, EXTENDED_COMMANDS, versionOf } from '../../src/base/command-versions.js';
import type { WriteBatch, WriteOperation, WriteResult } from '../../src/base/operation.js';
import { packOperations, unpackResults } from '../../src/base/operation-codec.js';
import { packCommand } from '../../src/statemachine/command.js';
import {
  type AppliedEntry,
  StateMachine,
  type StateMachineOptions,
} from '../../src/statemachine/state-machine.js';
import type {
  BatchAnswer,
  Command,
  RangeQuery,
  SystemOperation,
} from '../../src/statemachine/types.js';
import { SimpleStateStore } from './simple-state-store.js';

/** A state machine with its log, so that a test can crash it and let it apply the rest again. */
export class Replica {
  store = new SimpleStateStore();
  readonly log: AppliedEntry[] = [];
  readonly #options: StateMachineOptions;
  #machine: StateMachine;

  private constructor(
    machine: StateMachine,
    store: SimpleStateStore,
    options: StateMachineOptions,
  ) {
    this.#machine = machine;
    this.store = store;
    this.#options = options;
  }

  static async start(options: StateMachineOptions = {}): Promise<Replica> {
    const store = new SimpleStateStore();
    return new Replica(await StateMachine.open(store, options), store, options);
  }

  get machine(): StateMachine {
    return this.#machine;
  }

  /** Appends and applies an entry. */
  entry(
    type: AppliedEntry['type'],
    payload: Uint8Array = new Uint8Array(),
  ): readonly BatchAnswer[] {
    const entry = { index: this.log.length + 1, type, payload };
    const answers = this.#machine.apply(entry);
    this.log.push(entry);
    return answers;
  }

  command(batches: readonly WriteBatch[], timeMs = 0): readonly BatchAnswer[] {
    return this.entry('command', packCommand({ timeMs, batches }));
  }

  /** Applies operations one session would never retry, in a session of their own. */
  write(...operations: WriteOperation[]): WriteResult[] {
    const sessionId = Buffer.alloc(16);
    sessionId.writeUInt32BE(this.log.length + 1, 0);
    const [answer] = this.command([batch({ sessionId, bornIndex: this.log.length, operations })]);
    return resultsOf(answer);
  }

  /** Appends an entry, prepares it as a replica does, and applies it. */
  async prepared(
    type: AppliedEntry['type'],
    payload: Uint8Array = new Uint8Array(),
  ): Promise<readonly BatchAnswer[]> {
    const entry = { index: this.log.length + 1, type, payload };
    await this.#machine.prepare(entry);
    const answers = this.#machine.apply(entry);
    this.log.push(entry);
    return answers;
  }

  /** A command of version 3, or of the one that `fields` need. */
  run(
    fields: Partial<Omit<Command, 'proposerTerm'>>,
    version = fields.calls === undefined ? EXTENDED_COMMANDS : CALL_COMMANDS,
  ): Promise<readonly BatchAnswer[]> {
    return this.prepared('command', packCommand({ timeMs: 0, batches: [], ...fields }, version));
  }

  /** What the leader itself asks. */
  async system(timeMs: number, ...system: SystemOperation[]): Promise<void> {
    await this.run({ timeMs, system });
  }

  /** As {@link Replica.write}, with operations of any kind. */
  do(...operations: WriteOperation[]): Promise<WriteResult[]> {
    return this.doAt(0, ...operations);
  }

  /** As {@link Replica.do}, at a log time. */
  doAt(timeMs: number, ...operations: WriteOperation[]): Promise<WriteResult[]> {
    const version = Math.max(EXTENDED_COMMANDS, ...operations.map(versionOf));
    return this.#do(timeMs, version, operations);
  }

  /** As {@link Replica.do}, in an entry of that version. */
  doIn(version: number, ...operations: WriteOperation[]): Promise<WriteResult[]> {
    return this.#do(0, version, operations);
  }

  async #do(
    timeMs: number,
    version: number,
    operations: readonly WriteOperation[],
  ): Promise<WriteResult[]> {
    const sessionId = Buffer.alloc(16);
    sessionId.writeUInt32BE(this.log.length + 1, 0);
    const bornIndex = this.log.length;
    const batches = [batch({ sessionId, bornIndex, operations })];
    const [answer] = await this.run({ timeMs, batches }, version);
    return resultsOf(answer);
  }

  /** Crashes; the disk comes back as after entry `index`; the log is applied again from there. */
  async restart(index = this.log.length): Promise<void> {
    this.store = this.store.reopenedAt(index);
    this.#machine = await StateMachine.open(this.store, this.#options);
    for (const entry of this.log.slice(index)) {
      await this.#machine.prepare(entry);
      this.#machine.apply(entry);
    }
  }

  /** All pages of a range. */
  async items(query: Partial<RangeQuery> = {}): Promise<string[]> {
    const items = await readAll(this.#machine, query);
    return items.map((item) => `${item.key}=${item.value}`);
  }
}

export async function readAll(machine: StateMachine, part: Partial<RangeQuery>) {
  let query: RangeQuery = {
    from: new Uint8Array(),
    to: null,
    reverse: false,
    keysMax: 1000,
    revision: null,
    ...part,
  };
  const items: { key: string; value: string; mod: number; create: number; version: number }[] = [];
  for (let pages = 0; pages < 10_000; pages += 1) {
    const page = await machine.range(query);
    for (const item of page.items) {
      items.push({
        key: Buffer.from(item.key).toString(),
        value: Buffer.from(item.value).toString(),
        mod: item.modRevision,
        create: item.createRevision,
        version: item.version,
      });
    }
    if (!page.more || page.continueFrom === null) return items;
    const next = page.continueFrom;
    query = {
      ...query,
      revision: page.revision,
      ...(query.reverse ? { to: next } : { from: next }),
    };
  }
  throw new Error('the range does not end');
}

export function batch(
  fields: Partial<Omit<WriteBatch, 'operations' | 'sessionId'>> & {
    sessionId?: Uint8Array;
    operations?: readonly WriteOperation[];
  } = {},
): WriteBatch {
  return {
    sessionId: fields.sessionId ?? session('a'),
    bornIndex: fields.bornIndex ?? 0,
    sequence: fields.sequence ?? 1,
    acknowledged: fields.acknowledged ?? 0,
    operations: packOperations(fields.operations ?? [put('k', 'v')]),
  };
}

export function session(name: string): Uint8Array {
  return Buffer.from(name.padEnd(16, '.'));
}

export function put(key: string, value: string): WriteOperation {
  return { type: 'put', key: Buffer.from(key), value: Buffer.from(value) };
}

export function del(key: string): WriteOperation {
  return { type: 'delete', key: Buffer.from(key) };
}

export function bytes(text: string): Uint8Array {
  return Buffer.from(text);
}

export function resultsOf(answer: BatchAnswer | undefined): WriteResult[] {
  if (!answer?.ok) throw answer?.error ?? new Error('no answer');
  return unpackResults(answer.results);
}

/** An answer in a few words. */
export function brief(answer: BatchAnswer | undefined): string {
  if (answer === undefined) return 'none';
  if (!answer.ok) return `${answer.error.code} ${answer.error.outcome}`;
  const results = unpackResults(answer.results).map((result) => {
    if (result.type === 'put') return `put@${result.revision}`;
    return result.type === 'delete'
      ? `delete@${result.revision}:${result.deleted}`
      : JSON.stringify(result);
  });
  return `${answer.repeated ? 'again ' : ''}${results.join(' ')}`;
}
