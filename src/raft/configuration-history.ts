import { assert } from '../base/assert.js';
import { isVoter, namesMember } from './configuration.js';
import type { RaftState } from './state.js';
import type { Configuration, LogIndex, MemberId } from './types.js';

/**
 * The latest committed configuration and those behind it in the log. The last one is in effect, also
 * before it is committed (paper §6: "a server always uses the latest configuration in its log,
 * regardless of whether the entry is committed"); truncating the log brings back the one before.
 */
export class ConfigurationHistory {
  #committed: Configuration;
  /** In the log and not known to be committed, oldest first. */
  readonly #uncommitted: Configuration[] = [];
  readonly #self: MemberId;
  /** Was this member named by what is committed, the last time that it said something of it? */
  #wasMember: boolean;

  constructor(self: MemberId, committed: Configuration) {
    this.#self = self;
    this.#committed = committed;
    this.#wasMember = namesMember(committed, self);
  }

  get current(): Configuration {
    return this.#uncommitted.at(-1) ?? this.#committed;
  }

  get committed(): Configuration {
    return this.#committed;
  }

  /** Does this member vote in the committed configuration, or in any that is to follow it? */
  get selfVotes(): boolean {
    return [this.#committed, ...this.#uncommitted].some((c) => isVoter(c, this.#self));
  }

  appended(configuration: Configuration): void {
    assert(
      configuration.index > this.current.index,
      `configuration ${configuration.index} follows ${this.current.index}`,
    );
    this.#uncommitted.push(configuration);
  }

  /** The log was cut from `index` on. Says whether another configuration is in effect now. */
  truncateFrom(index: LogIndex): boolean {
    assert(this.#committed.index < index, 'a committed configuration is never truncated');
    let changed = false;
    while ((this.#uncommitted.at(-1)?.index ?? 0) >= index) {
      this.#uncommitted.pop();
      changed = true;
    }
    return changed;
  }

  /** Returns the configurations that this commits, oldest first. */
  commitTo(index: LogIndex): readonly Configuration[] {
    let count = 0;
    while ((this.#uncommitted[count]?.index ?? Number.POSITIVE_INFINITY) <= index) count += 1;
    if (count === 0) return [];
    const committed = this.#uncommitted.splice(0, count);
    this.#committed = committed.at(-1) ?? this.#committed;
    // Also who was let in and removed in one go was one of the members.
    if (committed.some((c) => namesMember(c, this.#self))) this.#wasMember = true;
    return committed;
  }

  /**
   * A snapshot that ends at `logStart` brought `committed`; the log behind it ends at `lastIndex`. What
   * the own log said of the members before that place was, perhaps, never committed.
   */
  adopt(committed: Configuration, logStart: LogIndex, lastIndex: LogIndex): void {
    const kept = this.#uncommitted.filter(({ index }) => index > logStart && index <= lastIndex);
    this.#uncommitted.splice(0, this.#uncommitted.length, ...kept);
    this.#committed = committed;
  }

  /** Was it one of the members, and is no longer? Says so once. Whoever never was one is not removed. */
  takeRemoval(): boolean {
    const isMember = namesMember(this.#committed, this.#self);
    const removed = this.#wasMember && !isMember;
    this.#wasMember = isMember;
    return removed;
  }
}

/**
 * The configuration of a snapshot that was installed is in effect. Called when the log begins behind
 * the snapshot already.
 */
export function adoptConfiguration(state: RaftState, configuration: Configuration): void {
  const { configurations, log } = state;
  assert(state.leadership === null, 'a leader installs no snapshot');
  const { current, committed } = configurations;
  configurations.adopt(configuration, log.start.index, log.lastIndex);
  // One of the same index that was not committed may have been another.
  const isNew = current !== committed || committed.index !== configuration.index;
  if (isNew) state.outbox.tell({ type: 'configuration', configuration, committed: true });
  if (configurations.takeRemoval()) state.outbox.tell({ type: 'removed' });
}
