import { crc32 } from 'node:zlib';
import type { CoreEvent, DiskWrite, Entry, LogPosition, MemberId } from '../../src/raft/types.js';
import type { StateWrite } from '../../src/statemachine/state-store.js';

/** The log of one member as the writes to its disk made it. */
interface LogModel {
  /** Terms and contents by index - 1. */
  readonly entries: { readonly term: number; readonly hash: number }[];
}

/**
 * The five safety properties of the paper's Figure 3, watched from outside while a cluster runs. Each
 * violation throws at the step that brings it about.
 */
export class Invariants {
  readonly #leaders = new Map<number, MemberId>();
  readonly #logs = new Map<MemberId, LogModel>();
  /** For each (index, term) ever written: its content and the term before it. */
  readonly #created = new Map<string, { readonly hash: number; readonly previousTerm: number }>();
  /** What was applied at each index, by whoever came first. */
  readonly #applied: { readonly term: number; readonly hash: number; readonly effect: number }[] =
    [];
  readonly #leading = new Map<MemberId, number>();
  elections = 0;
  truncations = 0;

  get appliedThrough(): number {
    return this.#applied.length;
  }

  /** The member has started (again); its disk holds a log with these runs of terms. */
  restarted(member: MemberId, terms: readonly LogPosition[], lastIndex: number): void {
    this.#leading.delete(member);
    const entries: LogModel['entries'] = [];
    let run = 0;
    for (let index = 1; index <= lastIndex; index += 1) {
      while (index >= (terms[run + 1]?.index ?? Number.POSITIVE_INFINITY)) run += 1;
      const term = terms[run]?.term ?? 0;
      const created = this.#created.get(`${index}:${term}`);
      check(created !== undefined, `${member} restarts with an entry that nobody wrote: ${index}`);
      entries.push({ term, hash: created?.hash ?? 0 });
    }
    this.#logs.set(member, { entries });
  }

  told(member: MemberId, event: CoreEvent): void {
    if (event.type !== 'role') return;
    this.#leading.delete(member);
    if (event.role !== 'leader') return;
    this.elections += 1;
    this.#leading.set(member, event.term);
    const other = this.#leaders.get(event.term);
    check(
      other === undefined || other === member,
      `Election Safety: ${other} and ${member} both lead term ${event.term}`,
    );
    this.#leaders.set(event.term, member);
    this.#checkLeaderCompleteness(member, event.term);
  }

  /** The member writes to its log (whether or not the disk keeps it). */
  wrote(member: MemberId, write: DiskWrite): void {
    const log = this.#log(member).entries;
    for (const entry of write.entries) {
      if (entry.index <= log.length) {
        this.truncations += 1;
        check(
          !this.#leading.has(member),
          `Leader Append-Only: ${member} leads and overwrites entry ${entry.index}`,
        );
        log.length = entry.index - 1;
      }
      check(entry.index === log.length + 1, `${member} leaves a gap before entry ${entry.index}`);
      const hash = contentHash(entry);
      const previousTerm = log.at(-1)?.term ?? 0;
      const key = `${entry.index}:${entry.term}`;
      const twin = this.#created.get(key);
      // By induction over the index: same entry and same predecessor's term, so same log before it.
      check(
        twin === undefined || (twin.hash === hash && twin.previousTerm === previousTerm),
        `Log Matching: two different logs hold entry ${entry.index} of term ${entry.term}`,
      );
      this.#created.set(key, { hash, previousTerm });
      log.push({ term: entry.term, hash });
    }
  }

  /** The member has applied the entry, with these effects. */
  applied(member: MemberId, index: number, writes: readonly StateWrite[]): void {
    const entry = this.#log(member).entries[index - 1];
    check(entry !== undefined, `${member} applies entry ${index}, which it does not have`);
    if (entry === undefined) return;
    const effect = effectHash(writes);
    const first = this.#applied[index - 1];
    if (first === undefined) {
      check(
        index === this.#applied.length + 1,
        `entry ${index} is applied before the one before it`,
      );
      this.#applied.push({ ...entry, effect });
      return;
    }
    check(
      first.term === entry.term && first.hash === entry.hash,
      `State Machine Safety: ${member} applies another entry at index ${index}`,
    );
    check(first.effect === effect, `${member} applies entry ${index} with another effect`);
  }

  #checkLeaderCompleteness(member: MemberId, term: number): void {
    const log = this.#log(member).entries;
    this.#applied.forEach((committed, i) => {
      if (committed.term >= term) return;
      check(
        log[i]?.term === committed.term && log[i]?.hash === committed.hash,
        `Leader Completeness: ${member} leads term ${term} without committed entry ${i + 1}`,
      );
    });
  }

  #log(member: MemberId): LogModel {
    const log = this.#logs.get(member);
    if (log === undefined) throw new Error(`unknown member ${member}`);
    return log;
  }
}

function contentHash(entry: Entry): number {
  return crc32(entry.payload, crc32(entry.type));
}

function effectHash(writes: readonly StateWrite[]): number {
  let hash = 0;
  for (const { key, value } of writes) {
    hash = crc32(key, hash);
    hash = crc32(value ?? '\u0000removed', hash);
  }
  return hash;
}

function check(condition: boolean, violation: string): void {
  if (!condition) throw new Error(violation);
}
