import type { HistoryReader } from '../history/history-reader.js';
import type { FaultRecord, HistoryOperation } from '../history/operation.js';
import { type Call, callsOf, linesOfCalls } from './calls.js';
import type { Checker } from './checker.js';
import { calmTime, type FaultWindow, windowsOf } from './fault-windows.js';
import { Findings } from './findings.js';
import { numberOf, seconds, valueText } from './values.js';

export interface LeaseOptions {
  /** Share of its time by which a lease may end early because a clock runs too fast. Default: 0.1. */
  readonly clockShare?: number;
  /** Time without faults after which the keys of a lease that has run out must be gone. Default: 10 s. */
  readonly goneWithinMs?: number;
  readonly faults?: readonly FaultRecord[];
}

interface Lease {
  readonly name: string;
  ttl: number;
  /** Grant and keep-alives that were acknowledged. */
  readonly renewals: Call[];
  /** One whose outcome is not known may have made it longer. */
  isUnsure: boolean;
  revokedFrom: number;
  /** The end of the first revocation that was acknowledged; infinity: none was. */
  revokedBy: number;
  /** When each of its keys was certainly on it. */
  readonly keys: Map<string, number>;
}

/** That the key of a lease was gone by some moment. */
interface Gone {
  readonly key: string;
  readonly time: number;
  readonly revision: number | undefined;
  readonly lines: readonly HistoryOperation[];
}

/**
 * Leases: no key of one goes before its time to live has passed since the *begin* of the last keep-alive that was acknowledged (early; a share
 * is taken off for clocks that run too fast), also across changes of leader; all its keys go at one revision (apart); they are gone
 * within a bound after the *end* of the last keep-alive, counted in time without faults (late), and at once when it was revoked
 * (there after its end); what has ended is not kept alive any more (alive after its end); and a key that was gone does not come back
 * by itself (back again).
 *
 * That keys are gone is told by the watch, or by reads.
 */
export function leaseChecker(options: LeaseOptions = {}): Checker {
  return {
    name: 'lease',
    check: async (history, watch) => {
      const judge = new LeaseJudge(options);
      await judge.readHistory(history);
      if (watch !== undefined) await judge.readWatch(watch);
      return judge.verdict();
    },
  };
}

class LeaseJudge {
  readonly #findings = new Findings('lease');
  readonly #leases = new Map<string, Lease>();
  readonly #leaseOf = new Map<string, Lease>();
  readonly #gone: Gone[] = [];
  /** By key: what may have put it there. */
  readonly #attaches = new Map<string, Call[]>();
  /** By key: the first read that certainly did not find it any more. */
  readonly #missed = new Map<string, Call>();
  readonly #reads: Call[] = [];
  readonly #windows: readonly FaultWindow[];
  readonly #clockShare: number;
  readonly #goneWithin: number;
  #late = 0;

  constructor({ clockShare = 0.1, goneWithinMs = 10_000, faults = [] }: LeaseOptions) {
    this.#clockShare = clockShare;
    this.#goneWithin = goneWithinMs * 1e6;
    this.#windows = windowsOf(faults);
  }

  async readHistory(history: HistoryReader): Promise<void> {
    for await (const call of callsOf(history)) {
      if (call.f === 'grant') this.#granted(call);
      else if (call.f === 'get') this.#read(call);
      else if (['keep-alive', 'revoke', 'attach'].includes(call.f)) this.#take(call);
      else continue;
      this.#findings.operations += 1;
    }
  }

  #granted(call: Call): void {
    if (call.outcome !== 'ok') return;
    const lease = this.#lease(call.answer);
    lease.ttl = numberOf(call, call.asked) * 1e6;
    lease.renewals.push(call);
  }

  #lease(value: unknown): Lease {
    const name = valueText(value);
    let lease = this.#leases.get(name);
    if (lease === undefined) {
      lease = {
        name,
        ttl: Number.NaN,
        renewals: [],
        isUnsure: false,
        revokedFrom: Number.POSITIVE_INFINITY,
        revokedBy: Number.POSITIVE_INFINITY,
        keys: new Map(),
      };
      this.#leases.set(name, lease);
    }
    return lease;
  }

  #take(call: Call): void {
    const { f, outcome, key, asked, begin } = call;
    const lease = this.#lease(asked);
    if (outcome === 'fail') return;
    if (f === 'revoke') {
      lease.revokedFrom = Math.min(lease.revokedFrom, begin);
      lease.revokedBy = Math.min(lease.revokedBy, call.end);
    } else if (f === 'attach') {
      lease.keys.set(key, call.end);
      this.#leaseOf.set(key, lease);
      this.#attaches.set(key, [...(this.#attaches.get(key) ?? []), call]);
    } else if (outcome === 'ok') {
      lease.renewals.push(call);
      if (begin <= lease.revokedBy) return;
      const text = `lease ${lease.name} was kept alive at ${seconds(call.end)}, and had been revoked at ${seconds(lease.revokedBy)}`;
      this.#findings.note('alive after its end', text, [call]);
    } else lease.isUnsure = true;
  }

  #read(call: Call): void {
    if (call.outcome !== 'ok' || (call.invoke.level ?? 'linearizable') !== 'linearizable') return;
    this.#reads.push(call);
  }

  async readWatch(watch: HistoryReader): Promise<void> {
    const puts = new Map<string, number>();
    const ends = new Map<string, HistoryOperation>();
    for await (const line of watch) {
      const { f, key, value, time, revision } = line;
      if (f !== 'event' || key === undefined || !this.#leaseOf.has(key)) continue;
      if (value === null || value === undefined) {
        this.#gone.push({ key, time, revision, lines: [line] });
        ends.set(key, line);
        continue;
      }
      const count = (puts.get(key) ?? 0) + 1;
      puts.set(key, count);
      const end = ends.get(key);
      if (end === undefined || count <= (this.#attaches.get(key) ?? []).length) continue;
      const text = `"${key}" was gone at revision ${end.revision}, and there again at ${revision}`;
      this.#findings.noteLines('back again', text, [end, line]);
    }
  }

  verdict() {
    for (const call of this.#reads) this.#judgeRead(call);
    for (const gone of this.#gone) this.#judgeGone(gone);
    this.#judgeTogether();
    const leasesOf = (gone: readonly Gone[]): number =>
      new Set(gone.map(({ key }) => this.#leaseOf.get(key)?.name)).size;
    const ended = leasesOf(this.#gone);
    const lasting = this.#lasting();
    const expired = leasesOf(this.#gone.filter((gone) => !this.#isRevoked(gone)));
    const details = {
      leases: this.#leases.size,
      ended,
      expired,
      lasting,
      readsAfterTheEnd: this.#late,
      clockShare: this.#clockShare,
      goneWithinMs: this.#goneWithin / 1e6,
    };
    let doubt: string | null = null;
    if (expired === 0) doubt = 'no lease has ended but by being revoked';
    else if (lasting > 0) doubt = `of ${lasting} keys on leases nothing tells that they have gone`;
    const shown = `${ended} of ${this.#leases.size} leases ended, ${ended - expired} of them revoked, none early, each with all its keys`;
    return this.#findings.verdict(shown, { doubt, details });
  }

  /** A key that was put on its lease before the read began is gone, or still there. */
  #judgeRead(call: Call): void {
    const lease = this.#leaseOf.get(call.key);
    if (lease === undefined) return;
    if (call.answer === null || call.answer === undefined) {
      if (call.begin < (lease.keys.get(call.key) ?? 0)) return;
      if (!this.#missed.has(call.key)) this.#missed.set(call.key, call);
      const lines = linesOfCalls([call]);
      this.#gone.push({ key: call.key, time: call.end, revision: undefined, lines });
      return;
    }
    this.#judgePresence(call, lease);
    const last = latest(lease.renewals, 'end');
    if (last === undefined || lease.isUnsure || valueText(call.answer) !== lease.name) return;
    const endsBy = last.end + lease.ttl;
    if (call.begin <= endsBy) return;
    this.#late += 1;
    const calm = calmTime(this.#windows, endsBy, call.begin);
    if (calm <= this.#goneWithin) return;
    const text = `"${call.key}" was still there at ${seconds(call.begin)}, when lease ${lease.name} had run out by ${seconds(endsBy)}, ${seconds(calm)} of time without faults before`;
    this.#findings.note('late', text, [last, call]);
  }

  /** What has gone, or must have, is not there. */
  #judgePresence(call: Call, lease: Lease): void {
    const what = `"${call.key}" was there at ${seconds(call.begin)}`;
    if (lease.revokedBy < call.begin && valueText(call.answer) === lease.name) {
      const text = `${what}, and lease ${lease.name} had been revoked at ${seconds(lease.revokedBy)}`;
      this.#findings.note('there after its end', text, [call]);
    }
    const missed = this.#missed.get(call.key);
    if (missed === undefined || missed.end >= call.begin) return;
    const attaches = this.#attaches.get(call.key) ?? [];
    if (attaches.some(({ end }) => end > missed.begin)) return;
    this.#findings.note('back again', `${what}, and gone at ${seconds(missed.end)}`, [
      missed,
      call,
    ]);
  }

  /** Keys that were certainly put on a lease, and that nobody has seen gone. */
  #lasting(): number {
    const gone = new Set(this.#gone.map(({ key }) => key));
    const attached = [...this.#attaches].filter(([, all]) =>
      all.some(({ outcome }) => outcome === 'ok'),
    );
    return attached.filter(([key]) => !gone.has(key)).length;
  }

  /** For certain. */
  #isRevoked({ key, time }: Gone): boolean {
    const lease = this.#leaseOf.get(key);
    return lease !== undefined && lease.revokedFrom <= time && Number.isFinite(lease.revokedBy);
  }

  #judgeGone({ key, time, lines }: Gone): void {
    const lease = this.#leaseOf.get(key);
    if (lease === undefined || lease.revokedFrom <= time || Number.isNaN(lease.ttl)) return;
    // What was acknowledged later shows that the lease lived on.
    const last = latest(lease.renewals, 'begin');
    if (last === undefined) return;
    if (last.begin > time) {
      const text = `lease ${lease.name} was kept alive at ${seconds(last.end)}, when its key "${key}" had gone by ${seconds(time)}`;
      this.#findings.noteLines('alive after its end', text, [...lines, ...linesOfCalls([last])]);
      return;
    }
    const notBefore = last.begin + lease.ttl * (1 - this.#clockShare);
    if (time >= notBefore) return;
    const text = `"${key}" was gone by ${seconds(time)}; lease ${lease.name} was kept alive from ${seconds(last.begin)} on, for ${seconds(lease.ttl)}`;
    this.#findings.noteLines('early', text, [...linesOfCalls([last]), ...lines]);
  }

  #judgeTogether(): void {
    const revisions = new Map<string, { readonly gone: Gone; readonly lease: Lease }>();
    for (const gone of this.#gone) {
      const lease = this.#leaseOf.get(gone.key);
      if (lease === undefined || gone.revision === undefined) continue;
      const other = revisions.get(lease.name);
      if (other === undefined) revisions.set(lease.name, { gone, lease });
      else if (other.gone.revision !== gone.revision) {
        const text = `"${other.gone.key}" went at revision ${other.gone.revision} and "${gone.key}" at ${gone.revision}, both on lease ${lease.name}`;
        this.#findings.noteLines('apart', text, [...other.gone.lines, ...gone.lines]);
      }
    }
  }
}

function latest(calls: readonly Call[], moment: 'begin' | 'end'): Call | undefined {
  return calls.reduce<Call | undefined>(
    (best, call) => (best === undefined || call[moment] > best[moment] ? call : best),
    undefined,
  );
}
