import { BalsaError } from '../base/errors.js';
import type { StoreInfo } from '../rpc/protocol.js';
import type { Engine } from './engine.js';
import { invalid, keyBytes } from './invalid.js';
import type { CallOptions, KeyForm } from './options.js';
import type { ChangeResult, Key } from './results.js';
import type { Scope } from './scope.js';
import { askStore, StoreRequest } from './store-request.js';

/** A namespace as the cluster has it. */
export interface NamespaceInfo {
  readonly name: string;
  /** What its keys begin with. */
  readonly prefix: Buffer;
  /** Most bytes of its keys and their present values; 0: no bound. */
  readonly quotaBytes: number;
  /** Bytes of its keys and their present values. */
  readonly usedBytes: number;
  readonly keys: number;
}

/** Options of {@link Namespaces.set}. */
export interface NamespaceOptions extends CallOptions {
  /** What its keys begin with. Default: the name and a slash. */
  readonly prefix?: Key | undefined;
  /** Most bytes of its keys and their present values (`QUOTA_EXCEEDED`); 0: no bound. Default 0. */
  readonly quotaBytes?: number | undefined;
}

/** Which namespace: by its name (its prefix is the name and a slash), or by its prefix. */
export type NamespaceRef = string | { readonly prefix: Key };

const NO_OPTIONS = {};

/** The namespaces that the cluster knows, with their quotas: `db.namespaces`. To work in one, see {@link Client.namespace}. */
export class Namespaces {
  readonly #engine: Engine;
  readonly #store: Scope<never, unknown, KeyForm>;

  /**
   * @internal
   * @param store the scope of the whole store
   */
  constructor(store: Scope<never, unknown, KeyForm>) {
    this.#engine = store.engine;
    this.#store = store;
  }

  /**
   * Makes a namespace, or changes its quota. Keys that are there already and begin with its prefix belong to it
   * from now on.
   *
   * @throws BalsaError `NAMESPACE_CONFLICT` (its prefix begins with that of another one, or the other
   *   way round, or it exists with another prefix), `NAMESPACES_TOO_MANY`, `KEY_RESERVED` (it would have keys that procedures
   *   write: `_cells/`, `_events/`, `_schedules/`...), `INVALID_ARGUMENT`, `UPGRADE_PENDING`, and see {@link Client}
   * @example
   * ```ts
   * await db.namespaces.set('shop', { quotaBytes: 64 * 1024 * 1024 });
   * const shop = db.namespace('shop');
   * await shop.put('item/1', 'apple'); // the key in the store is shop/item/1
   * ```
   */
  set(name: string, options: NamespaceOptions = NO_OPTIONS): Promise<ChangeResult> {
    return this.#store.write(
      options,
      'done',
      () => {
        const { quotaBytes = 0 } = options;
        if (typeof name !== 'string') throw invalid('the name of a namespace must be a string');
        if (!Number.isSafeInteger(quotaBytes) || quotaBytes < 0) {
          throw invalid(`quotaBytes must be a whole number from 0, found ${String(quotaBytes)}`);
        }
        const prefix = namespacePrefix(
          options.prefix === undefined ? name : { prefix: options.prefix },
        );
        return { type: 'namespace-set', name, prefix, quotaBytes };
      },
      ({ revision }, meta) => ({ revision, meta }),
    );
  }

  /**
   * Makes the cluster forget a namespace and its quota. Its keys stay.
   *
   * @throws BalsaError `NAMESPACE_NOT_FOUND`, `UPGRADE_PENDING`, and see {@link Client}
   */
  remove(name: string, options: CallOptions = NO_OPTIONS): Promise<ChangeResult> {
    return this.#store.write(
      options,
      'done',
      () => ({ type: 'namespace-remove', name: String(name) }),
      ({ revision }, meta) => ({ revision, meta }),
    );
  }

  /**
   * All namespaces, and how much they hold. A list has no `meta`; {@link Client.info} has the same list with it.
   *
   * @throws BalsaError see {@link Client}
   */
  async list(options: CallOptions = NO_OPTIONS): Promise<readonly NamespaceInfo[]> {
    const { answer } = await askStore<StoreInfo>(
      this.#engine,
      options,
      (call) => new StoreRequest(call),
    );
    return answer.namespaces.map((one) => ({ ...one, prefix: Buffer.from(one.prefix, 'hex') }));
  }

  /**
   * One namespace by its name.
   *
   * @throws BalsaError `NAMESPACE_NOT_FOUND`, and see {@link Client}
   * @example
   * ```ts
   * const shop = db.namespace(await db.namespaces.get('shop')); // also when its prefix is not shop/
   * ```
   */
  async get(name: string, options: CallOptions = NO_OPTIONS): Promise<NamespaceInfo> {
    const found = (await this.list(options)).find((one) => one.name === name);
    if (found !== undefined) return found;
    throw new BalsaError('NAMESPACE_NOT_FOUND', `there is no namespace ${JSON.stringify(name)}`);
  }
}

/** What the keys of a namespace begin with. @throws BalsaError `INVALID_ARGUMENT` */
export function namespacePrefix(namespace: NamespaceRef): Uint8Array {
  if (typeof namespace === 'string' && namespace !== '')
    return keyBytes('a namespace', `${namespace}/`);
  const prefix: unknown = typeof namespace === 'object' ? namespace?.prefix : undefined;
  if (typeof prefix === 'string' || prefix instanceof Uint8Array) {
    const bytes = keyBytes('prefix', prefix);
    if (bytes.byteLength > 0) return bytes;
  }
  throw invalid('a namespace is given by its name, or as { prefix } of at least one byte');
}
