import { assert } from '../base/assert.js';
import { fromMapKey, toMapKey } from '../base/bytes.js';
import type { CallOutcome } from '../base/call.js';
import { check, packToKeep, unpack } from '../base/codec.js';
import { AP_PASTS, MERGED_KEYS_BY_KIND } from '../base/command-versions.js';
import type { Delta } from '../base/delta.js';
import type { CallIdentity } from './call-keys.js';
import { corrupt } from './corrupt.js';
import { KeyFilter } from './key-filter.js';
import {
  fromMergeGroupKey,
  fromNameKey,
  MERGE_GROUPS_FROM,
  MERGE_GROUPS_TO,
  ORIGINS_FROM,
  ORIGINS_TO,
  toMergedKey,
  toMergeGroupKey,
  toOriginKey,
} from './layout.js';
import { loadRecords } from './load-records.js';
import { orCorrupt } from './procedure-record.js';
import { Refusal } from './refusal.js';
import type { StateStore, StateWrite } from './state-store.js';
import type { MergeCommand, OriginReport } from './types.js';

/** Part of what the log means, as `SessionBounds`. */
export interface MergeBounds {
  readonly callKeptMs: number;
  readonly namedCallKeptMs: number;
  readonly mergedKeysMax: number;
  readonly clockSkewMsMax: number;
}

/** What the log knows of one queue of deltas. */
export interface OriginState {
  readonly origin: string;
  /** Of whom it is; empty: of a member that has another queue now, or is not known. */
  readonly member: string;
  /** All of its deltas through this one are merged. */
  readonly sequence: number;
  /** All that was made in it through this time is merged, in milliseconds since 1970. */
  readonly clearedMs: number;
}

/** A call that was merged, or of which another attempt could be, as long as it is remembered. */
export interface MergedCall {
  /** Empty: it was applied without a delta, as one of mode `cp`. */
  readonly origin: string;
  /** 0: see `origin`. */
  readonly sequence: number;
  readonly fingerprint: Uint8Array;
  /** JSON. */
  readonly result: string;
  readonly revision: number;
}

/** All members, and what they say of their queues. */
export type MemberWords = Pick<MergeCommand, 'members' | 'reports'>;

/** A call that counts from now on: other deltas of the same one never will. */
export type CountedCall = Pick<Delta, 'key' | 'origin' | 'sequence'>;

/** Calls of one entry, which are forgotten together. */
interface Group {
  readonly index: number;
  readonly isNamed: boolean;
  /** No caller asks again for one of them later, in milliseconds since 1970. */
  readonly untilMs: number;
  readonly count: number;
}

/** Calls of one kind. */
interface Kind {
  readonly isNamed: boolean;
  /** In the order in which they are forgotten. */
  groups: Group[];
  /** Groups before this one are gone. There may be very many: to shift them would take long. */
  first: number;
  /** Of the entry in hand. */
  begun: { readonly keys: string[]; untilMs: number };
}

/** Calls forgotten with one entry, of each kind since {@link AP_PASTS}: it must not take long. */
const FORGOTTEN_PER_ENTRY_MAX = 4096;

const FORMAT = 1;

/**
 * Which deltas the log has merged: how far of each queue, and under which idempotency keys. It makes each delta count once,
 * by whom and how often it may be brought, and each call, at however many replicas it may have been made.
 *
 * A key is kept until no replica can have a delta of the same call: its caller has given up, and each member has said
 * that all that it made until then is merged. Those with keys of callers are kept for much longer than others, which must not wait
 * for them. In entries before {@link MERGED_KEYS_BY_KIND} they did: all calls were of one kind.
 *
 * So are calls of mode `cp` whose name has ever stood for code of mode `ap`: a member that is cut off may have made the same one then.
 */
export class Merges {
  readonly #store: StateStore;
  readonly #bounds: MergeBounds;
  /**
   * One for each disk that has ever had a queue, for ever: deltas that are merged may be back with a copy of them, or with a disk that
   * was away, and only this tells that they are. They are few, since disks are lost one by one.
   */
  readonly #origins = new Map<string, OriginState>();
  readonly #changed = new Set<string>();
  /** By key (`toMapKey`); `null`: forgotten. */
  readonly #staged = new Map<string, MergedCall | null>();
  readonly #generated = newKind(false);
  readonly #named = newKind(true);
  readonly #kinds = [this.#generated, this.#named] as const;
  readonly #removed: Uint8Array[] = [];
  /** Of the entry in hand. */
  #counted: CountedCall[] = [];
  /** Of all keys that are remembered: nearly every call is a new one, and need not be looked for in the store. */
  readonly #filter = new KeyFilter();

  private constructor(store: StateStore, bounds: MergeBounds) {
    this.#store = store;
    this.#bounds = bounds;
  }

  static async load(store: StateStore, bounds: MergeBounds): Promise<Merges> {
    const merges = new Merges(store, bounds);
    await loadRecords(store, { from: ORIGINS_FROM, to: ORIGINS_TO }, (storeKey, bytes) => {
      const state = decodeOrigin(fromNameKey(storeKey), bytes);
      merges.#origins.set(state.origin, state);
    });
    const groups = { from: MERGE_GROUPS_FROM, to: MERGE_GROUPS_TO };
    await loadRecords(store, groups, (storeKey, bytes) => {
      const { untilMs, keys } = decodeGroup(bytes);
      const { index, isNamed } = fromMergeGroupKey(storeKey);
      const { groups: known } = isNamed ? merges.#named : merges.#generated;
      known.push({ index, isNamed, untilMs, count: keys.length });
      for (const key of keys) merges.#filter.add(key);
    });
    return merges;
  }

  /** Calls that are remembered. */
  get size(): number {
    return this.#filter.size;
  }

  get isFull(): boolean {
    return this.size >= this.#bounds.mergedKeysMax;
  }

  /**
   * Is there room for what is to be merged, or will there be once it is? When all who keep the oldest from being forgotten are
   * back, or wait with copies of what is merged now, all that was made meanwhile has to be merged before that can be.
   * @param turn what is merged
   * @param version of the entry, see `command-versions`
   */
  hasRoom({ members, reports }: MemberWords, turn: readonly Delta[], version: number): boolean {
    if (!this.isFull) return true;
    if (version < AP_PASTS || this.size >= 2 * this.#bounds.mergedKeysMax) return false;
    const dueMs = Math.min(...this.#kinds.map((kind) => this.#dueMs(kind)));
    // Whoever holds a delta has said no more than that all before it is merged.
    const copiedMs = Math.min(...turn.map(({ timeMs }) => timeMs)) - 1;
    const said = new Map(reports.map(({ member, timeMs }) => [member, timeMs]));
    return members.every((member) => {
      const saidMs = said.get(member) ?? 0;
      return this.#clearedOf(member) > dueMs || saidMs > dueMs || saidMs >= copiedMs;
    });
  }

  /** Are there calls that may be forgotten now? @param members all that there are */
  canForget(members: readonly string[]): boolean {
    const clearedMs = this.#clearedMs(members);
    return this.#kinds.some((kind) => this.#dueMs(kind) < clearedMs);
  }

  /** All of its deltas through this one are merged; 0: none. */
  through(origin: string): number {
    return this.#origins.get(origin)?.sequence ?? 0;
  }

  /** In the order of their names. */
  states(): OriginState[] {
    return [...this.#origins.values()].sort((a, b) => (a.origin < b.origin ? -1 : 1));
  }

  find(key: Uint8Array): MergedCall | null {
    const mapKey = toMapKey(key);
    if (!this.#filter.mayHave(mapKey)) return null;
    const staged = this.#staged.get(mapKey);
    if (staged !== undefined) return staged;
    const bytes = this.#store.get(toMergedKey(mapKey));
    return bytes === undefined ? null : decodeMerged(bytes);
  }

  /** The queues that the members have now, in the order of their names. */
  originsOf(members: ReadonlySet<string>): string[] {
    const present = this.states().filter(({ member }) => members.has(member));
    return present.map(({ origin }) => origin);
  }

  /**
   * What a member says of its queue. A member has one queue: another one was lost.
   * @param version of the entry, see `command-versions`
   */
  report({ origin, member, sequence, timeMs }: OriginReport, version: number): void {
    for (const other of this.#origins.values()) {
      if (other.member === member && other.origin !== origin) this.#set({ ...other, member: '' });
    }
    const known = this.#origin(origin);
    const isCleared = sequence <= known.sequence;
    // Less than it has said before: it has been sent copies of what is older.
    const leastMs =
      version >= MERGED_KEYS_BY_KIND ? Math.min(known.clearedMs, timeMs) : known.clearedMs;
    const clearedMs = isCleared ? Math.max(leastMs, timeMs) : leastMs;
    this.#set({ ...known, member, clearedMs });
  }

  /** The next one of its origin has its turn: the delta is merged, or will never be. */
  advance({ origin, sequence }: Pick<Delta, 'origin' | 'sequence'>): void {
    const known = this.#origin(origin);
    assert(sequence === known.sequence + 1, 'deltas of an origin are merged in order, each once');
    this.#set({ ...known, sequence });
  }

  /**
   * No caller asks again for a call that was made so long ago, in milliseconds of true time: it may be forgotten by then.
   * Clocks of replicas may differ all the same, by less than `clockSkewMsMax`.
   */
  keptMs(isNamed: boolean): number {
    const { callKeptMs, namedCallKeptMs } = this.#bounds;
    return isNamed ? namedCallKeptMs : callKeptMs;
  }

  /**
   * The call counts from now on. It is remembered from when it is merged, which may be long after it was made: whoever was born
   * before an entry of which calls were forgotten is refused, and he must not have been born just now.
   * @param entry its version, see `command-versions`, and see `Command`
   */
  record(
    delta: Delta,
    revision: number,
    entry: { readonly version: number; readonly wallMs: number },
  ): void {
    const { key, isNamed, timeMs, origin, sequence, fingerprint, result } = delta;
    const isApart = isNamed && entry.version >= MERGED_KEYS_BY_KIND;
    const { begun } = isApart ? this.#named : this.#generated;
    const untilMs = Math.max(timeMs, entry.wallMs) + this.keptMs(isNamed);
    this.#keep(key, { origin, sequence, fingerprint, result, revision }, { begun, untilMs });
  }

  /**
   * As {@link record}, of a call that was applied without a delta.
   * @param wallMs the time of day when it was taken in: members say what they have merged by theirs
   */
  recordApplied(
    { key, isNamed, fingerprint }: CallIdentity,
    { result, revision }: CallOutcome,
    wallMs: number,
  ): void {
    const { begun } = isNamed ? this.#named : this.#generated;
    const untilMs = wallMs + this.keptMs(isNamed);
    this.#keep(key, { origin: '', sequence: 0, fingerprint, result, revision }, { begun, untilMs });
  }

  #keep(
    key: Uint8Array,
    call: MergedCall,
    { begun, untilMs }: Pick<Kind, 'begun'> & { readonly untilMs: number },
  ): void {
    const mapKey = toMapKey(key);
    this.#staged.set(mapKey, call);
    begun.keys.push(mapKey);
    begun.untilMs = Math.max(begun.untilMs, untilMs);
    this.#filter.add(mapKey);
    const { origin, sequence } = call;
    this.#counted.push({ key, origin, sequence });
  }

  /** Calls that count since the entry in hand. */
  takeCounted(): readonly CountedCall[] {
    const counted = this.#counted;
    if (counted.length > 0) this.#counted = [];
    return counted;
  }

  /**
   * @param members all that there are: who has not spoken may still have anything
   * @param version of the entry, see `command-versions`
   * @returns the last entry of which calls with keys of clients were forgotten; 0: of none
   */
  forgetOld(members: readonly string[], version: number): number {
    const clearedMs = this.#clearedMs(members);
    let through = 0;
    let left = FORGOTTEN_PER_ENTRY_MAX;
    for (const kind of this.#kinds) {
      if (version >= AP_PASTS) left = FORGOTTEN_PER_ENTRY_MAX;
      while (left > 0 && this.#dueMs(kind) < clearedMs) {
        const oldest = kind.groups[kind.first];
        assert(oldest !== undefined, 'there is a group that is due');
        kind.first += 1;
        this.#forget(oldest);
        left -= oldest.count;
        if (!kind.isNamed) through = Math.max(through, oldest.index);
      }
      if (kind.first * 2 <= kind.groups.length) continue;
      kind.groups = kind.groups.slice(kind.first);
      kind.first = 0;
    }
    return through;
  }

  /** Its oldest calls may be forgotten when all members have said that they have nothing as old as this. Infinity: there are none. */
  #dueMs(kind: Kind): number {
    const oldest = kind.groups[kind.first];
    return oldest === undefined
      ? Number.POSITIVE_INFINITY
      : oldest.untilMs + this.#bounds.clockSkewMsMax;
  }

  /** None of them has anything that is as old and not merged. */
  #clearedMs(members: readonly string[]): number {
    return Math.min(...members.map((member) => this.#clearedOf(member)));
  }

  #clearedOf(member: string): number {
    for (const state of this.#origins.values()) {
      if (state.member === member) return state.clearedMs;
    }
    return 0;
  }

  #forget({ index, isNamed }: Group): void {
    const groupKey = toMergeGroupKey(index, isNamed);
    const bytes = this.#store.get(groupKey);
    if (bytes === undefined) throw corrupt(`no keys of the calls that entry ${index} merged`);
    for (const mapKey of decodeGroup(bytes).keys) {
      this.#staged.set(mapKey, null);
      this.#filter.delete(mapKey);
    }
    this.#removed.push(groupKey);
  }

  #origin(origin: string): OriginState {
    return this.#origins.get(origin) ?? { origin, member: '', sequence: 0, clearedMs: 0 };
  }

  #set(state: OriginState): void {
    this.#origins.set(state.origin, state);
    this.#changed.add(state.origin);
  }

  /** Adds all that is staged to `writes`; the caller gives them to the store before anything else. */
  flushInto(writes: StateWrite[], index: number): void {
    for (const origin of this.#changed) {
      writes.push({ key: toOriginKey(origin), value: encodeOrigin(this.#origin(origin)) });
    }
    this.#changed.clear();
    for (const [mapKey, call] of this.#staged) {
      writes.push({ key: toMergedKey(mapKey), value: call === null ? null : encodeMerged(call) });
    }
    this.#staged.clear();
    for (const key of this.#removed) writes.push({ key, value: null });
    this.#removed.length = 0;
    for (const kind of this.#kinds) {
      const { keys, untilMs } = kind.begun;
      if (keys.length === 0) continue;
      const { isNamed } = kind;
      kind.begun = { keys: [], untilMs: 0 };
      kind.groups.push({ index, isNamed, untilMs, count: keys.length });
      const value = packToKeep([FORMAT, untilMs, keys.map(fromMapKey)]);
      writes.push({ key: toMergeGroupKey(index, isNamed), value });
    }
  }
}

function newKind(isNamed: boolean): Kind {
  return { isNamed, groups: [], first: 0, begun: { keys: [], untilMs: 0 } };
}

function encodeOrigin({ member, sequence, clearedMs }: OriginState): Buffer {
  return packToKeep([FORMAT, member, sequence, clearedMs]);
}

function decodeOrigin(origin: string, bytes: Uint8Array): OriginState {
  return orCorrupt('an origin', () => {
    const [format, member, sequence, clearedMs] = check.tuple(unpack(bytes), 'origin', 4);
    checkFormat(format);
    return {
      origin,
      member: check.text(member, 'member'),
      sequence: check.count(sequence, 'sequence'),
      clearedMs: check.count(clearedMs, 'clearedMs'),
    };
  });
}

function encodeMerged({ origin, sequence, fingerprint, result, revision }: MergedCall): Buffer {
  return packToKeep([FORMAT, origin, sequence, fingerprint, result, revision]);
}

function decodeMerged(bytes: Uint8Array): MergedCall {
  return orCorrupt('a merged call', () => {
    const t = check.tuple(unpack(bytes), 'merged call', 6);
    checkFormat(t[0]);
    return {
      origin: check.text(t[1], 'origin'),
      sequence: check.count(t[2], 'sequence'),
      fingerprint: check.bytes(t[3], 'fingerprint'),
      result: check.text(t[4], 'result'),
      revision: check.count(t[5], 'revision'),
    };
  });
}

function decodeGroup(bytes: Uint8Array): {
  readonly untilMs: number;
  readonly keys: readonly string[];
} {
  return orCorrupt('merged calls', () => {
    const [format, untilMs, keys] = check.tuple(unpack(bytes), 'merged calls', 3);
    checkFormat(format);
    return {
      untilMs: check.count(untilMs, 'untilMs'),
      keys: check.list(keys, 'keys').map((key) => toMapKey(check.bytes(key, 'key'))),
    };
  });
}

function checkFormat(format: unknown): void {
  if (format !== FORMAT) throw corrupt(`merged deltas of format ${String(format)}`);
}

export function mergesFull(): Refusal {
  return new Refusal(
    'MERGED_KEYS_FULL',
    'too many calls are remembered of which a member may still have deltas (mergedKeysMax): if one is away, bring it back, or ' +
      'remove it; else make fewer of them, or call for less to be kept (callKeptMs, namedCallKeptMs)',
  );
}
