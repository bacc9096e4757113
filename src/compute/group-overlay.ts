import { compareBytes, successor, toMapKey } from '../base/bytes.js';
import { eventWrites, type KeyWrite, pendingRevision, type RecordedEffects } from '../base/call.js';
import { cellKey } from '../base/cell.js';
import { BalsaError } from '../base/errors.js';
import type { ScanAnswer, ScanQuery, Source, StoredKey } from './execution.js';

interface PendingWrite extends KeyWrite {
  /** Of the call in its group. */
  readonly place: number;
}

/**
 * What the calls of one group have written so far: they go into one log entry, and each sees those before it. What one of
 * them has seen of another is noted, since it stands and falls with it.
 */
export class GroupOverlay {
  readonly #writes = new Map<string, PendingWrite>();
  /** Keys that were changed without having been read: nobody knows to what. */
  readonly #updated = new Map<string, Uint8Array>();

  add({ writes, updates, events }: RecordedEffects, place: number): void {
    for (const { key, value } of writes) this.#writes.set(toMapKey(key), { key, value, place });
    for (const { key } of updates) this.#updated.set(toMapKey(key), key);
    for (const { key, value } of eventWrites(events)) {
      this.#writes.set(toMapKey(key), { key, value, place });
    }
  }

  /** `undefined`: not written. */
  find(mapKey: string): PendingWrite | undefined {
    return this.#writes.get(mapKey);
  }

  /** In order. */
  between(from: Uint8Array, to: Uint8Array | null): PendingWrite[] {
    const inside = [...this.#writes.values()].filter(({ key }) => isBetween(key, from, to));
    return inside.sort((a, b) => compareBytes(a.key, b.key));
  }

  isUpdated(mapKey: string): boolean {
    return this.#updated.has(mapKey);
  }

  isUpdatedBetween(from: Uint8Array, to: Uint8Array | null): boolean {
    if (this.#updated.size === 0) return false;
    return [...this.#updated.values()].some((key) => isBetween(key, from, to));
  }
}

/** The store with what is pending over it, as one call of a group sees it. */
export class OverlaySource implements Source {
  readonly #base: Source;
  readonly #overlay: GroupOverlay;
  readonly #dependsOn = new Set<number>();
  #isBlocked = false;

  constructor(base: Source, overlay: GroupOverlay) {
    this.#base = base;
    this.#overlay = overlay;
  }

  /** Calls whose writes were seen. */
  get dependsOn(): readonly number[] {
    return [...this.#dependsOn].sort((a, b) => a - b);
  }

  /** It has asked for what will be known only when the group is applied: run the call again behind that. */
  get isBlocked(): boolean {
    return this.#isBlocked;
  }

  get(key: Uint8Array): StoredKey | null {
    const mapKey = toMapKey(key);
    if (this.#overlay.isUpdated(mapKey)) throw this.#block();
    const write = this.#overlay.find(mapKey);
    return write === undefined ? this.#base.get(key) : this.#seen(write);
  }

  /** Whose writes are in it is noted when it is read. */
  peek(key: Uint8Array): StoredKey | null | undefined {
    const mapKey = toMapKey(key);
    if (this.#overlay.isUpdated(mapKey)) return undefined;
    const write = this.#overlay.find(mapKey);
    if (write === undefined) return this.#base.peek?.(key);
    const { value, place } = write;
    return value === null ? null : { key, value, modRevision: pendingRevision(place) };
  }

  cell(key: string): Uint8Array | null {
    return this.get(cellKey(key))?.value ?? null;
  }

  scan(query: ScanQuery): ScanAnswer {
    const { to } = query;
    let { from } = query;
    for (;;) {
      const page = this.#base.scan({ ...query, from });
      const end = endOf(page, to);
      if (this.#overlay.isUpdatedBetween(from, end)) throw this.#block();
      const items = this.#merge(page.items, from, end);
      if (items.length > 0 || !page.more || end === null) return { items, more: page.more };
      from = end;
    }
  }

  #merge(stored: readonly StoredKey[], from: Uint8Array, to: Uint8Array | null): StoredKey[] {
    const pending = this.#overlay.between(from, to);
    if (pending.length === 0) return [...stored];
    const covered = new Set(pending.map(({ key }) => toMapKey(key)));
    const items = stored.filter(({ key }) => !covered.has(toMapKey(key)));
    for (const write of pending) {
      const seen = this.#seen(write);
      if (seen !== null) items.push(seen);
    }
    return items.sort((a, b) => compareBytes(a.key, b.key));
  }

  #seen({ key, value, place }: PendingWrite): StoredKey | null {
    this.#dependsOn.add(place);
    return value === null ? null : { key, value, modRevision: pendingRevision(place) };
  }

  #block(): BalsaError {
    this.#isBlocked = true;
    return new BalsaError('OVERLOADED', 'what the call reads is not known yet', {
      outcome: 'not-applied',
    });
  }
}

/** Behind the last one of a page, or the end of what was asked for. */
function endOf({ items, more }: ScanAnswer, to: Uint8Array | null): Uint8Array | null {
  const last = items.at(-1);
  return more && last !== undefined ? successor(last.key) : to;
}

function isBetween(key: Uint8Array, from: Uint8Array, to: Uint8Array | null): boolean {
  return compareBytes(key, from) >= 0 && (to === null || compareBytes(key, to) < 0);
}
