import { prefixEnd } from '../base/bytes.js';
import type { CallReads } from '../base/call.js';
import { FIRST_KEYS_READ } from '../base/command-versions.js';
import { BalsaError } from '../base/errors.js';
import type {
  NamespaceSetOperation,
  ReadOperation,
  TxnOperation,
  WriteOperation,
} from '../base/operation.js';
import type { SystemOperation } from './types.js';

/** User keys; `to` is exclusive, `null`: to the end. */
export interface OpenRange {
  readonly from: Uint8Array;
  readonly to: Uint8Array | null;
}

/** A range of which as much is read as one operation may look at. */
export interface NeededRange extends OpenRange {
  /** From its end. */
  readonly reverse: boolean;
}

/** What of the store has to be read before an entry is applied. */
export interface EntryNeeds {
  readonly ranges: readonly NeededRange[];
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
  #ranges: NeededRange[] | null = null;
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
      else if (operation.type === 'expire') this.#addLeases(operation.leases);
    }
  }

  addOperations(operations: readonly WriteOperation[]): void {
    for (const operation of operations) {
      switch (operation.type) {
        case 'put':
        case 'delete':
          break;
        case 'delete-range':
          this.#addRange(operation.from, operation.to);
          break;
        case 'txn':
          this.#addTxn(operation);
          break;
        case 'lease-revoke':
          this.#addLeases([operation.lease]);
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
      ranges: this.#ranges ?? [],
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
        else if (step.type === 'delete-range') this.#addRange(step.from, step.to);
        else if (step.type === 'read' && step.to !== undefined) {
          const isFirst = isOfFirstKeys(step, this.#version);
          this.#addRange(step.from, step.to, isFirst && step.reverse === true);
        }
      }
    }
  }

  #addRange(from: Uint8Array, to: Uint8Array | null, reverse = false): void {
    this.#ranges ??= [];
    this.#ranges.push({ from, to, reverse });
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
