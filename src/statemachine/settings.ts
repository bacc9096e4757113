import { toBuffer } from '../base/bytes.js';
import type { StoreSettings } from '../base/operation.js';
import { corrupt } from './corrupt.js';
import { COUNT_BYTES, readCount, writeCount } from './fixed-binary.js';
import { SETTINGS_KEY } from './layout.js';
import type { StateStore, StateWrite } from './state-store.js';

const DEFAULTS: StoreSettings = { historyMs: 0, historyRevisions: 0, spaceQuotaBytes: 0 };

const FORMAT = 1;
const BYTES = 1 + 3 * COUNT_BYTES;

/** The settings of the whole store; they are replicated, so that all replicas act on the same. */
export class Settings {
  #current: StoreSettings;
  #isChanged = false;

  /** @throws BalsaError `STATE_CORRUPT` */
  constructor(store: StateStore) {
    const bytes = store.get(SETTINGS_KEY);
    this.#current = bytes === undefined ? DEFAULTS : decode(bytes);
  }

  get current(): StoreSettings {
    return this.#current;
  }

  /** Puts are refused with `NO_SPACE`. */
  isFull(spaceBytes: number): boolean {
    const { spaceQuotaBytes } = this.#current;
    return spaceQuotaBytes > 0 && spaceBytes >= spaceQuotaBytes;
  }

  change(change: Partial<StoreSettings>): void {
    this.#current = { ...this.#current, ...change };
    this.#isChanged = true;
  }

  flushInto(writes: StateWrite[]): void {
    if (!this.#isChanged) return;
    writes.push({ key: SETTINGS_KEY, value: encode(this.#current) });
    this.#isChanged = false;
  }
}

function encode({ historyMs, historyRevisions, spaceQuotaBytes }: StoreSettings): Buffer {
  const bytes = Buffer.allocUnsafe(BYTES);
  let offset = bytes.writeUInt8(FORMAT, 0);
  offset = writeCount(bytes, historyMs, offset);
  offset = writeCount(bytes, historyRevisions, offset);
  writeCount(bytes, spaceQuotaBytes, offset);
  return bytes;
}

function decode(source: Uint8Array): StoreSettings {
  const bytes = toBuffer(source);
  if (bytes.byteLength !== BYTES || bytes[0] !== FORMAT) {
    throw corrupt(`settings of ${bytes.byteLength} bytes and format ${bytes[0]}`);
  }
  const field = (n: number): number => readCount(bytes, 1 + n * COUNT_BYTES);
  return { historyMs: field(0), historyRevisions: field(1), spaceQuotaBytes: field(2) };
}
