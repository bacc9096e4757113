import type { FaultRecord } from '../history/operation.js';
import { type Call, callsOf } from './calls.js';
import type { Checker } from './checker.js';
import { calmTime, type FaultWindow, windowsOf } from './fault-windows.js';
import { Findings } from './findings.js';
import { numberOf, seconds } from './values.js';

export interface LockOptions {
  /**
   * Nobody believes to hold a lock that another one believes to hold. That leans on clocks, so it is not demanded (`false`) of runs that set
   * clocks wrong or stop clients. Default: true.
   */
  readonly isExclusive?: boolean;
  /** Time without faults after which one that nobody holds any more must not be refused. Default: 20 s. */
  readonly freeWithinMs?: number;
  readonly faults?: readonly FaultRecord[];
}

/** For how long somebody believed to hold the lock, as far as the history shows. */
interface Held {
  readonly token: number;
  readonly acquire: Call;
  /** The last moment at which it acted as its holder. */
  until: number;
  last: Call;
  /** It has given it back, or was told that it is lost: what it does then it does not do as its holder. */
  isOver: boolean;
  /** Nobody keeps it any more from here on; infinity: it may be held for ever. */
  over: number;
}

/**
 * Locks with fencing tokens (Kleppmann, "How to do distributed locking", 2016): tokens are unique and rise with every holder, in real
 * time; no write under a token succeeds when one under a higher token has succeeded before it began, or comes behind it in the order of
 * revisions; no two hold at one time by their own belief; and one that all have given back or lost is not refused for longer than leases
 * last (never free), counted in time without faults.
 */
export function lockChecker(options: LockOptions = {}): Checker {
  const { isExclusive = true, freeWithinMs = 20_000, faults = [] } = options;
  const windows = windowsOf(faults);
  return {
    name: 'lock',
    check: async (history) => {
      const findings = new Findings('lock');
      const locks = new Map<string, LockHistory>();
      for await (const call of callsOf(history)) {
        if (!['acquire', 'release', 'lost', 'fenced-write'].includes(call.f)) continue;
        findings.operations += 1;
        let lock = locks.get(call.key);
        if (lock === undefined) {
          lock = new LockHistory(findings, call.key);
          locks.set(call.key, lock);
        }
        lock.take(call);
      }
      let holders = 0;
      for (const lock of locks.values()) {
        holders += lock.judge(isExclusive);
        lock.judgeFree(windows, freeWithinMs * 1e6);
      }
      const doubt = holders === 0 ? 'nobody got a lock' : null;
      const how = isExclusive ? 'one at a time, with rising tokens' : 'with rising tokens';
      const shown = `${holders} holders of ${locks.size} locks, ${how}`;
      return findings.verdict(shown, { doubt, details: { holders, isExclusive } });
    },
  };
}

class LockHistory {
  readonly #findings: Findings;
  readonly #key: string;
  readonly #held = new Map<number, Held>();
  /** Of unknown outcome: they may have got it, and keep it for no longer than its lease lasts. */
  readonly #unsure: Call[] = [];
  readonly #refused: Call[] = [];
  readonly #writes: { readonly token: number; readonly call: Call }[] = [];

  constructor(findings: Findings, key: string) {
    this.#findings = findings;
    this.#key = key;
  }

  take(call: Call): void {
    if (call.f === 'acquire') {
      if (call.outcome === 'ok') this.#acquired(call, numberOf(call, call.answer));
      else if (call.outcome === 'info') this.#unsure.push(call);
      else if (call.completion?.error === 'HELD') this.#refused.push(call);
      return;
    }
    const token = numberOf(call, call.asked);
    const held = this.#held.get(token);
    if (held !== undefined && !held.isOver) {
      held.until = Math.max(held.until, call.begin);
      held.last = call;
      held.isOver = call.f === 'release' || call.f === 'lost';
      // A release that failed has changed nothing.
      if (held.isOver && (call.f === 'lost' || call.outcome !== 'fail')) held.over = endOf(call);
    }
    if (call.f === 'fenced-write' && call.outcome === 'ok') this.#writes.push({ token, call });
  }

  #acquired(call: Call, token: number): void {
    const other = this.#held.get(token);
    if (other !== undefined) {
      const text = `lock "${this.#key}" was given to two with token ${token}`;
      this.#findings.note('a token twice', text, [other.acquire, call]);
      return;
    }
    this.#held.set(token, {
      ...{ token, acquire: call, until: call.end, last: call },
      ...{ isOver: false, over: Number.POSITIVE_INFINITY },
    });
  }

  /** @returns how many have held it */
  judge(isExclusive: boolean): number {
    const holders = [...this.#held.values()];
    this.#judgeRise(holders);
    this.#judgeWrites();
    if (isExclusive) this.#judgeExclusive(holders);
    return holders.length;
  }

  /** @param within nanoseconds without faults */
  judgeFree(windows: readonly FaultWindow[], within: number): void {
    const claims = this.#claims();
    let at = 0;
    let free = Number.NEGATIVE_INFINITY;
    for (const call of [...this.#refused].sort((a, b) => a.end - b.end)) {
      for (let claim = claims[at]; claim !== undefined && claim.begin < call.end; ) {
        free = Math.max(free, claim.over);
        at += 1;
        claim = claims[at];
      }
      if (!Number.isFinite(free) || call.begin <= free) continue;
      const calm = calmTime(windows, free, call.begin);
      if (calm <= within) continue;
      const text = `lock "${this.#key}" was refused at ${seconds(call.end)}, and nobody held it from ${seconds(free)} on, ${seconds(calm)} of time without faults before`;
      this.#findings.note('never free', text, [call]);
      return;
    }
  }

  /** Who may have had it, by when they asked, and when that was over. */
  #claims(): { readonly begin: number; readonly over: number }[] {
    const claims = this.#unsure.map((call) => ({ begin: call.begin, over: endOf(call) }));
    let next = Number.POSITIVE_INFINITY;
    for (const held of [...this.#held.values()].sort((a, b) => b.token - a.token)) {
      // Who comes behind it has it alone.
      claims.push({ begin: held.acquire.begin, over: Math.min(held.over, next) });
      next = Math.min(next, held.acquire.end);
    }
    return claims.sort((a, b) => a.begin - b.begin);
  }

  #judgeRise(holders: readonly Held[]): void {
    const byBegin = [...holders].sort((a, b) => a.acquire.begin - b.acquire.begin);
    const byEnd = [...holders].sort((a, b) => a.acquire.end - b.acquire.end);
    let at = 0;
    let highest: Held | null = null;
    for (const held of byBegin) {
      for (
        let one = byEnd[at];
        one !== undefined && one.acquire.end < held.acquire.begin;
        one = byEnd[at]
      ) {
        if (highest === null || one.token > highest.token) highest = one;
        at += 1;
      }
      if (highest === null || highest.token < held.token) continue;
      const text = `lock "${this.#key}" was given with token ${held.token} at ${seconds(held.acquire.end)}, after token ${highest.token}`;
      this.#findings.note('a token that does not rise', text, [highest.acquire, held.acquire]);
    }
  }

  #judgeWrites(): void {
    const byBegin = [...this.#writes].sort((a, b) => a.call.begin - b.call.begin);
    const byEnd = [...this.#writes].sort((a, b) => a.call.end - b.call.end);
    let at = 0;
    let highest: (typeof byEnd)[number] | null = null;
    for (const write of byBegin) {
      for (
        let one = byEnd[at];
        one !== undefined && one.call.end < write.call.begin;
        one = byEnd[at]
      ) {
        if (highest === null || one.token > highest.token) highest = one;
        at += 1;
      }
      if (highest !== null && highest.token > write.token) this.#former(highest, write);
    }
    const byRevision = this.#writes
      .filter(({ call }) => call.completion?.revision !== undefined)
      .sort((a, b) => (a.call.completion?.revision ?? 0) - (b.call.completion?.revision ?? 0));
    byRevision.forEach((write, n) => {
      const before = byRevision[n - 1];
      if (before !== undefined && before.token > write.token) this.#former(before, write);
    });
  }

  #former(
    higher: { readonly token: number; readonly call: Call },
    lower: { readonly token: number; readonly call: Call },
  ): void {
    const text = `a write under token ${lower.token} of lock "${this.#key}" succeeded at ${seconds(lower.call.end)}, behind one under token ${higher.token}`;
    this.#findings.note('a former holder wrote', text, [higher.call, lower.call]);
  }

  #judgeExclusive(holders: readonly Held[]): void {
    const inOrder = [...holders].sort((a, b) => a.acquire.end - b.acquire.end);
    let longest: Held | null = null;
    for (const held of inOrder) {
      if (longest !== null && longest.until > held.acquire.end) {
        const text = `lock "${this.#key}" was held with token ${longest.token} until ${seconds(longest.until)}, and given with token ${held.token} at ${seconds(held.acquire.end)}`;
        const calls = [longest.acquire, held.acquire, longest.last];
        this.#findings.note('held by two', text, calls);
      }
      if (longest === null || held.until > longest.until) longest = held;
    }
  }
}

/** When its client was told how it ended, also that nobody knows; infinity: it never was. */
function endOf({ completion }: Call): number {
  return completion?.time ?? Number.POSITIVE_INFINITY;
}
