import type { HistoryReader } from '../history/history-reader.js';
import { NO_WATCH } from './by-watch.js';
import { type Call, callsOf } from './calls.js';
import type { Checker } from './checker.js';
import { Findings } from './findings.js';
import { fieldsOf, show } from './values.js';
import { hashValue, WatchIndex } from './watch-index.js';

/**
 * Watches: each event once (twice), in the order of revisions (order), as it was (other value, of nobody), and none left out (gap), from
 * where the watch was begun through what it has told last, or has said to have told (`progress`). One that was to be told `through` a
 * revision, and was not begun anew, was told so far (not told). Compared with the watch of the whole
 * store, which is tested for its own order.
 */
export function watchChecker(): Checker {
  return {
    name: 'watch',
    check: async (history, watch) => {
      const findings = new Findings('watch');
      if (watch === undefined) {
        return findings.verdict('', NO_WATCH);
      }
      const index = await WatchIndex.load(watch);
      if (index.problem !== null) {
        findings.note('order', `in the watch of the whole store, ${index.problem}`);
        return findings.verdict('');
      }
      return judge(findings, history, index);
    },
  };
}

async function judge(findings: Findings, history: HistoryReader, index: WatchIndex) {
  const watchers = new Map<number, Watcher>();
  const beyond = { events: 0 };
  let begun = 0;
  for await (const call of callsOf(history)) {
    if (call.f === 'watch') {
      if (call.outcome !== 'ok') continue;
      begun += 1;
      watchers.get(call.process)?.judgeGaps();
      watchers.set(call.process, new Watcher(findings, index, call));
    } else if (call.f === 'event') {
      findings.operations += 1;
      if ((call.completion?.revision ?? 0) > index.lastRevision) beyond.events += 1;
      watchers.get(call.process)?.event(call);
    } else if (call.f === 'progress') {
      watchers.get(call.process)?.progress(call);
    }
  }
  let demanded = 0;
  let silent = 0;
  for (const watcher of watchers.values()) {
    watcher.judgeGaps();
    if (watcher.judgeEnd()) demanded += 1;
    if (watcher.isSilent()) silent += 1;
  }
  let doubt: string | null = null;
  if (beyond.events > 0) {
    doubt = `${beyond.events} events are of revisions behind ${index.lastRevision}, where the watch of the store ends`;
  } else if (silent > 0 && demanded === 0) {
    doubt = `${silent} watches were told nothing, and of none it is known how far it was to be told`;
  }
  const shown = `${begun} watches were told ${findings.operations} events, each once, in order, without a gap`;
  const details = { watches: begun, demanded, silent, storeEvents: index.events };
  return findings.verdict(shown, { doubt, details });
}

class Watcher {
  readonly #findings: Findings;
  readonly #index: WatchIndex;
  readonly #name: string;
  readonly #prefix: string;
  readonly #begin: Call;
  /** The first revision that it must tell; `null`: that of its first event. */
  #from: number | null;
  /** It was to be told so far; `null`: nobody says. */
  readonly #toBeTold: number | null;
  #last: { readonly call: Call; readonly revision: number } | null = null;
  /** All through this has been told. */
  #toldThrough = 0;
  /** By key: revisions that it was told, ascending. */
  readonly #told = new Map<string, number[]>();

  constructor(findings: Findings, index: WatchIndex, call: Call) {
    this.#findings = findings;
    this.#index = index;
    this.#begin = call;
    const asked = fieldsOf(call, call.asked ?? {});
    this.#prefix = typeof asked.prefix === 'string' ? asked.prefix : '';
    this.#from = typeof asked.fromRevision === 'number' ? asked.fromRevision : null;
    this.#toBeTold = typeof asked.through === 'number' ? asked.through : null;
    // One that was not told from where on begins behind the revision that it was answered.
    const answered = call.completion?.revision;
    if (this.#from === null && answered !== undefined) this.#from = answered + 1;
    this.#name = `watch of "${this.#prefix}" (process ${call.process})`;
  }

  event(call: Call): void {
    const { key } = call;
    const revision = call.completion?.revision ?? 0;
    const what = `${this.#name} was told "${key}" at revision ${revision}`;
    if (!key.startsWith(this.#prefix)) this.#findings.note('of nobody', what, [call]);
    const before = this.#last;
    const isBehind = before === null || revision >= before.revision;
    if (!isBehind || revision <= this.#toldThrough) {
      const earlier = before === null ? [] : [before.call];
      const after = `behind revision ${Math.max(before?.revision ?? 0, this.#toldThrough)}`;
      this.#findings.note('order', `${what} ${after}`, [...earlier, call]);
      return;
    }
    if (this.#from !== null && revision < this.#from) {
      this.#findings.note('order', `${what}, and was to begin at ${this.#from}`, [call]);
    }
    this.#from ??= revision;
    this.#last = { call, revision };
    const told = this.#told.get(key) ?? [];
    this.#told.set(key, told);
    if (told.at(-1) === revision) this.#findings.note('twice', what, [call]);
    else told.push(revision);
    this.#compare(call, revision, what);
  }

  #compare(call: Call, revision: number, what: string): void {
    if (revision > this.#index.lastRevision) return;
    const event = this.#index.eventAt(call.key, revision);
    if (event === null)
      this.#findings.note('of nobody', `${what}, where nothing was written`, [call]);
    else if (event.hash !== hashValue(call.answer)) {
      this.#findings.note('other value', `${what} as ${show(call.answer)}`, [call]);
    }
  }

  progress(call: Call): void {
    this.#toldThrough = Math.max(this.#toldThrough, call.completion?.revision ?? 0);
    if (this.#from === null) this.#from = this.#toldThrough + 1;
  }

  get #through(): number {
    return Math.max(this.#toldThrough, this.#last?.revision ?? 0);
  }

  /** @returns is it known how far it was to be told? */
  judgeEnd(): boolean {
    if (this.#toBeTold === null) return false;
    if (this.#through < this.#toBeTold) {
      const text = `${this.#name} was to be told through revision ${this.#toBeTold}, and was told through ${this.#through}`;
      const last = this.#last === null ? [] : [this.#last.call];
      this.#findings.note('not told', text, [this.#begin, ...last]);
    }
    return true;
  }

  /** It was told nothing, and there was something to tell. */
  isSilent(): boolean {
    if (this.#through > 0) return false;
    const from = this.#from ?? Number.POSITIVE_INFINITY;
    for (const key of this.#index.keys()) {
      if (!key.startsWith(this.#prefix)) continue;
      for (const { revision } of this.#index.eventsOf(key)) if (revision >= from) return true;
    }
    return false;
  }

  /** What the store has between its begin and its last word must have been told. */
  judgeGaps(): void {
    const through = this.#through;
    const from = this.#from;
    if (from === null || through < from) return;
    for (const key of this.#index.keys()) {
      if (!key.startsWith(this.#prefix)) continue;
      const told = new Set(this.#told.get(key));
      for (const { revision } of this.#index.eventsOf(key)) {
        if (revision < from || revision > through || told.has(revision)) continue;
        // More of the revision that came last may be on its way.
        if (revision > this.#toldThrough && revision === this.#last?.revision) continue;
        const text = `${this.#name} was not told "${key}" at revision ${revision}, and was told through ${through}`;
        const last = this.#last === null ? [] : [this.#last.call];
        this.#findings.note('gap', text, [this.#begin, ...last]);
      }
    }
  }
}
