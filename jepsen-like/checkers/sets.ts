import { type Call, callsOf } from './calls.js';
import type { Checker } from './checker.js';
import { Findings } from './findings.js';
import { ToldInTheEnd } from './told-in-the-end.js';
import { listOf, seconds, show, valueText } from './values.js';

interface Element {
  add: Call | null;
  /** The first end of a removal that may have taken it away, and the begin of the first one that did. */
  readonly removes: Call[];
}

interface Read {
  readonly call: Call;
  readonly elements: ReadonlySet<string>;
}

/**
 * A set into which each element is added at most once, and which reads see whole. Every read has all elements whose addition had been
 * acknowledged before it began (lost), none that nobody has added by its end (of nobody; also when the addition was told to have
 * failed), none whose removal had been acknowledged before it began (came back; also when one that had been there is not, and later is), and each once. What one read has seen a later one
 * sees, too (seen, then gone), unless somebody may have removed it.
 */
export function setChecker(): Checker {
  return {
    name: 'set',
    check: async (history) => {
      const findings = new Findings('set');
      const sets = new Map<string, SetHistory>();
      const told = new ToldInTheEnd();
      for await (const call of callsOf(history)) {
        if (!['add', 'remove', 'read'].includes(call.f)) continue;
        findings.operations += 1;
        if (call.f === 'read') told.read(call);
        else told.wrote(call);
        let set = sets.get(call.key);
        if (set === undefined) {
          set = new SetHistory(findings);
          sets.set(call.key, set);
        }
        set.take(call);
      }
      for (const set of sets.values()) set.judge();
      const reads = [...sets.values()].reduce((sum, set) => sum + set.reads, 0);
      const doubt = told.doubt('the set');
      const shown = `${findings.operations} operations on ${sets.size} sets: nothing is lost, and nothing is there that nobody added`;
      return findings.verdict(shown, { doubt, details: { reads } });
    },
  };
}

class SetHistory {
  readonly #findings: Findings;
  readonly #elements = new Map<string, Element>();
  readonly #reads: Read[] = [];

  constructor(findings: Findings) {
    this.#findings = findings;
  }

  get reads(): number {
    return this.#reads.length;
  }

  take(call: Call): void {
    if (call.f === 'read') {
      if (call.outcome === 'ok') this.#takeRead(call);
      return;
    }
    const name = valueText(call.asked);
    const element = this.#elements.get(name) ?? { add: null, removes: [] };
    this.#elements.set(name, element);
    if (call.f === 'add') {
      if (element.add !== null) {
        this.#findings.note('bad workload', `${show(call.asked)} is added twice`, [call]);
      }
      element.add = call;
    } else if (call.outcome !== 'fail') {
      element.removes.push(call);
    }
  }

  #takeRead(call: Call): void {
    const list = listOf(call, call.answer);
    const elements = new Set(list.map(valueText));
    if (elements.size < list.length) {
      const twice = list.find((one, at) => list.indexOf(one) !== at) ?? list[0];
      this.#findings.note(
        'twice',
        `a read that ended at ${seconds(call.end)} has ${show(twice)} twice`,
        [call],
      );
    }
    this.#reads.push({ call, elements });
  }

  judge(): void {
    this.#reads.sort((a, b) => a.call.end - b.call.end);
    for (const read of this.#reads) this.#judgeStrangers(read);
    for (const [name, element] of this.#elements) this.#judgeElement(name, element);
  }

  #judgeStrangers({ call, elements }: Read): void {
    for (const name of elements) {
      const add = this.#elements.get(name)?.add ?? null;
      if (add !== null && add.outcome !== 'fail' && add.begin <= call.end) continue;
      const why =
        add === null
          ? 'nobody added'
          : add.outcome === 'fail'
            ? 'was not added'
            : 'was added later';
      const text = `a read that ended at ${seconds(call.end)} has ${name}, which ${why}`;
      this.#findings.note('of nobody', text, add === null ? [call] : [add, call]);
    }
  }

  #judgeElement(name: string, { add, removes }: Element): void {
    if (add === null) return;
    const removedFrom = Math.min(...removes.map(({ begin }) => begin), Number.POSITIVE_INFINITY);
    const removal = removes
      .filter(({ outcome, begin }) => outcome === 'ok' && begin > add.end)
      .sort((a, b) => a.end - b.end)[0];
    /** By whom it is known to be there. */
    let witness = add.outcome === 'ok' ? add : null;
    /** By whom it is known to have been removed, by whomever. */
    let gone: Call | null = null;
    for (const { call, elements } of this.#reads) {
      if (elements.has(name)) {
        if (removal !== undefined && removal.end < call.begin) {
          const text = `${name} was removed at ${seconds(removal.end)}, and read at ${seconds(call.begin)}`;
          this.#findings.note('came back', text, [add, removal, call]);
          return;
        }
        if (gone !== null && gone.end < call.begin) {
          const text = `${name} was not there any more when read at ${seconds(gone.end)}, and there at ${seconds(call.begin)}`;
          this.#findings.note('came back', text, [add, ...removes, gone, call]);
          return;
        }
        if (witness === null || call.end < witness.end) witness = call;
      } else if (witness !== null && witness.end < call.begin && call.end < removedFrom) {
        const anomaly = witness === add ? 'lost' : 'seen, then gone';
        const text = `${name}, ${witness === add ? 'added' : 'read'} at ${seconds(witness.end)}, is not in what was read from ${seconds(call.begin)} on`;
        this.#findings.note(anomaly, text, [...new Set([add, witness, call])]);
        return;
      } else if (witness !== null && witness.end < call.begin) gone ??= call;
    }
  }
}
