import type { CallRecord } from '../../../src/base/call.js';
import { unpackCall } from '../../../src/base/call-codec.js';
import type { BalsaError } from '../../../src/base/errors.js';
import type { GroupCall } from '../../../src/compute/execution.js';
import { unpackCommand } from '../../../src/statemachine/command.js';
import { CALL_GROUPS_FROM, CALL_GROUPS_TO } from '../../../src/statemachine/layout.js';
import type { AppliedEntry, StateMachine } from '../../../src/statemachine/state-machine.js';
import type { StateStore } from '../../../src/statemachine/state-store.js';
import type { BatchAnswer } from '../../../src/statemachine/types.js';
import type { Coverage } from '../coverage.js';

/** What was found out about an entry when a replica applied it. */
export interface AppliedFacts {
  readonly answers: readonly BatchAnswer[];
  /** What the entry had written, as revisions. */
  readonly revisionBefore: number;
  readonly machine: StateMachine;
  /** Number of the machine. */
  readonly place: number;
  /** The replica is in a later term than that of the entry. */
  readonly isOfEarlierTerm: boolean;
}

/** Sees what becomes of calls inside of the cluster: what rare ways they go, and the log time of what they write. */
export class CallObserver {
  readonly #coverage: Coverage;
  #index = 0;
  /** Of calls that are not applied yet, by key. */
  readonly #conflicts = new Map<string, number>();
  /** Places of leaders that have run a group which they have not applied yet. */
  readonly #inLog = new Set<number>();
  /** By revision. */
  readonly #logTimesMs: number[] = [];

  constructor(coverage: Coverage) {
    this.#coverage = coverage;
  }

  /** The log time of the entry that wrote it. */
  logTimeMs(revision: number): number {
    return this.#logTimesMs[revision - 1] ?? 0;
  }

  /** A replica has applied an entry; the first one to do so counts. */
  applied({ index, type, payload }: AppliedEntry, facts: AppliedFacts): void {
    const { revisionBefore, machine, answers, place, isOfEarlierTerm } = facts;
    if (facts.answers.length > 0) this.#inLog.delete(place);
    if (index <= this.#index) return;
    this.#index = index;
    for (let revision = revisionBefore + 1; revision <= machine.revision; revision += 1) {
      this.#logTimesMs[revision - 1] = machine.logTimeMs;
    }
    if (type !== 'command') return;
    const { calls = [], batches } = unpackCommand(payload);
    if (calls.length === 0) return;
    if (isOfEarlierTerm) this.#coverage.count('calls: applied under a later leader');
    this.#answered(calls.map(unpackCall), answers.slice(batches.length));
  }

  #answered(calls: readonly CallRecord[], answers: readonly BatchAnswer[]): void {
    const isConflict = answers.map((one) => !one.ok && one.error.code === 'TXN_CONFLICT');
    for (const [place, { key, dependsOn }] of calls.entries()) {
      const name = Buffer.from(key).toString('hex');
      const answer = answers[place] as BatchAnswer;
      if (isConflict[place]) {
        this.#conflicts.set(name, (this.#conflicts.get(name) ?? 0) + 1);
        this.#coverage.count('calls: conflict in the log');
        if (dependsOn.some((other) => isConflict[other])) {
          this.#coverage.count('calls: rejected with one that it had seen');
        }
        continue;
      }
      if (this.#conflicts.delete(name) && answer.ok) {
        this.#coverage.count('calls: applied after a conflict');
      }
      if (answer.ok && answer.repeated) this.#coverage.count('calls: known key answered again');
      if (answer.ok && dependsOn.length > 0) this.#coverage.count('calls: applied over one seen');
      if (!answer.ok) this.#coverage.count(`calls: ${answer.error.code} in the log`);
    }
  }

  /** A leader has run a group, or as much as was to be run of it. */
  groupRan(
    calls: readonly GroupCall[],
    ran: number,
    { leads, place }: { readonly leads: boolean; readonly place: number },
  ): void {
    if (leads) this.#inLog.add(place);
    else this.#coverage.count('calls: leadership lost while a group ran');
    if (ran > 1) this.#coverage.count('calls: several in a group');
    if (ran < calls.length) this.#coverage.count('calls: left for the next group');
    for (const { identity } of calls.slice(0, ran)) {
      const conflicts = this.#conflicts.get(Buffer.from(identity.key).toString('hex')) ?? 0;
      if (conflicts > 0) this.#coverage.count('calls: run again after a conflict');
      if (conflicts > 1 && calls.length === 1) this.#coverage.count('calls: run alone');
    }
  }

  leadershipLost(place: number): void {
    if (!this.#inLog.delete(place)) return;
    this.#coverage.count('calls: leadership lost with a group in the log');
  }

  /** What was run elsewhere comes to the leader. */
  submitted(error: BalsaError | null): void {
    const said = error === null ? 'applied' : error.code;
    this.#coverage.count(`calls: submitted, ${said}`);
  }

  /** A replica begins with a state that it did not make itself, or of an earlier life. */
  async opened(store: StateStore, machine: StateMachine, how: 'restart' | 'snapshot') {
    const groups = { from: CALL_GROUPS_FROM, to: CALL_GROUPS_TO, keysMax: 1, bytesMax: 1 };
    const { pairs } = await store.scan(groups);
    const has = machine.procedures().length > 0 && pairs.length > 0;
    if (has) this.#coverage.count(`calls: ${how} with procedures and keys of calls`);
  }
}
