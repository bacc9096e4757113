/** Number of a value of one key. Equal values have equal numbers. */
export type ValueId = number;

/** The key holds nothing. */
export const NOTHING: ValueId = 0;

/** What an operation did to a register, and what its caller was told. */
export type Action =
  | { readonly kind: 'put'; readonly value: ValueId }
  | { readonly kind: 'get'; readonly value: ValueId }
  /** It found `old` and wrote `value`; of an operation of unknown outcome: it would have. */
  | { readonly kind: 'cas'; readonly old: ValueId; readonly value: ValueId }
  /** A compare-and-set that found something else than `old`. */
  | { readonly kind: 'refused'; readonly old: ValueId }
  /** `found`: was there something to delete? `null`: the caller was not told. */
  | { readonly kind: 'delete'; readonly found: boolean | null };

export interface RegisterOperation {
  readonly action: Action;
  readonly begin: number;
  /** Infinity: the outcome is not known. It may take effect at any time after its begin, or never. */
  readonly end: number;
  /** Of its begin, in the history. */
  readonly line: number;
}

/** The value that it needs to find; `null`: it takes any, or any but one. */
export function needs(action: Action): ValueId | null {
  if (action.kind === 'get') return action.value;
  if (action.kind === 'cas') return action.old;
  return action.kind === 'delete' && action.found === false ? NOTHING : null;
}

/** The value that it leaves; `null`: it changes nothing. */
export function leaves(action: Action): ValueId | null {
  if (action.kind === 'put' || action.kind === 'cas') return action.value;
  return action.kind === 'delete' && action.found !== false ? NOTHING : null;
}

/** Can it happen while the register holds this? */
export function isPossible(action: Action, value: ValueId): boolean {
  switch (action.kind) {
    case 'put':
      return true;
    case 'get':
      return action.value === value;
    case 'cas':
      return action.old === value;
    case 'refused':
      return action.old !== value;
    case 'delete':
      return action.found === null || action.found === (value !== NOTHING);
    default:
      throw new Error(`unknown action ${JSON.stringify(action satisfies never)}`);
  }
}

/** It takes any value but one: which write it has seen cannot be told from its answer. */
export function isVague(action: Action): boolean {
  return action.kind === 'refused' || (action.kind === 'delete' && action.found === true);
}

export function isUnknown({ end }: RegisterOperation): boolean {
  return end === Number.POSITIVE_INFINITY;
}
