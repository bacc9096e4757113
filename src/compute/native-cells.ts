import type { CallView } from './call-view.js';
import type { CellKind, CellName, Cells } from './procedures.js';

/** Does something with one cell; operands are values. */
type Ask = (action: string, ...operands: readonly unknown[]) => never;

/** What the sandbox gives of a cell, without a sandbox: the same names, and the same requests behind them. */
const HANDLES: { readonly [Kind in CellKind]: (ask: Ask) => Cells<unknown>[Kind] } = {
  counter: (ask) => ({
    value: () => ask('view'),
    add: (by = 1) => void ask('add', by),
  }),
  escrow: (ask) => ({
    value: () => ask('view'),
    rights: () => ask('rights'),
    add: (by) => void ask('add', by),
    take: (by) => ask('take', by),
  }),
  set: (ask) => ({
    values: () => ask('view'),
    has: (item) => ask('has', item),
    add: (item) => void ask('add', item),
    remove: (item) => void ask('remove', item),
  }),
  map: (ask) => ({
    entries: () => ask('view'),
    get: (field) => ask('get', field),
    put: (field, value) => void ask('put', field, value),
    remove: (field) => void ask('remove', field),
  }),
  register: (ask) => ({
    value: () => ask('view'),
    set: (value) => void ask('set', value),
  }),
  'multi-value': (ask) => ({
    values: () => ask('view'),
    set: (value) => void ask('set', value),
  }),
  log: (ask) => ({
    entries: () => ask('view'),
    append: (value) => void ask('append', value),
  }),
};

/** `ctx.cell` of a procedure that runs in this process. */
export function nativeCell<Kind extends CellKind, Value>(
  view: CallView,
  { cell, key }: CellName<Kind, Value>,
): Cells<Value>[Kind] {
  if (!Object.hasOwn(HANDLES, cell)) {
    throw new TypeError('ctx.cell takes what counter(), set() and the like give');
  }
  const ask = (action: string, ...values: readonly unknown[]): unknown => {
    const operands = values.map(toJson);
    return JSON.parse(view.cell({ cell, key, action, operands }));
  };
  return Object.freeze(HANDLES[cell](ask as Ask)) as Cells<Value>[Kind];
}

function toJson(value: unknown): string {
  const text = JSON.stringify(value) as string | undefined;
  if (text === undefined) throw new TypeError(`${typeof value} is no JSON`);
  return text;
}
