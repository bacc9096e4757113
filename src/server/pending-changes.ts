import { unreachable } from '../base/assert.js';
import { BalsaError } from '../base/errors.js';
import type {
  Configuration,
  ConfigurationAnswer,
  ConfigurationChange,
  LogIndex,
  MemberId,
  RaftEvent,
} from '../raft/types.js';
import { notLeader } from './proposals.js';

/** `null`: it is done. */
export type RequestDone = (error: BalsaError | null) => void;

interface Accepted {
  readonly index: LogIndex;
  readonly done: RequestDone;
}

/**
 * Changes of the members on their way: asked of the core, then in the log, then committed and, if the
 * voters change, the joint configuration left.
 */
export class PendingChanges {
  readonly #id: MemberId;
  readonly #nameOf: (member: MemberId) => string;
  readonly #asked = new Map<number, RequestDone>();
  #accepted: Accepted[] = [];
  #nextId = 1;

  constructor(options: { id: MemberId; nameOf: (member: MemberId) => string }) {
    this.#id = options.id;
    this.#nameOf = options.nameOf;
  }

  ask(change: ConfigurationChange, done: RequestDone): RaftEvent {
    const id = this.#nextId++;
    this.#asked.set(id, done);
    return { type: 'change-configuration', id, change };
  }

  /** @param commitIndex as it is in the step that brings the answer */
  answered(answer: ConfigurationAnswer, commitIndex: LogIndex): void {
    const done = this.#asked.get(answer.id);
    this.#asked.delete(answer.id);
    if (done === undefined) return;
    if (!answer.accepted) done(this.#refusal(answer));
    // The members are as they shall be: no entry was made, and nothing more will be committed for it.
    else if (answer.position.index <= commitIndex) done(null);
    else this.#accepted.push({ index: answer.position.index, done });
  }

  /** This configuration is committed. */
  committed(configuration: Configuration): void {
    if (configuration.votersOutgoing.length > 0) return;
    const isDone = ({ index }: Accepted): boolean => index <= configuration.index;
    const finished = this.#accepted.filter(isDone);
    this.#accepted = this.#accepted.filter((change) => !isDone(change));
    for (const { done } of finished) done(null);
  }

  /** What is in the log may yet be committed, and finished, by the next leader. */
  leadershipLost(leader: MemberId | null): void {
    const lost = this.#accepted;
    this.#accepted = [];
    const error = notLeader(leader === null ? null : this.#nameOf(leader), 'unknown');
    for (const { done } of lost) done(error);
  }

  abandon(error: BalsaError): void {
    const asked = [...this.#asked.values()];
    const accepted = this.#accepted;
    this.#asked.clear();
    this.#accepted = [];
    // The core may have sent it to others before its answer was heard.
    for (const done of asked) done(error.withOutcome('unknown'));
    for (const { done } of accepted) done(error.withOutcome('unknown'));
  }

  #refusal(answer: ConfigurationAnswer & { accepted: false }): BalsaError {
    const { reason, message } = answer;
    const leader =
      answer.leader === null || answer.leader === this.#id ? null : this.#nameOf(answer.leader);
    const refused = (code: ConstructorParameters<typeof BalsaError>[0]): BalsaError =>
      new BalsaError(code, message, { outcome: 'not-applied', details: { reason } });
    switch (reason) {
      case 'not-leader':
        return notLeader(leader, 'not-applied');
      case 'transferring':
        return new BalsaError('NOT_LEADER', message, {
          outcome: 'not-applied',
          details: { reason, leader },
        });
      case 'conflict':
        return refused('CONFIGURATION_CONFLICT');
      case 'pending':
      case 'new-leader':
        return refused('CHANGE_PENDING');
      case 'quorum-at-risk':
        return refused('QUORUM_AT_RISK');
      case 'not-caught-up':
        return refused('NOT_CAUGHT_UP');
      case 'invalid':
        return refused('INVALID_ARGUMENT');
      default:
        return unreachable(reason);
    }
  }
}
