import type { Findings } from '../findings.js';
import { seconds } from '../values.js';
import type { Ledger, LedgerChange, LedgerRead } from './ledger.js';
import { SubsetSearch, type Vector } from './subset-search.js';

/**
 * By real time alone: each read has all that had been acknowledged before it, and some of what was under way or of unknown outcome by
 * its end, each as a whole; and in comparison with an earlier read, all that was done between the two, and some of what may
 * have counted since. So what one read has seen of unknown outcome a later one sees, too.
 *
 * @returns how many reads could not be judged within the bounds of the search
 */
export function judgeByTime(findings: Findings, ledger: Ledger): number {
  return new TimeJudge(findings, ledger).run();
}

class TimeJudge {
  readonly #findings: Findings;
  readonly #names: readonly string[];
  readonly #reads: readonly LedgerRead[];
  readonly #changes: readonly Item[];
  readonly #search = new SubsetSearch();
  #undecided = 0;

  constructor(findings: Findings, { changes, reads }: Ledger) {
    this.#findings = findings;
    this.#names = [...new Set(changes.flatMap(({ by }) => [...by.keys()]))];
    this.#reads = [...reads].sort((a, b) => a.call.begin - b.call.begin);
    this.#changes = changes
      .map((change) => ({ change, vector: this.#vector(change.by) }))
      .sort((a, b) => a.change.begin - b.change.begin);
  }

  run(): number {
    const start: Earlier = { begin: Number.NEGATIVE_INFINITY, end: Number.NEGATIVE_INFINITY };
    const zero = this.#vector(new Map());
    this.#judge(() => ({ at: start, values: zero, call: null }));
    const earlier = new LatestBefore(this.#reads);
    this.#judge(({ call }) => {
      const read = earlier.before(call.begin);
      if (read === null) return null;
      return { at: read.call, values: this.#vector(read.values), call: read.call };
    });
    return this.#undecided;
  }

  /** Each read in comparison with an earlier state, whose begins never go back. */
  #judge(from: (read: LedgerRead) => Base | null): void {
    let live: Item[] = [];
    let next = 0;
    let settled = this.#vector(new Map());
    for (const read of this.#reads) {
      const base = from(read);
      if (base === null) continue;
      while ((this.#changes[next]?.change.begin ?? Number.POSITIVE_INFINITY) <= read.call.end) {
        live.push(this.#changes[next] as Item);
        next += 1;
      }
      if (base.call === null) {
        // Those that every later read has, too.
        const done = live.filter(({ change }) => change.end < read.call.begin);
        for (const { vector } of done) settled = plus(settled, vector);
        if (done.length > 0) live = live.filter(({ change }) => change.end >= read.call.begin);
      } else {
        const { begin } = base.at;
        live = live.filter(({ change }) => change.end >= begin);
      }
      this.#compare(read, { ...base, values: plus(base.values, settled) }, live);
    }
  }

  #compare(read: LedgerRead, base: Base, live: readonly Item[]): void {
    const { begin, end } = read.call;
    let rest = minus(this.#vector(read.values), base.values);
    const open: Vector[] = [];
    for (const { change, vector } of live) {
      if (change.begin > end) continue;
      if (change.begin > base.at.end && change.end < begin) rest = minus(rest, vector);
      else open.push(vector);
    }
    const found = this.#search.canBeMade(rest, open);
    if (found === null) this.#undecided += 1;
    if (found !== false) return;
    const left = this.#names.flatMap((name, i) => (rest[i] === 0 ? [] : [`${name} ${rest[i]}`]));
    const since = base.call === null ? '' : ` since it was read at ${seconds(base.at.end)}`;
    const text = `what was read at ${seconds(end)} differs${since} by ${left.join(', ')} from what is certain, and none of the ${open.length} that may count, together, come to that`;
    const anomaly = base.call === null ? 'a sum that nothing gives' : 'a change seen, then gone';
    const calls = base.call === null ? [read.call] : [base.call, read.call];
    this.#findings.note(anomaly, text, calls);
  }

  #vector(by: ReadonlyMap<string, number>): Vector {
    return this.#names.map((name) => by.get(name) ?? 0);
  }
}

interface Item {
  readonly change: LedgerChange;
  readonly vector: Vector;
}

interface Earlier {
  readonly begin: number;
  readonly end: number;
}

interface Base {
  readonly at: Earlier;
  readonly values: Vector;
  readonly call: LedgerRead['call'] | null;
}

/** Of reads that had ended before a moment, the one that began last. Moments never go back. */
class LatestBefore {
  readonly #byEnd: readonly LedgerRead[];
  #next = 0;
  #last: LedgerRead | null = null;

  constructor(reads: readonly LedgerRead[]) {
    this.#byEnd = [...reads].sort((a, b) => a.call.end - b.call.end);
  }

  before(time: number): LedgerRead | null {
    for (;;) {
      const read = this.#byEnd[this.#next];
      if (read === undefined || read.call.end >= time) return this.#last;
      if (read.call.begin >= (this.#last?.call.begin ?? Number.NEGATIVE_INFINITY)) {
        this.#last = read;
      }
      this.#next += 1;
    }
  }
}

function plus(a: Vector, b: Vector): Vector {
  return a.map((number, i) => number + (b[i] ?? 0));
}

function minus(a: Vector, b: Vector): Vector {
  return a.map((number, i) => number - (b[i] ?? 0));
}
