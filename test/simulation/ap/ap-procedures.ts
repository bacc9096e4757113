import { createHash } from 'node:crypto';
import { BalsaError } from '../../../src/base/errors.js';
import type { DeclaredProcedure, Mode } from '../../../src/base/operation.js';
import {
  type Execution,
  failedExecution,
  type ProcedureCall,
  type Source,
} from '../../../src/compute/execution.js';
import { runInView } from '../calls/run-in-view.js';

/** Each call does one of these; what it did is an entry of {@link LOG}, made by the same delta. */
export type ApAction =
  | { readonly type: 'count'; readonly by: number }
  | { readonly type: 'stock'; readonly by: number }
  | { readonly type: 'take'; readonly by: number }
  | { readonly type: 'tag' }
  /** Takes away the tag of another call. */
  | { readonly type: 'untag'; readonly of: string };

export interface ApArgs {
  readonly id: string;
  readonly action: ApAction;
}

/** As it stands in {@link LOG}. */
export interface Done extends ApArgs {
  /** Of `take`: there were rights for it; of `untag`: it was there. */
  readonly did: boolean;
}

export const LOG = 'ap/log';
export const COUNTER = 'ap/counter';
export const STOCK = 'ap/stock';
export const TAGS = 'ap/tags';

type Cells = (cell: string, key: string, action: string, ...operands: unknown[]) => unknown;

function act(cells: Cells, { id, action }: ApArgs): boolean {
  switch (action.type) {
    case 'count':
      return cells('counter', COUNTER, 'add', action.by) as boolean;
    case 'stock':
      return cells('escrow', STOCK, 'add', action.by) as boolean;
    case 'take':
      return cells('escrow', STOCK, 'take', action.by) as boolean;
    case 'tag':
      return cells('set', TAGS, 'add', id) as boolean;
    case 'untag': {
      const has = cells('set', TAGS, 'has', action.of) as boolean;
      if (has) cells('set', TAGS, 'remove', action.of);
      return has;
    }
    default:
      return false;
  }
}

/** What was done, as it is seen where the call ran. */
function look(cells: Cells): string[] {
  return (cells('log', LOG, 'view') as Done[]).map(({ id }) => id);
}

const PROCEDURES: Readonly<
  Record<string, { readonly mode: Mode; readonly run: (cells: Cells, args: ApArgs) => unknown }>
> = {
  'ap-do': {
    mode: 'ap',
    run: (cells, args) => {
      const did = act(cells, args);
      const done: Done = { ...args, did };
      cells('log', LOG, 'append', done);
      // Not all of it: results lie in queues and in the log.
      return { did, times: look(cells).filter((id) => id === args.id).length };
    },
  },
  'ap-look': {
    mode: 'read',
    run: (cells) => ({ seen: look(cells), stock: cells('escrow', STOCK, 'view') }),
  },
};

const CODE = 'ap procedures';

export const AP_BUNDLE: {
  readonly hash: string;
  readonly code: string;
  readonly procedures: readonly DeclaredProcedure[];
} = {
  hash: createHash('sha256').update(CODE).digest('hex'),
  code: CODE,
  procedures: Object.entries(PROCEDURES).map(([name, { mode }]) => ({ name, mode, trigger: null })),
};

/** Runs a call as the sandbox would; `null`: it is of another bundle. */
export function runAp(call: ProcedureCall, mode: Mode, source: Source): Execution | null {
  if (call.bundle.code !== CODE) return null;
  const definition = PROCEDURES[call.name];
  if (definition?.mode !== mode) {
    return failedExecution(new BalsaError('PROCEDURE_FAILED', `no ${call.name} of mode ${mode}`));
  }
  return runInView(call, mode, source, (view, args) => {
    const cells: Cells = (cell, key, action, ...operands) =>
      JSON.parse(
        view.cell({ cell, key, action, operands: operands.map((one) => JSON.stringify(one)) }),
      );
    return definition.run(cells, args as ApArgs);
  });
}
