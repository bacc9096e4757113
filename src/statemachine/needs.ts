import { prefixEnd } from '../base/bytes.js';
import type { CallReads } from '../base/call.js';
import { FIRST_KEYS_READ } from '../base/command-versions.js';
import { BalsaError } from '../base/errors.js';
import type {
  DeleteRangeOperation,
  NamespaceSetOperation,
  ReadOperation,
  TxnOperation,
  WriteOperation,
} from '../base/operation.js';
import { revisionBounds } from './range-filter.js';
import type { SystemOperation } from './types.js';

/** User keys; `to` is exclusive, `null`: to the end. */
export interface OpenRange {
  readonly from: Uint8Array;
  readonly to: Uint8Array | null;
}

export interface NeededRange extends OpenRange {
  /** From its end. */
  readonly reverse: boolean;
}

/** A range to be read ahead. */
interface RangeNeed extends NeededRange {
  /** Only its first keys are wanted, so many of them; `null`: as many as one operation may look at. */
  readonly first: number | null;
}

/** A range of which no more need be read than so many keys; `null`: than one operation may look at. */
export interface BoundedRange extends NeededRange {
  readonly keysMax: number | null;
}

/** So many keys are read of a range of which only the first ones are wanted, beside these: it is known how many there are of a few. */
export const FIRST_KEYS_COUNTED = 256;

/** What of the store has to be read before an entry is applied. */
export interface EntryNeeds {
  readonly ranges: readonly BoundedRange[];
  /** Those whose keys will be deleted. */
  readonly leases: readonly number[];
  /** Of new namespaces. */
  readonly prefixes: readonly OpenRange[];
  /** Records of the history that a sweep looks at; 0: there is none. */
  readonly sweepRecords: number;
  /** The sweep may follow a compaction in the same entry. */
  readonly isCompacted: boolean;
}

/** Gathers {@link EntryNeeds}; nearly all entries have none. */
export class NeedsBuilder {
  #ranges: RangeNeed[] | null = null;
  /** Keys that the entry may delete before it reads the first ones of a range; `null`: nobody knows how many. */
  #deleted: number | null = 0;
  #leases: Set<number> | null = null;
  #prefixes: OpenRange[] | null = null;
  readonly #removed = new Set<string>();
  #sweepRecords = 0;
  #isCompacted = false;
  readonly #version: number;
  readonly #isCounted: (operation: NamespaceSetOperation) => boolean;

  /**
   * @param version of the entry
   * @param isCounted the keys of the namespace have been counted before
   */
  constructor(version: number, isCounted: (operation: NamespaceSetOperation) => boolean) {
    this.#version = version;
    this.#isCounted = isCounted;
  }

  addSystem(operations: readonly SystemOperation[]): void {
    for (const operation of operations) {
      if (operation.type === 'sweep') this.#sweepRecords = Math.max(operation.records, 1);
      else if (operation.type === 'compact') this.#isCompacted = true;
      else if (operation.type === 'expire') {
        this.#addLeases(operation.leases);
        this.#deleted = null;
      }
    }
  }

  addOperations(operations: readonly WriteOperation[]): void {
    for (const operation of operations) {
      switch (operation.type) {
        case 'put':
          break;
        case 'delete':
          this.#addDeleted();
          break;
        case 'delete-range':
          this.#addDeletedRange(operation);
          break;
        case 'txn':
          this.#addTxn(operation);
          break;
        case 'lease-revoke':
          this.#addLeases([operation.lease]);
          this.#deleted = null;
          break;
        case 'namespace-remove':
          this.#removed.add(operation.name);
          break;
        case 'namespace-set':
          this.#addNamespace(operation);
          break;
        default:
          break;
      }
    }
  }

  /** An error, and none: it reads nothing. */
  addCall(call: CallReads | BalsaError | null): void {
    if (call === null || call instanceof BalsaError) return;
    for (const { from, to } of call.ranges) this.#addRange(from, to);
  }

  /** `null`: there are none. */
  build(): EntryNeeds | null {
    const sweepRecords = this.#sweepRecords;
    const isNothing = this.#ranges === null && this.#leases === null && this.#prefixes === null;
    if (isNothing && sweepRecords === 0) return null;
    return {
      ranges: (this.#ranges ?? []).map((range) => this.#bounded(range)),
      leases: [...(this.#leases ?? [])],
      prefixes: this.#prefixes ?? [],
      sweepRecords,
      isCompacted: this.#isCompacted,
    };
  }

  #addNamespace(operation: NamespaceSetOperation): void {
    // One that is removed before, by the same entry, is counted anew.
    if (this.#isCounted(operation) && !this.#removed.has(operation.name)) return;
    this.#prefixes ??= [];
    this.#prefixes.push({ from: operation.prefix, to: prefixEnd(operation.prefix) });
  }

  #addTxn({ compares, success, failure }: TxnOperation): void {
    for (const { from, to } of compares) {
      if (to !== undefined) this.#addRange(from, to);
    }
    for (const steps of [success, failure]) {
      for (const step of steps) {
        if (step.type === 'txn') this.#addTxn(step);
        else if (step.type === 'delete') this.#addDeleted();
        else if (step.type === 'delete-range') this.#addDeletedRange(step);
        else if (step.type === 'read' && step.to !== undefined) this.#addRead(step, step.to);
      }
    }
  }

  #addRead(read: ReadOperation, to: Uint8Array | null): void {
    const { from, reverse = false, limit = 0 } = read;
    if (!isOfFirstKeys(read, this.#version)) {
      this.#addRange(from, to);
      return;
    }
    // Nobody knows how many have to be looked at until so many pass a filter.
    this.#add({ from, to, reverse, first: revisionBounds(read) === null ? limit : null });
  }

  #addDeleted(): void {
    if (this.#deleted !== null) this.#deleted += 1;
  }

  #addDeletedRange({ from, to }: DeleteRangeOperation): void {
    this.#addRange(from, to);
    this.#deleted = null;
  }

  /** So much of it that enough is left when all is deleted that the entry may delete. */
  #bounded({ from, to, reverse, first }: RangeNeed): BoundedRange {
    const deleted = this.#deleted;
    const isKnown = first !== null && deleted !== null;
    return { from, to, reverse, keysMax: isKnown ? first + deleted + FIRST_KEYS_COUNTED : null };
  }

  #addRange(from: Uint8Array, to: Uint8Array | null): void {
    this.#add({ from, to, reverse: false, first: null });
  }

  #add(range: RangeNeed): void {
    this.#ranges ??= [];
    this.#ranges.push(range);
  }

  #addLeases(leases: readonly number[]): void {
    this.#leases ??= new Set();
    for (const lease of leases) this.#leases.add(lease);
  }
}

/** Is the read about the first keys of a range, which need not be looked at as a whole? */
export function isOfFirstKeys(
  { to, limit = 0, countOnly = false }: ReadOperation,
  version: number,
): boolean {
  return version >= FIRST_KEYS_READ && to !== undefined && limit > 0 && !countOnly;
}
