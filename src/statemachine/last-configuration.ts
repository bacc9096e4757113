import {
  type ConfigurationRecord,
  decodeConfigurationRecord,
  encodeConfigurationRecord,
} from './configuration-record.js';
import { CONFIGURATION_KEY } from './layout.js';
import type { StateStore, StateWrite } from './state-store.js';

/** The last configuration of the members that was applied. */
export class LastConfiguration {
  #record: ConfigurationRecord | null;
  #isChanged = false;

  /** @throws BalsaError `STATE_CORRUPT` */
  constructor(store: StateStore) {
    const bytes = store.get(CONFIGURATION_KEY);
    this.#record = bytes === undefined ? null : decodeConfigurationRecord(bytes);
  }

  /** `null`: none since the cluster was formed. */
  get record(): ConfigurationRecord | null {
    return this.#record;
  }

  change({ index, payload }: ConfigurationRecord): void {
    // A copy: the payload may be a view into a whole message.
    this.#record = { index, payload: Buffer.from(payload) };
    this.#isChanged = true;
  }

  flushInto(writes: StateWrite[]): void {
    if (!this.#isChanged || this.#record === null) return;
    writes.push({ key: CONFIGURATION_KEY, value: encodeConfigurationRecord(this.#record) });
    this.#isChanged = false;
  }
}
