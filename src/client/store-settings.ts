import type { StoreSettings } from '../base/operation.js';
import type { StoreInfo } from '../rpc/protocol.js';
import { invalid } from './invalid.js';
import type { CallOptions, KeyForm } from './options.js';
import type { Meta } from './pending.js';
import type { ChangeResult } from './results.js';
import type { Scope } from './scope.js';
import { askStore, StoreRequest } from './store-request.js';

const NO_OPTIONS = {};
const NAMES: readonly (keyof StoreSettings)[] = [
  'historyMs',
  'historyRevisions',
  'spaceQuotaBytes',
];

/** Settings of the whole store, the same at all replicas: `db.settings`. */
export class Settings {
  readonly #store: Scope<never, unknown, KeyForm>;

  /** @internal */
  constructor(store: Scope<never, unknown, KeyForm>) {
    this.#store = store;
  }

  /**
   * The settings as they are now. What it gives can be given to `set` as it is.
   *
   * @throws BalsaError see {@link Client}
   */
  async get(options: CallOptions = NO_OPTIONS): Promise<StoreSettings & { readonly meta: Meta }> {
    const { answer, meta } = await askStore<StoreInfo>(
      this.#store.engine,
      options,
      (call) => new StoreRequest(call),
    );
    return { ...answer.settings, meta };
  }

  /**
   * Changes the settings that are named; the others stay.
   *
   * @throws BalsaError `INVALID_ARGUMENT`, `UPGRADE_PENDING`, and see {@link Client}
   * @example
   * ```ts
   * await db.settings.set({ historyMs: 3_600_000 }); // revisions older than an hour are compacted
   * ```
   */
  set(change: Partial<StoreSettings>, options: CallOptions = NO_OPTIONS): Promise<ChangeResult> {
    return this.#store.write(
      options,
      'done',
      () => ({ type: 'settings', change: checkChange(change) }),
      ({ revision }, meta) => ({ revision, meta }),
    );
  }
}

function checkChange(change: Partial<StoreSettings>): Partial<StoreSettings> {
  // Who changes what `get` has given hands its `meta` back.
  const given = Object.entries(change).filter(
    ([name, value]) => value !== undefined && name !== 'meta',
  );
  if (given.length === 0) throw invalid(`name a setting to change: ${NAMES.join(', ')}`);
  for (const [name, value] of given) {
    if (!NAMES.some((known) => known === name)) {
      throw invalid(`there is no setting ${name}; there are ${NAMES.join(', ')}`);
    }
    if (Number.isSafeInteger(value) && value >= 0) continue;
    throw invalid(`${name} must be a whole number from 0, found ${String(value)}`);
  }
  return Object.fromEntries(given);
}
