import { countWhile } from '../base/binary-search.js';
import { toMapKey } from '../base/bytes.js';
import type { Journal } from './journal.js';
import { fromNameKey, NAMESPACES_FROM, NAMESPACES_TO, toNamespaceKey } from './layout.js';
import { loadRecords } from './load-records.js';
import {
  decodeNamespaceRecord,
  encodeNamespaceRecord,
  type NamespaceRecord,
} from './namespace-record.js';
import { Refusal } from './refusal.js';
import type { StateStore, StateWrite } from './state-store.js';
import type { NamespaceState } from './types.js';

/** What a write adds to what is there; may be negative. */
export interface Growth {
  readonly bytes: number;
  readonly keys: number;
}

interface Namespace {
  readonly name: string;
  /** `toMapKey` of its prefix. */
  readonly start: string;
  record: NamespaceRecord;
}

/**
 * Prefixes of keys with a quota each. None begins with another one, so that a key belongs to one at
 * most, and the one it may belong to is found by halving.
 */
export class Namespaces {
  readonly #journal: Journal;
  readonly #namespacesMax: number;
  readonly #byName = new Map<string, Namespace>();
  /** In the order of their prefixes. */
  #byPrefix: Namespace[] = [];
  readonly #changed = new Set<string>();

  private constructor(journal: Journal, namespacesMax: number) {
    this.#journal = journal;
    this.#namespacesMax = namespacesMax;
  }

  /** The namespaces as the store has them. */
  static async load(
    store: StateStore,
    bounds: { readonly namespacesMax: number },
    journal: Journal,
  ): Promise<Namespaces> {
    const namespaces = new Namespaces(journal, bounds.namespacesMax);
    const found = await loadRecords(
      store,
      { from: NAMESPACES_FROM, to: NAMESPACES_TO },
      (storeKey, bytes): [string, NamespaceRecord] => [
        fromNameKey(storeKey),
        decodeNamespaceRecord(bytes),
      ],
    );
    for (const [name, record] of found) namespaces.#add(name, record);
    return namespaces;
  }

  get size(): number {
    return this.#byName.size;
  }

  /** By name. */
  states(): NamespaceState[] {
    const states = [...this.#byName.values()].map(({ name, record }) => ({ name, ...record }));
    return states.sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** There is a namespace of that name and prefix. */
  has(name: string, prefix: Uint8Array): boolean {
    return this.#byName.get(name)?.start === toMapKey(prefix);
  }

  setQuota(name: string, quotaBytes: number): void {
    const namespace = this.#must(name);
    namespace.record = { ...namespace.record, quotaBytes };
    this.#changed.add(name);
  }

  /** @throws Refusal `NAMESPACE_CONFLICT`, `NAMESPACES_TOO_MANY` */
  checkNew(name: string, prefix: Uint8Array): void {
    if (this.#byName.has(name)) {
      throw conflict(`namespace ${name} has another prefix; remove it first`, name);
    }
    const start = toMapKey(prefix);
    for (const other of this.#byPrefix) {
      if (!start.startsWith(other.start) && !other.start.startsWith(start)) continue;
      throw conflict(
        `the prefix of namespace ${name} and that of ${other.name} begin alike, so that a key could belong to both`,
        other.name,
      );
    }
    if (this.#byName.size < this.#namespacesMax) return;
    throw new Refusal(
      'NAMESPACES_TOO_MANY',
      `there are ${this.#namespacesMax} namespaces already (namespacesMax)`,
      { limit: this.#namespacesMax },
    );
  }

  /** Adds one that passed {@link Namespaces.checkNew}. */
  create(name: string, record: NamespaceRecord): void {
    this.#add(name, record);
    this.#changed.add(name);
  }

  #add(name: string, record: NamespaceRecord): void {
    const namespace = { name, start: toMapKey(record.prefix), record };
    this.#byName.set(name, namespace);
    this.#byPrefix = [...this.#byPrefix, namespace].sort((a, b) => (a.start < b.start ? -1 : 1));
  }

  remove(name: string): void {
    const namespace = this.#must(name);
    this.#byName.delete(name);
    this.#byPrefix = this.#byPrefix.filter((other) => other !== namespace);
    this.#changed.add(name);
  }

  #must(name: string): Namespace {
    const namespace = this.#byName.get(name);
    if (namespace !== undefined) return namespace;
    throw new Refusal('NAMESPACE_NOT_FOUND', `there is no namespace ${name}`, { namespace: name });
  }

  /** @throws Refusal `QUOTA_EXCEEDED` when the namespace of the key would hold too much */
  checkQuota(mapKey: string, { bytes }: Growth): void {
    const namespace = this.#of(mapKey);
    if (namespace === null || bytes <= 0) return;
    const { quotaBytes, usedBytes } = namespace.record;
    if (quotaBytes === 0 || usedBytes + bytes <= quotaBytes) return;
    throw new Refusal(
      'QUOTA_EXCEEDED',
      `namespace ${namespace.name} holds ${usedBytes} bytes; ${bytes} more would exceed its quota of ${quotaBytes}: ` +
        'delete keys or raise the quota',
      { namespace: namespace.name, quotaBytes, usedBytes, bytes },
    );
  }

  /** Counts a write of the key. */
  count(mapKey: string, growth: Growth): void {
    const namespace = this.#of(mapKey);
    if (namespace === null) return;
    const before = namespace.record;
    if (this.#journal.isOpen) {
      this.#journal.note(() => {
        namespace.record = before;
      });
    }
    namespace.record = {
      ...before,
      usedBytes: before.usedBytes + growth.bytes,
      keys: before.keys + growth.keys,
    };
    this.#changed.add(namespace.name);
  }

  /** The namespace with the last prefix that is not behind the key, if the key begins with it. */
  #of(mapKey: string): Namespace | null {
    const place = countWhile(this.#byPrefix, ({ start }) => start <= mapKey) - 1;
    const candidate = this.#byPrefix[place];
    return candidate !== undefined && mapKey.startsWith(candidate.start) ? candidate : null;
  }

  /** Adds all that is staged to `writes`; the caller gives them to the store before anything else. */
  flushInto(writes: StateWrite[]): void {
    for (const name of this.#changed) {
      const namespace = this.#byName.get(name);
      const value = namespace === undefined ? null : encodeNamespaceRecord(namespace.record);
      writes.push({ key: toNamespaceKey(name), value });
    }
    this.#changed.clear();
  }
}

function conflict(message: string, namespace: string): Refusal {
  return new Refusal('NAMESPACE_CONFLICT', message, { namespace });
}
