import { KNOWN_COMMANDS } from '../base/command-versions.js';
import { corrupt } from './corrupt.js';
import { KNOWN_COMMANDS_KEY } from './layout.js';
import type { StateStore, StateWrite } from './state-store.js';

const FORMAT = 1;
const BYTES = 3;

/**
 * The newest version of commands that the log has had. Whoever is a member, or becomes one, needs to know it: without it the log
 * cannot be applied. So what it takes need not be asked of members that do not answer.
 */
export class KnownCommands {
  #version: number;
  #isChanged = false;

  /** @throws BalsaError `STATE_CORRUPT` */
  constructor(store: StateStore) {
    const bytes = store.get(KNOWN_COMMANDS_KEY);
    this.#version = bytes === undefined ? 0 : decode(bytes);
  }

  /** 0: the log has had none that is remembered, see {@link KNOWN_COMMANDS}. */
  get version(): number {
    return this.#version;
  }

  /** Is a command of this version the first one that is as new as `version`, as far as is remembered? */
  isFirst(version: number, applied: number): boolean {
    return applied >= version && this.#version < version;
  }

  /** A command of this version is applied. */
  saw(version: number): void {
    // An older Balsa, which has no such record, would have another state.
    if (version < KNOWN_COMMANDS || version <= this.#version) return;
    this.#version = version;
    this.#isChanged = true;
  }

  flushInto(writes: StateWrite[]): void {
    if (!this.#isChanged) return;
    const value = Buffer.allocUnsafe(BYTES);
    value.writeUInt16BE(this.#version, value.writeUInt8(FORMAT, 0));
    writes.push({ key: KNOWN_COMMANDS_KEY, value });
    this.#isChanged = false;
  }
}

function decode(bytes: Uint8Array): number {
  const [format, high = 0, low = 0] = bytes;
  if (bytes.byteLength !== BYTES || format !== FORMAT) {
    throw corrupt(`a version of commands of ${bytes.byteLength} bytes and format ${format}`);
  }
  return high * 256 + low;
}
