import type { Call } from '../calls.js';
import { type Change, ChangeBounds } from '../change-bounds.js';
import type { Findings } from '../findings.js';
import { badValue, fieldsOf, listOf, numberOf, seconds, show, valueText } from '../values.js';
import { type Disks, type Once, OwnChanges } from './own-changes.js';

/** What was done to one cell, and how it was read. */
export class CellHistory {
  readonly #findings: Findings;
  readonly #key: string;
  readonly #disks: Disks;
  readonly #changes = new Map<string, Once>();
  readonly #reads: Call[] = [];
  readonly finals: Call[] = [];
  /** Ends of what was acknowledged: a final read must begin behind the last of them. */
  #lastChange = Number.NEGATIVE_INFINITY;

  constructor(findings: Findings, key: string, disks: Disks) {
    this.#findings = findings;
    this.#key = key;
    this.#disks = disks;
  }

  take(call: Call): void {
    if (call.f === 'read' || call.f === 'final') {
      if (call.outcome !== 'ok') return;
      (call.f === 'read' ? this.#reads : this.finals).push(call);
      return;
    }
    const { id, value } = fieldsOf(call, call.asked);
    if (typeof id !== 'string' && typeof id !== 'number') {
      throw badValue(call, call.asked, '{id, value}');
    }
    if (call.outcome === 'ok') this.#lastChange = Math.max(this.#lastChange, call.end);
    const known = this.#changes.get(`${id}`);
    if (known === undefined) {
      this.#changes.set(`${id}`, { id: `${id}`, f: call.f, value, calls: [call] });
    } else {
      known.calls.push(call);
    }
  }

  judge(): void {
    this.#judgeConvergence();
    const kinds = new Set([...this.#changes.values()].map(({ f }) => f));
    if (kinds.has('add') || kinds.has('take')) this.#judgeNumber(kinds.has('take'));
    else if (kinds.size > 0) this.#judgeCollection();
  }

  /** @returns those of these replicas that do not tell what the cell has come to; `null`: nobody does */
  silent(nodes: Iterable<string>): readonly string[] | null {
    const told = this.finals.filter(({ begin }) => begin > this.#lastChange);
    if (told.length === 0) return null;
    const by = new Set(told.map(nodeOf));
    return [...nodes].filter((node) => !by.has(node));
  }

  #judgeConvergence(): void {
    const [first] = this.finals;
    if (first === undefined) return;
    const other = this.finals.find(({ answer }) => valueText(answer) !== valueText(first.answer));
    if (other === undefined) return;
    const text = `"${this.#key}" is ${show(first.answer)} at ${nodeOf(first)}, and ${show(other.answer)} at ${nodeOf(other)}`;
    this.#findings.note('no convergence', text, [first, other]);
  }

  /** Whatever a side has seen, it is no more than has been done; in the end it is at least what was acknowledged. */
  #judgeNumber(isEscrow: boolean): void {
    const changes = [...this.#changes.values()];
    const bounds = new ChangeBounds(changes.flatMap(changeOf));
    const own = new OwnChanges(changes, this.#disks, amountOf);
    for (const call of this.#reads) {
      own.count(call);
      this.#judgeSeen(call, bounds, own);
    }
    for (const call of [...this.#reads, ...this.finals]) {
      const value = numberOf(call, call.answer);
      const when = `"${this.#key}" was read as ${value} at ${seconds(call.end)}`;
      if (isEscrow && value < 0) this.#findings.note('below 0', when, [call]);
      if (call.f !== 'final') continue;
      const { low, high } = bounds.of(call);
      if (value >= low && value <= high) continue;
      const anomaly = value < low ? 'lost' : 'counts twice';
      this.#findings.note(anomaly, `${when}, and must be from ${low} to ${high}`, [call]);
    }
    if (isEscrow) this.#judgeEscrow(changes);
  }

  /** A read is of all that its replica has acknowledged, and of some of what others were asked for by then. */
  #judgeSeen(read: Call, bounds: ChangeBounds, own: OwnChanges): void {
    const { up, down } = own.sumsBefore(read);
    const { low, high } = bounds.of({ begin: Number.NEGATIVE_INFINITY, end: read.end });
    const value = numberOf(read, read.answer);
    if (value >= up + low && value <= high + down) return;
    const when = `"${this.#key}" was read as ${value} at ${nodeOf(read)}, ${seconds(read.end)},`;
    if (value < low || value > high) {
      const text = `${when} when all that had been asked for was from ${low} to ${high}`;
      this.#findings.note('of nobody', text, [read]);
      return;
    }
    const text = `${when} which had acknowledged ${up} added and ${-down} taken, so that it must be from ${up + low} to ${high + down}`;
    const last = own.before(read).at(-1);
    this.#findings.note('own change not shown', text, [...(last?.calls ?? []), read]);
  }

  /** At no moment more has been taken, for certain, than may have been added before. */
  #judgeEscrow(changes: readonly Once[]): void {
    const adds = new ChangeBounds(
      changes.filter(({ f }) => f === 'add').flatMap((one) => changeOf(one)),
    );
    const takes = changes
      .filter(({ f, calls }) => f === 'take' && calls.some(isTaken) && !calls.some(isDenied))
      .flatMap(({ value, calls }) => {
        const first = calls.find(isTaken) as Call;
        return [{ by: numberOf(first, value), call: first }];
      })
      .sort((a, b) => a.call.end - b.call.end);
    let taken = 0;
    for (const { by, call } of takes) {
      taken += by;
      const { high } = adds.of({ begin: 0, end: call.end });
      if (taken <= high) continue;
      const text = `by ${seconds(call.end)} ${taken} had been taken from "${this.#key}", and at most ${high} added`;
      this.#findings.note('more taken than there was', text, [call]);
      return;
    }
  }

  #judgeCollection(): void {
    const own = new OwnChanges(this.#changes.values(), this.#disks);
    const byValue = new Map<string, Call[]>();
    for (const { value, calls } of this.#changes.values()) {
      const name = valueText(value);
      byValue.set(name, [...(byValue.get(name) ?? []), ...calls]);
    }
    for (const call of [...this.#reads, ...this.finals]) {
      const items = listOf(call, call.answer).map(valueText);
      const there = new Set(items);
      const when = `"${this.#key}" as read at ${nodeOf(call)}, ${seconds(call.end)},`;
      if (there.size < items.length) {
        const twice = items.find((item, at) => items.indexOf(item) !== at);
        this.#findings.note('counts twice', `${when} has ${twice} twice`, [call]);
      }
      for (const item of there) {
        const calls = byValue.get(item) ?? [];
        if (calls.some(({ outcome, begin }) => outcome !== 'fail' && begin <= call.end)) continue;
        this.#findings.note('of nobody', `${when} has ${item}`, [...calls, call]);
      }
      if (call.f !== 'final') {
        own.count(call);
        const hidden = own.before(call).find(({ value }) => !there.has(valueText(value)));
        if (hidden === undefined) continue;
        const text = `${when} does not have ${show(hidden.value)}, which ${nodeOf(call)} had acknowledged`;
        this.#findings.note('own change not shown', text, [...hidden.calls, call]);
        continue;
      }
      for (const [item, calls] of byValue) {
        const isCertain = calls.some(({ outcome, end }) => outcome === 'ok' && end < call.begin);
        if (!isCertain || there.has(item)) continue;
        this.#findings.note('lost', `${when} does not have ${item}`, [...calls, call]);
      }
    }
  }
}

function isTaken({ outcome, answer }: Call): boolean {
  return outcome === 'ok' && answer === true;
}

/** Asked on another side under the same key, it may have been answered otherwise: one of the two counts. */
function isDenied({ outcome, answer }: Call): boolean {
  return outcome === 'ok' && answer === false;
}

/** What one that counts comes to. */
function amountOf({ f, value, calls }: Once): number {
  const amount = numberOf(calls[0] as Call, value);
  if (f !== 'take') return amount;
  return calls.some(isDenied) ? 0 : -amount;
}

function changeOf({ f, value, calls }: Once): Change[] {
  const first = calls[0] as Call;
  const amount = numberOf(first, value);
  const isTake = f === 'take';
  const possible = calls.filter((call) => call.outcome !== 'fail' && !isDenied(call));
  if (possible.length === 0) return [];
  const isCertain = !calls.some(isDenied);
  return [
    {
      by: isTake ? -amount : amount,
      begin: Math.min(...possible.map(({ begin }) => begin)),
      end: isCertain ? Math.min(...possible.map(({ end }) => end)) : Number.POSITIVE_INFINITY,
    },
  ];
}

/** Who answered. */
export function nodeOf({ invoke, completion }: Call): string {
  return completion?.node ?? invoke.node ?? 'a replica';
}
