import { assert, unreachable } from '../base/assert.js';
import { toMapKey } from '../base/bytes.js';
import { AP_PASTS, EXTENDED_COMMANDS, versionOf } from '../base/command-versions.js';
import { BalsaError } from '../base/errors.js';
import type { KeyContent, KeyValue } from '../base/operation.js';
import { packResults } from '../base/operation-codec.js';
import type { KnownCall } from './call-keys.js';
import { COMMAND_VERSION_MAX } from './command.js';
import type { ConfigurationRecord } from './configuration-record.js';
import type { Jobs } from './jobs/jobs.js';
import { SESSION_ID_BYTES } from './layout.js';
import { type AppliedBounds, loadParts, type MachineParts } from './machine-parts.js';
import { type MachineRecord, sealWrites } from './machine-record.js';
import type { CountedCall, MergedCall, Merges, OriginState } from './merges.js';
import { NeedsBuilder } from './needs.js';
import { type ParsedBatch, type ParsedCommand, parseCommand } from './parsed-command.js';
import type { AliasState, ResolvedProcedure, TriggerState } from './procedures.js';
import { type RangeLimits, readRange } from './range.js';
import { ReadAhead } from './read-ahead.js';
import type { Moment } from './session-record.js';
import type { SessionBatch } from './sessions.js';
import type { StateStore, StateWrite } from './state-store.js';
import type {
  BatchAnswer,
  HistoryPage,
  HistoryQuery,
  LeaseState,
  RangePage,
  RangeQuery,
  StoreObservation,
  StoreState,
  WriteEvent,
  WritesListener,
} from './types.js';
import { readHistory } from './write-history.js';

/** A committed log entry. */
export interface AppliedEntry {
  readonly index: number;
  readonly type: 'noop' | 'command' | 'configuration';
  readonly payload: Uint8Array;
}

/** Defaults: `LIMITS`. {@link AppliedBounds} are for tests only: they must not differ in a cluster. */
export type StateMachineOptions = Partial<AppliedBounds & RangeLimits> & {
  /** The newest version of commands that it knows; a test of rolling upgrades plays an older Balsa. */
  readonly commandVersionMax?: number;
};

/**
 * What the log means: keys with all their revisions, leases, and the sessions that make writes count
 * once. A function of the entries applied and of nothing else: no clock, no configuration, no chance.
 */
export class StateMachine implements StoreObservation {
  readonly #parts: MachineParts;
  readonly #commandVersionMax: number;
  #appliedIndex: number;
  #logTimeMs: number;
  #stateHash: number;
  /** The entry that was prepared last. */
  #prepared: {
    readonly entry: AppliedEntry;
    readonly command: ParsedCommand;
    ahead: ReadAhead | null;
  } | null = null;
  #listener: WritesListener | null = null;
  #observer: WritesListener | null = null;
  #onCounted: ((call: CountedCall) => void) | null = null;

  private constructor(parts: MachineParts, commandVersionMax: number) {
    this.#parts = parts;
    this.#commandVersionMax = commandVersionMax;
    this.#appliedIndex = parts.machine.appliedIndex;
    this.#logTimeMs = parts.machine.logTimeMs;
    this.#stateHash = parts.machine.stateHash;
  }

  /**
   * The state machine as `store` holds it.
   * @throws BalsaError `STATE_CORRUPT`
   */
  static async open(store: StateStore, options: StateMachineOptions = {}): Promise<StateMachine> {
    const { commandVersionMax = COMMAND_VERSION_MAX } = options;
    return new StateMachine(await loadParts(store, options), commandVersionMax);
  }

  /** The last entry applied. */
  get appliedIndex(): number {
    return this.#appliedIndex;
  }

  /** Number of transactions so far that changed something; a single write is one of its own. */
  get revision(): number {
    return this.#parts.keyspace.revision;
  }

  /** Reads at revisions before this one are refused; 0: all are kept. */
  get compactedRevision(): number {
    return this.#parts.compaction.compactedRevision;
  }

  /** Through here what is no longer kept has been removed. */
  get sweptRevision(): number {
    return this.#parts.compaction.sweptRevision;
  }

  /** A checksum over all that was ever written: equal at all replicas that applied the same entries. */
  get stateHash(): number {
    return this.#stateHash;
  }

  /** The last configuration of the members that was applied; `null`: none since the cluster was formed. */
  get configuration(): ConfigurationRecord | null {
    return this.#parts.configuration.record;
  }

  /** The highest time of any command so far, in milliseconds since 1970. */
  get logTimeMs(): number {
    return this.#logTimeMs;
  }

  /** The newest version of commands that the log has had; 0: none that is remembered. */
  get knownCommandVersion(): number {
    return this.#parts.knownCommands.version;
  }

  get sessionCount(): number {
    return this.#parts.sessions.size;
  }

  // ---------------------------------------------------------------- applying

  /**
   * Reads ahead what the ranges of the next entry need of the store; nothing may be applied before that
   * is done. `null`, as for nearly all entries: there is nothing to read, go on.
   * @throws BalsaError as {@link StateMachine.apply}
   */
  prepare(entry: AppliedEntry): Promise<void> | null {
    if (entry.type !== 'command') return null;
    const command = parseCommand(entry.payload, this.#commandVersionMax);
    const prepared = { entry, command, ahead: null as ReadAhead | null };
    this.#prepared = prepared;
    if (command.version < EXTENDED_COMMANDS) return null;
    const { namespaces, compaction, store, keyspace, limits } = this.#parts;
    const builder = new NeedsBuilder(command.version, ({ name, prefix }) =>
      namespaces.has(name, prefix),
    );
    builder.addSystem(command.system);
    for (const { operations } of command.batches) {
      if (!(operations instanceof BalsaError)) builder.addOperations(operations);
    }
    for (const call of command.calls) builder.addCall(call);
    for (const { call } of command.jobs) builder.addCall(call);
    const needs = builder.build();
    if (needs === null) return null;
    const sweepFrom = compaction.sweepFrom(needs.isCompacted);
    return ReadAhead.read({ store, dead: keyspace.dead }, needs, { ...limits, sweepFrom }).then(
      (ahead) => {
        prepared.ahead = ahead;
      },
    );
  }

  /**
   * Applies the next entry, which was prepared if it has ranges.
   * @returns one answer for each batch of a command, in order, behind them for each of its calls, and behind these for its merge
   * @throws BalsaError `VERSION_UNSUPPORTED`, `FRAME_INVALID`, `STATE_CORRUPT`: the replica must stop
   */
  apply(entry: AppliedEntry): readonly BatchAnswer[] {
    assert(entry.index === this.#appliedIndex + 1, 'entries are applied in order, each once');
    const answers = this.#answer(entry);
    this.#commit(entry.index);
    for (const call of this.#parts.merges.takeCounted()) this.#onCounted?.(call);
    const events = this.#isHeard ? this.#parts.keyspace.takeEvents() : null;
    if (events !== null) {
      this.#observer?.(events);
      this.#listener?.(events);
    }
    return answers;
  }

  #answer(entry: AppliedEntry): readonly BatchAnswer[] {
    switch (entry.type) {
      case 'noop':
        return [];
      case 'configuration':
        this.#parts.configuration.change(entry);
        return [];
      case 'command': {
        const prepared = this.#prepared;
        this.#prepared = null;
        if (prepared?.entry === entry) {
          return this.#applyCommand(entry.index, prepared.command, prepared.ahead);
        }
        const command = parseCommand(entry.payload, this.#commandVersionMax);
        return this.#applyCommand(entry.index, command, null);
      }
      default:
        return unreachable(entry.type);
    }
  }

  #applyCommand(
    index: number,
    command: ParsedCommand,
    ahead: ReadAhead | null,
  ): readonly BatchAnswer[] {
    const { sessions, executor, marks, settings, calls, callKeys } = this.#parts;
    const { mergeExecutor, jobExecutor, knownCommands, procedures } = this.#parts;
    if (knownCommands.isFirst(AP_PASTS, command.version)) procedures.noteApPasts();
    knownCommands.saw(command.version);
    // The clock of a new leader may be behind that of the old one; log time never goes back.
    this.#logTimeMs = Math.max(this.#logTimeMs, command.timeMs);
    const timeMs = this.#logTimeMs;
    const storedRevision = this.revision;
    sessions.forgetIdle(timeMs);
    callKeys.forgetOld(timeMs);
    executor.beginEntry(timeMs, command.version, ahead);
    jobExecutor.beginEntry({ index, timeMs, version: command.version });
    for (const operation of command.system) executor.applySystem(operation, storedRevision);
    const answers = command.batches.map((parsed, ordinal) =>
      this.#applyBatch(parsed, command.version, { index, ordinal, timeMs }),
    );
    if (command.calls.length > 0) {
      calls.beginEntry();
      const entry = { index, wallMs: command.wallMs, version: command.version };
      for (const call of command.calls) answers.push(calls.apply(call, entry));
    }
    if (command.merge !== null) answers.push(mergeExecutor.apply(command.merge, command));
    if (command.jobs.length > 0) {
      calls.beginEntry();
      for (const step of command.jobs) jobExecutor.apply(step);
    }
    marks.note(timeMs, this.revision, settings.current.historyMs);
    return answers;
  }

  #applyBatch(parsed: ParsedBatch, version: number, now: Moment): BatchAnswer {
    const { sessionId, bornIndex, sequence, acknowledged } = parsed.batch;
    if (sessionId.byteLength !== SESSION_ID_BYTES || sequence === 0) {
      return { ok: false, error: invalid('batch: the session id or the sequence is not one') };
    }
    const { sessions } = this.#parts;
    const turn = { id: toMapKey(sessionId), bornIndex, sequence, acknowledged };
    const verdict = sessions.judge(turn, now.index);
    switch (verdict.type) {
      case 'refuse':
        return { ok: false, error: verdict.error };
      case 'repeat':
        sessions.recordRepeated(turn, now);
        return { ok: true, results: verdict.results, repeated: true };
      case 'apply':
        return this.#applyNew(parsed, version, { turn, now });
      default:
        return unreachable(verdict);
    }
  }

  #applyNew(
    { operations }: ParsedBatch,
    version: number,
    { turn, now }: { readonly turn: SessionBatch; readonly now: Moment },
  ): BatchAnswer {
    if (operations instanceof BalsaError) return { ok: false, error: operations };
    // A command of an older version may be applied by older replicas, which cannot read these.
    if (version < COMMAND_VERSION_MAX && operations.some((one) => versionOf(one) > version)) {
      return { ok: false, error: invalid('operation: of a kind that came with a later version') };
    }
    const { executor, sessions } = this.#parts;
    executor.beginBatch();
    const results = packResults(operations.map((operation) => executor.write(operation)));
    sessions.recordApplied(turn, results, now);
    return { ok: true, results, repeated: false };
  }

  /** Gives the store all that the entry changed, and the new index, at once. */
  #commit(index: number): void {
    const { store, keyspace, leases, namespaces, settings, marks, sessions } = this.#parts;
    const { procedures, callKeys, merges, jobs, knownCommands, configuration } = this.#parts;
    const writes: StateWrite[] = [];
    keyspace.flushInto(writes);
    leases.flushInto(writes);
    namespaces.flushInto(writes);
    settings.flushInto(writes);
    marks.flushInto(writes);
    sessions.flushInto(writes);
    procedures.flushInto(writes);
    callKeys.flushInto(writes, { index, timeMs: this.#logTimeMs });
    merges.flushInto(writes, index);
    jobs.flushInto(writes);
    knownCommands.flushInto(writes);
    configuration.flushInto(writes);
    const stateHash = sealWrites(this.#toRecord(index), writes);
    store.apply(index, writes);
    this.#stateHash = stateHash;
    this.#appliedIndex = index;
  }

  #toRecord(appliedIndex: number): MachineRecord {
    const { keyspace, compaction, leases, sessions } = this.#parts;
    return {
      appliedIndex,
      revision: keyspace.revision,
      ...compaction.toRecord(),
      spaceBytes: keyspace.spaceBytes,
      lastLease: leases.lastId,
      logTimeMs: this.#logTimeMs,
      forgottenThrough: sessions.forgottenThrough,
      stateHash: this.#stateHash,
    };
  }

  // ---------------------------------------------------------------- reading

  /**
   * What `key` holds, or held at `revision` (`null`: the latest).
   * @throws BalsaError `FUTURE_REVISION`, `COMPACTED`, `INVALID_ARGUMENT`
   */
  get(key: Uint8Array, revision: number | null): KeyContent | null {
    return this.#parts.keyspace.get(key, this.#readable(revision));
  }

  /**
   * One page of a range, as of one revision: what is applied meanwhile does not show.
   * @param onReadAnew called when a page of the latest state was overtaken by a compaction: it is read
   *   anew, as of what is the present revision then
   * @throws BalsaError `FUTURE_REVISION`, `COMPACTED`, `INVALID_ARGUMENT`
   */
  async range(query: RangeQuery, onReadAnew: () => void = () => {}): Promise<RangePage> {
    if (!(query.keysMax >= 1)) {
      throw new BalsaError('INVALID_ARGUMENT', 'keysMax of a range must be at least 1');
    }
    const { store, chains, keyspace, limits } = this.#parts;
    const { dead } = keyspace;
    for (;;) {
      const revision = this.#readable(query.revision);
      const checkKept = (): number => this.#readable(revision);
      try {
        return await readRange({ store, chains, dead, limits, checkKept }, { ...query, revision });
      } catch (error) {
        const isOvertaken = error instanceof BalsaError && error.code === 'COMPACTED';
        // Who asked for the latest did not ask for this revision.
        if (!isOvertaken || query.revision !== null) throw error;
        onReadAnew();
      }
    }
  }

  #readable(revision: number | null): number {
    const current = this.revision;
    if (revision === null) return current;
    if (!Number.isSafeInteger(revision) || revision < 0) {
      throw new BalsaError('INVALID_ARGUMENT', `${revision} is not a revision`);
    }
    if (revision > current) {
      throw new BalsaError(
        'FUTURE_REVISION',
        `revision ${revision} does not exist here yet; the latest is ${current}`,
        { details: { revision, current } },
      );
    }
    if (revision < this.compactedRevision) {
      throw new BalsaError(
        'COMPACTED',
        `revision ${revision} is no longer kept; the oldest is ${this.compactedRevision}`,
        { details: { revision, oldest: this.compactedRevision } },
      );
    }
    return revision;
  }

  /** What a reference to a procedure stands for; `null`: nothing. */
  resolveProcedure(reference: string): ResolvedProcedure | null {
    return this.#parts.procedures.resolve(reference);
  }

  /** The code of a bundle, UTF-8; `null`: it is not there. */
  procedureCode(hash: string): Uint8Array | null {
    return this.#parts.procedures.code(hash);
  }

  procedures(): AliasState[] {
    return this.#parts.procedures.states();
  }

  /** All deltas of the queue through this one are merged. */
  mergedThrough(origin: string): number {
    return this.#parts.merges.through(origin);
  }

  /** A call that was merged under this idempotency key, or could be merged again, as long as it is remembered. */
  mergedCall(key: Uint8Array): MergedCall | null {
    return this.#parts.merges.find(key);
  }

  /** A call of a procedure of mode `cp` that was applied under this idempotency key, as long as it is remembered. */
  appliedCall(key: Uint8Array): KnownCall | null {
    return this.#parts.callKeys.find(key);
  }

  /** See `Merges.keptMs`. */
  callKeptMs(isNamed: boolean): number {
    return this.#parts.merges.keptMs(isNamed);
  }

  /** Queues of deltas that the log knows. */
  origins(): OriginState[] {
    return this.#parts.merges.states();
  }

  /** Merged calls that are remembered, and others of which there may be deltas; to be looked at between log entries. */
  get merges(): Pick<Merges, 'size' | 'isFull' | 'canForget'> {
    return this.#parts.merges;
  }

  /** Told of each call that counts from now on, and of which deltas will not. */
  onCounted(listener: (call: CountedCall) => void): void {
    this.#onCounted = listener;
  }

  /** To be looked at between log entries. */
  get jobs(): Jobs {
    return this.#parts.jobs;
  }

  triggers(): TriggerState[] {
    return this.#parts.procedures.triggers();
  }

  onWrites(listener: WritesListener | null): void {
    this.#listener = listener;
    this.#parts.keyspace.collectEvents(this.#isHeard);
  }

  /** As {@link onWrites}, for another one, who hears it first. */
  observeWrites(observer: WritesListener | null): void {
    this.#observer = observer;
    this.#parts.keyspace.collectEvents(this.#isHeard);
  }

  get #isHeard(): boolean {
    return this.#listener !== null || this.#observer !== null;
  }

  history(query: HistoryQuery): Promise<HistoryPage> {
    const throughRevision = Math.min(query.throughRevision ?? this.revision, this.revision);
    return readHistory(this.#parts.store, this.#parts.compaction, { ...query, throughRevision });
  }

  valueBefore({ previous }: WriteEvent): KeyValue | null {
    return previous.revision === 0 ? null : this.#parts.chains.itemAt(previous);
  }

  info(): StoreState {
    const { keyspace, settings, leases, namespaces } = this.#parts;
    const { spaceBytes } = keyspace;
    return {
      revision: this.revision,
      compactedRevision: this.compactedRevision,
      sweptRevision: this.sweptRevision,
      settings: settings.current,
      spaceBytes,
      spaceAlarm: settings.isFull(spaceBytes),
      leases: leases.size,
      logTimeMs: this.#logTimeMs,
      namespaces: namespaces.states(),
    };
  }

  dueLeases(logNowMs: number, max: number, keysMax?: number): number[] {
    return this.#parts.leases.due(logNowMs, max, keysMax);
  }

  lease(id: number): LeaseState | null {
    return this.#parts.leases.state(id);
  }

  leases(): LeaseState[] {
    return this.#parts.leases.states();
  }

  keysOfLease(id: number, bytesMax = Number.MAX_SAFE_INTEGER): Promise<Uint8Array[]> {
    return this.#parts.leases.keysInStore(id, bytesMax);
  }

  revisionToKeep(logNowMs: number): number | null {
    const { settings, marks, holds, knownCommands } = this.#parts;
    const { historyMs, historyRevisions } = settings.current;
    const byAge = historyMs === 0 ? 0 : marks.revisionAt(logNowMs - historyMs);
    const byNumber = historyRevisions === 0 ? 0 : this.revision - historyRevisions;
    const wanted = Math.max(byAge, byNumber);
    if (wanted <= this.compactedRevision) return null;
    const held = holds.oldest(logNowMs, knownCommands.version)?.revision ?? wanted;
    return held > this.compactedRevision ? Math.min(wanted, held) : null;
  }
}

function invalid(message: string): BalsaError {
  return new BalsaError('FRAME_INVALID', message, { outcome: 'not-applied' });
}
