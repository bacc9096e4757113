import { type Call, callsOf } from './calls.js';
import type { Checker } from './checker.js';
import { Findings } from './findings.js';
import { countBelow } from './sorted.js';
import { listOf, seconds, show, valueText } from './values.js';

interface Item {
  readonly name: string;
  enqueue: Call | null;
  dequeue: Call | null;
}

/**
 * A queue into which each element is put at most once: each comes out at most once (twice), only when somebody has put it in
 * (of nobody), and not before (too early); of those put in one after the other the first comes out first (order); and it is not
 * found empty while something certainly is in it (empty). When it was drained at the end, all that was acknowledged has come out
 * (lost), except as many as dequeues of unknown outcome may have taken. A sound and fast test of necessary
 * conditions, not a search for an order.
 */
export function queueChecker(): Checker {
  return {
    name: 'queue',
    check: async (history) => {
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
      const doubt = isDrained
        ? null
        : 'a queue was not drained after the last enqueue: whether anything is lost cannot be told';
      const shown = `${findings.operations} operations on ${queues.size} queues: each element came out once, in order`;
      return findings.verdict(shown, { doubt });
    },
  };
}

class QueueHistory {
  readonly #findings: Findings;
  readonly #items = new Map<string, Item>();
  readonly #empties: Call[] = [];
  /** Dequeues that may have taken an element that nobody was told of. */
  readonly #unknownDequeues: Call[] = [];
  #drained: Call | null = null;
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
      if (outcome === 'ok') this.#lastEnqueue = Math.max(this.#lastEnqueue, call.end);
      return;
    }
    if (outcome === 'info') this.#unknownDequeues.push(call);
    if (outcome !== 'ok') return;
    if (f === 'drain') {
      for (const element of listOf(call, answer)) this.#takeOut(call, element);
      this.#drained = call;
    } else if (answer === null || answer === undefined) {
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
    this.#judgeEmpty(items);
    const isDrained = this.#drained !== null && this.#drained.begin >= this.#lastEnqueue;
    if (isDrained) this.#judgeLost(items);
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
      enqueue !== null && dequeue !== null && dequeue.f === 'dequeue'
        ? [{ name, enqueue, dequeue }]
        : [],
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

  #judgeLost(items: readonly Item[]): void {
    const missing = items.flatMap(({ name, enqueue, dequeue }) =>
      enqueue?.outcome === 'ok' && dequeue === null ? [{ name, enqueue }] : [],
    );
    // Each of unknown outcome may have taken one that was put in before its end; which, nobody knows.
    if (missing.length <= this.#unknownDequeues.length) return;
    const text = `${missing.length} elements never came out, ${missing[0]?.name} among them; ${this.#unknownDequeues.length} dequeues of unknown outcome may each have taken one`;
    this.#findings.note(
      'lost',
      text,
      missing.slice(0, 5).map(({ enqueue }) => enqueue),
    );
  }
}
