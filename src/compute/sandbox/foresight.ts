import { isWellFormed, toBytes } from '../../base/bytes.js';
import { cellNameOf } from '../../base/delta.js';
import type { Execution, ProcedureCall, StoredKey, StoreSource } from '../execution.js';
import { Forecasts } from '../forecast.js';

/** What a call would ask the store for, given before it asks. */
export interface Given {
  readonly found: readonly (readonly [key: Uint8Array, found: StoredKey | null])[];
  readonly cells: readonly (readonly [key: string, cell: Uint8Array | null])[];
}

/** Arguments that are longer are not looked at: the replica does nothing else meanwhile. */
const ARGS_LENGTH_MAX = 4096;

/** What is larger is left for the call to ask for. */
const GIVEN_BYTES_MAX = 64 * 1024;

/** A call that reads more is not learnt from. */
const LEARNT_MAX = 64;

/**
 * For calls that are run one by one: each question to the store takes two hops between threads, and what a call will ask is
 * mostly known from those before it ({@link Forecast}). What it has not asked for does not count as read.
 */
export class Foresight {
  readonly #keys = new Forecasts();
  readonly #cells = new Forecasts();

  /** `null`: nothing is known, or nothing can be had at once. */
  given(call: ProcedureCall, source: StoreSource): Given | null {
    const parsed = argsOf(call);
    if (parsed === null) return null;
    const procedure = idOf(call);
    const keys = this.#keys.of(procedure).predict(parsed.value);
    const cells = this.#cells.of(procedure).predict(parsed.value);
    if (keys.length === 0 && cells.length === 0) return null;
    try {
      return { found: foundIn(source, keys), cells: cellsIn(source, cells) };
    } catch {
      // Whoever asks for it is told what is wrong.
      return null;
    }
  }

  /** @param cells that it has looked at */
  learn(call: ProcedureCall, execution: Execution, cells: readonly string[]): void {
    const { reads } = execution.ok ? execution.effects : execution.reads;
    if (reads.length > LEARNT_MAX || cells.length > LEARNT_MAX) return;
    const parsed = argsOf(call);
    if (parsed === null) return;
    const procedure = idOf(call);
    const keys = reads.map(({ key }) => Buffer.from(key).toString());
    this.#keys.of(procedure).learn(parsed.value, new Set(keys));
    this.#cells.of(procedure).learn(parsed.value, new Set(cells));
  }
}

/**
 * Cells change while a call goes on, for whoever sees what is not merged: of two of them the one that is read later must not be the
 * older one. All other keys are read as of one revision.
 */
export function isForeseeable(key: Uint8Array): boolean {
  return key.byteLength > 0 && cellNameOf(key) === null;
}

function foundIn(source: StoreSource, keys: readonly string[]): [Uint8Array, StoredKey | null][] {
  return keys
    .map(toBytes)
    .filter(isForeseeable)
    .map((key): [Uint8Array, StoredKey | null] => [key, source.get(key)])
    .filter(([, one]) => (one?.value.byteLength ?? 0) <= GIVEN_BYTES_MAX);
}

function cellsIn(source: StoreSource, keys: readonly string[]): [string, Uint8Array | null][] {
  return keys
    .filter(isWellFormed)
    .map((key): [string, Uint8Array | null] => [key, source.cell(key)])
    .filter(([, cell]) => (cell?.byteLength ?? 0) <= GIVEN_BYTES_MAX);
}

function idOf({ bundle, name }: ProcedureCall): string {
  return `${bundle.hash} ${name}`;
}

function argsOf({ args }: ProcedureCall): { readonly value: unknown } | null {
  if (args.length > ARGS_LENGTH_MAX) return null;
  try {
    return { value: JSON.parse(args) as unknown };
  } catch {
    return null;
  }
}
