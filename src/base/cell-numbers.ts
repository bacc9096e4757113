import { compareTexts, fieldsOf, textOf } from './cell-values.js';
import type { CellChange, ChangeStamp } from './delta.js';

type ChangeOf<Type extends CellChange['cell']> = Extract<CellChange, { readonly cell: Type }>;

/** Digits of a number that is read; sums of what there can be do not come near. */
const WHOLE = /^(?:0|-?[1-9]\d{0,99})$/;

/** A sum, kept exactly. */
export class CounterState {
  readonly type = 'counter';
  #value: bigint;

  constructor(value = 0n) {
    this.#value = value;
  }

  /** @throws whatever it does not like */
  static from(json: Readonly<Record<string, unknown>>): CounterState {
    return new CounterState(toWhole(json.value));
  }

  get bytes(): number {
    return 48;
  }

  apply({ by }: ChangeOf<'counter'>): boolean {
    this.#value += BigInt(by);
    return true;
  }

  text(): string {
    return `{"type":"counter","value":"${this.#value}"}`;
  }

  view(): string {
    return numberText(this.#value);
  }

  clone(): CounterState {
    return new CounterState(this.#value);
  }
}

/**
 * A number that never falls below 0, though it is taken from at several places at once: each origin has rights to a part of it,
 * and takes of these alone.
 */
export class EscrowState {
  readonly type = 'escrow';
  /** By origin; none is 0. */
  readonly #rights: Map<string, bigint>;
  /** Of the value, what nobody has rights to before it is merged. */
  #unmerged: bigint;

  constructor(rights = new Map<string, bigint>(), unmerged = 0n) {
    this.#rights = rights;
    this.#unmerged = unmerged;
  }

  /** @throws whatever it does not like */
  static from(json: Readonly<Record<string, unknown>>): EscrowState {
    const rights = Object.entries(fieldsOf(json.rights)).map(
      ([origin, amount]) => [origin, toAmount(amount)] as const,
    );
    const unmerged = json.unmerged === undefined ? 0n : toAmount(json.unmerged);
    const made = new EscrowState(new Map(rights), unmerged);
    if (made.#value !== toWhole(json.value)) throw new TypeError('the parts are not the whole');
    return made;
  }

  get bytes(): number {
    return 80 + 42 * this.#rights.size;
  }

  /** @param origins among which new rights are split; `null`: nothing is merged yet */
  apply(
    change: ChangeOf<'escrow'>,
    { origin }: ChangeStamp,
    origins: readonly string[] | null,
  ): boolean {
    const by = BigInt(change.by);
    if (change.type === 'add') {
      if (origins === null) this.#unmerged += by;
      else this.#split(by, origins.length === 0 ? [origin] : origins);
      return true;
    }
    const left = (this.#rights.get(origin) ?? 0n) - by;
    if (left < 0n) return false;
    this.#set(origin, left);
    if (change.type === 'give') {
      if (origins === null) this.#unmerged += by;
      else this.#raise(change.to, by);
    }
    return true;
  }

  /** Rounded down to what a number can say. */
  rightsOf(origin: string): number {
    const rights = this.#rights.get(origin) ?? 0n;
    return rights > MOST ? Number.MAX_SAFE_INTEGER : Number(rights);
  }

  text(): string {
    const rights = [...this.#rights].sort(([a], [b]) => compareTexts(a, b));
    const listed = rights.map(([origin, amount]) => `${JSON.stringify(origin)}:"${amount}"`);
    const unmerged = this.#unmerged === 0n ? '' : `,"unmerged":"${this.#unmerged}"`;
    return `{"type":"escrow","value":"${this.#value}","rights":{${listed.join()}}${unmerged}}`;
  }

  view(): string {
    return numberText(this.#value);
  }

  clone(): EscrowState {
    return new EscrowState(new Map(this.#rights), this.#unmerged);
  }

  get #value(): bigint {
    return [...this.#rights.values()].reduce((sum, amount) => sum + amount, this.#unmerged);
  }

  #split(by: bigint, origins: readonly string[]): void {
    const share = by / BigInt(origins.length);
    const rest = by % BigInt(origins.length);
    origins.forEach((origin, i) => void this.#raise(origin, BigInt(i) < rest ? share + 1n : share));
  }

  #raise(origin: string, by: bigint): void {
    this.#set(origin, (this.#rights.get(origin) ?? 0n) + by);
  }

  #set(origin: string, amount: bigint): void {
    if (amount === 0n) this.#rights.delete(origin);
    else this.#rights.set(origin, amount);
  }
}

const MOST = BigInt(Number.MAX_SAFE_INTEGER);

/** Beyond 2^53 the nearest number that there is. */
function numberText(value: bigint): string {
  return JSON.stringify(Number(value));
}

function toWhole(json: unknown): bigint {
  const text = textOf(json);
  if (!WHOLE.test(text)) throw new TypeError('no whole number');
  return BigInt(text);
}

function toAmount(json: unknown): bigint {
  const amount = toWhole(json);
  if (amount <= 0n) throw new TypeError('no amount');
  return amount;
}
