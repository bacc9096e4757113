import type { HistoryReader } from '../history/history-reader.js';
import { type Call, callsOf } from './calls.js';
import type { Checker } from './checker.js';
import { Findings } from './findings.js';
import { QueueEvents } from './queue-events.js';
import { countBelow } from './sorted.js';
import { listOf, seconds, show, valueText } from './values.js';
import { WatchIndex } from './watch-index.js';

interface Item {
  readonly name: string;
  enqueue: Call | null;
  dequeue: Call | null;
}

/**
 * A queue into which each element is put at most once: each comes out at most once (twice), only when somebody has put it in
 * (of nobody), and not before (too early); of those put in one after the other the first comes out first (order), also out of a drain; and it
 * is not found empty while something certainly is in it (empty). When it was drained at the end, all that was acknowledged has come out
 * (lost), except what dequeues of unknown outcome may have taken, each one element, and none that others have overtaken before it began.
 * A sound and fast test of necessary conditions, not a search for an order.
 *
 * With the watch of a store that keeps each element under a key of its own below that of the queue it is known what was put in and taken out
 * ({@link QueueEvents}).
 */
export function queueChecker(): Checker {
  return {
    name: 'queue',
    check: async (history, watch) => {
      const findings = new Findings('queue');
      const queues = new Map<string, QueueHistory>();
      for await (const call of callsOf(history)) {
        if (!['enqueue', 'dequeue', 'drain'].includes(call.f)) continue;
        findings.operations += 1;
        let queue = queues.get(call.key);
        if (queue === undefined) {
          queue = new QueueHistory(findings);
          queues.set(call.key, queue);
        }
        queue.take(call);
      }
      let isDrained = true;
      for (const queue of queues.values()) isDrained = queue.judge() && isDrained;
      const undrained = isDrained
        ? null
        : 'a queue was not drained after the last enqueue: whether anything is lost cannot be told';
      const unseen = watch === undefined ? 0 : await judgeByWatch(findings, queues, watch);
      const details = { behindTheWatch: unseen };
      const shown = `${findings.operations} operations on ${queues.size} queues: each element came out once, in order`;
      const beyond = unseen === 0 ? null : `the watch of the store ends before ${unseen} answers`;
      return findings.verdict(shown, { doubt: undrained ?? beyond, details });
    },
  };
}

/** @returns how many answers are of revisions behind its end */
async function judgeByWatch(
  findings: Findings,
  queues: ReadonlyMap<string, QueueHistory>,
  watch: HistoryReader,
): Promise<number> {
  const index = await WatchIndex.load(watch);
  if (index.problem !== null) {
    findings.note('the watch is out of order', index.problem);
    return 0;
  }
  let unseen = 0;
  for (const [key, queue] of queues) {
    const events = new QueueEvents(findings, key, index);
    if (!events.isEmpty) unseen += queue.judgeEvents(events, index.lastRevision);
  }
  return unseen;
}

class QueueHistory {
  readonly #findings: Findings;
  readonly #items = new Map<string, Item>();
  readonly #empties: Call[] = [];
  /** Dequeues that may have taken an element that nobody was told of. */
  readonly #unknownDequeues: Call[] = [];
  /** Enqueues and dequeues. */
  readonly #answered: Call[] = [];
  readonly #drains: Call[] = [];
  /** A drain of unknown outcome may have taken all. */
  #isUnsure = false;
  /** When the last one that was acknowledged was put in; negative: none was. */
  #lastEnqueue = -1;

  constructor(findings: Findings) {
    this.#findings = findings;
  }

  take(call: Call): void {
    const { f, outcome, answer, asked } = call;
    if (f === 'enqueue') {
      const item = this.#item(asked);
      if (item.enqueue !== null) {
        this.#findings.note('bad workload', `${show(asked)} is put in twice`, [item.enqueue, call]);
      }
      item.enqueue = call;
      if (outcome !== 'ok') return;
      this.#lastEnqueue = Math.max(this.#lastEnqueue, call.end);
      this.#answered.push(call);
      return;
    }
    if (outcome === 'info' && f === 'dequeue') this.#unknownDequeues.push(call);
    if (outcome === 'info' && f === 'drain') this.#isUnsure = true;
    if (outcome !== 'ok') return;
    if (f === 'drain') {
      for (const element of listOf(call, answer)) this.#takeOut(call, element);
      this.#drains.push(call);
      return;
    }
    this.#answered.push(call);
    if (answer === null || answer === undefined) {
      this.#empties.push(call);
    } else {
      this.#takeOut(call, answer);
    }
  }

  #item(element: unknown): Item {
    const name = valueText(element);
    let item = this.#items.get(name);
    if (item === undefined) {
      item = { name, enqueue: null, dequeue: null };
      this.#items.set(name, item);
    }
    return item;
  }

  #takeOut(call: Call, element: unknown): void {
    const item = this.#item(element);
    if (item.dequeue !== null) {
      const text = `${item.name} came out at ${seconds(item.dequeue.end)} and at ${seconds(call.end)}`;
      this.#findings.note('twice', text, [item.dequeue, call]);
      return;
    }
    item.dequeue = call;
  }

  /** @returns was all taken out in the end? */
  judge(): boolean {
    const items = [...this.#items.values()];
    for (const item of items) this.#judgeOrigin(item);
    this.#judgeOrder(items);
    if (!this.#isUnsure) this.#judgeEmpty(items);
    for (const drain of this.#drains) this.#judgeDrain(drain);
    const drained = this.#drains.findLast(({ begin }) => begin >= this.#lastEnqueue);
    const isDrained = drained !== undefined && !this.#isUnsure;
    if (isDrained) this.#judgeLost(items, drained);
    return isDrained || this.#lastEnqueue < 0;
  }

  #judgeOrigin({ name, enqueue, dequeue }: Item): void {
    if (dequeue === null) return;
    if (enqueue === null || enqueue.outcome === 'fail') {
      const why = enqueue === null ? 'nobody put it in' : 'it was told not to be put in';
      const calls = enqueue === null ? [dequeue] : [enqueue, dequeue];
      this.#findings.note(
        'of nobody',
        `${name} came out at ${seconds(dequeue.end)}; ${why}`,
        calls,
      );
    } else if (enqueue.begin > dequeue.end) {
      const text = `${name} came out at ${seconds(dequeue.end)}, and was put in from ${seconds(enqueue.begin)} on`;
      this.#findings.note('too early', text, [dequeue, enqueue]);
    }
  }

  /** a was put in before b, and b came out before anybody began to take out a. */
  #judgeOrder(items: readonly Item[]): void {
    const taken = items.flatMap(({ name, enqueue, dequeue }) =>
      enqueue !== null && dequeue !== null ? [{ name, enqueue, dequeue }] : [],
    );
    const byBegin = [...taken].sort((a, b) => a.enqueue.begin - b.enqueue.begin);
    const byEnd = [...taken].sort((a, b) => a.enqueue.end - b.enqueue.end);
    let at = 0;
    /** Of those put in before: the one whose taking out begins last. */
    let latest: (typeof taken)[number] | null = null;
    for (const second of byBegin) {
      for (
        let first = byEnd[at];
        first !== undefined && first.enqueue.end < second.enqueue.begin;
        first = byEnd[at]
      ) {
        if (latest === null || first.dequeue.begin > latest.dequeue.begin) latest = first;
        at += 1;
      }
      if (latest === null || latest.dequeue.begin <= second.dequeue.end) continue;
      const text = `${latest.name} was put in before ${second.name}, and came out after it`;
      const calls = [latest.enqueue, second.enqueue, second.dequeue, latest.dequeue];
      this.#findings.note('order', text, calls);
      return;
    }
  }

  /** Within one drain. */
  #judgeDrain(drain: Call): void {
    let latest: { readonly name: string; readonly enqueue: Call } | null = null;
    for (const element of listOf(drain, drain.answer)) {
      const { name, enqueue } = this.#item(element);
      if (enqueue === null) continue;
      if (latest !== null && enqueue.end < latest.enqueue.begin) {
        const text = `${name} was put in before ${latest.name}, and came out after it`;
        this.#findings.note('order', text, [enqueue, latest.enqueue, drain]);
        return;
      }
      if (latest === null || enqueue.begin > latest.enqueue.begin) latest = { name, enqueue };
    }
  }

  /** @returns how many answers are of revisions behind the end of the watch */
  judgeEvents(events: QueueEvents, lastRevision: number): number {
    const told = this.#answered.filter(({ completion }) => completion?.revision !== undefined);
    // Whoever does not say where it was may have been anywhere.
    if (told.length < this.#answered.length || this.#isUnsure) return 0;
    const seen = told.filter(({ completion }) => (completion?.revision ?? 0) <= lastRevision);
    const drained = this.#drains.flatMap((drain) => listOf(drain, drain.answer));
    events.judge(seen, this.#unknownDequeues, drained);
    return told.length - seen.length;
  }

  /** More had been put in for certain before it began than may have been taken out by its end. */
  #judgeEmpty(items: readonly Item[]): void {
    const puts = items.flatMap(({ enqueue }) => (enqueue?.outcome === 'ok' ? [enqueue.end] : []));
    const takes = items.flatMap(({ enqueue, dequeue }) =>
      dequeue !== null && enqueue?.outcome === 'ok' ? [dequeue.begin] : [],
    );
    takes.push(...this.#unknownDequeues.map(({ begin }) => begin));
    puts.sort((a, b) => a - b);
    takes.sort((a, b) => a - b);
    for (const call of this.#empties) {
      const isIn = countBelow(puts, call.begin);
      const isOut = countBelow(takes, call.end, true);
      if (isIn <= isOut) continue;
      const text = `it was found empty at ${seconds(call.end)}, when ${isIn} had been put in and at most ${isOut} taken out`;
      this.#findings.note('empty', text, [call]);
    }
  }

  #judgeLost(items: readonly Item[], drained: Call): void {
    const overtaken = this.#overtaken(items);
    const missing = items
      .flatMap(({ name, enqueue, dequeue }) =>
        enqueue?.outcome === 'ok' && dequeue === null ? [{ name, enqueue }] : [],
      )
      .map((one) => ({ ...one, until: Math.min(overtaken(one.enqueue), drained.end) }))
      .sort((a, b) => a.until - b.until);
    const begins = this.#unknownDequeues.map(({ begin }) => begin).sort((a, b) => a - b);
    // Each of unknown outcome may have taken one; which, nobody knows, but before it was overtaken.
    const at = missing.findIndex(({ until }, i) => countBelow(begins, until, true) <= i);
    const first = missing[at];
    if (first === undefined) return;
    const takers = countBelow(begins, first.until, true);
    const text = `${missing.length} elements never came out, ${first.name} among them; of those that must have come out by ${seconds(first.until)} ${takers} dequeues of unknown outcome may each have taken one, and ${at + 1} are missing`;
    this.#findings.note(
      'lost',
      text,
      missing.slice(Math.max(0, at - 4), at + 1).map(({ enqueue }) => enqueue),
    );
  }

  /** When the first of those that were put in behind it had come out. */
  #overtaken(items: readonly Item[]): (enqueue: Call) => number {
    const later = items
      .flatMap(({ enqueue, dequeue }) =>
        enqueue !== null && dequeue?.f === 'dequeue'
          ? [{ begin: enqueue.begin, end: dequeue.end }]
          : [],
      )
      .sort((a, b) => a.begin - b.begin);
    const begins = later.map(({ begin }) => begin);
    const ends = new Array<number>(later.length + 1).fill(Number.POSITIVE_INFINITY);
    for (let at = later.length - 1; at >= 0; at -= 1) {
      ends[at] = Math.min(ends[at + 1] as number, (later[at] as { end: number }).end);
    }
    return ({ end }) => ends[countBelow(begins, end, true)] as number;
  }
}
