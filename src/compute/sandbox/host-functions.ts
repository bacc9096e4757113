import type { QuickJSContext, QuickJSHandle } from 'quickjs-emscripten-core';
import { prefixEnd } from '../../base/bytes.js';
import { asBalsaError, BalsaError, type ErrorCode } from '../../base/errors.js';
import { type CallView, checkText, type ScanOptions } from '../call-view.js';
import { dueOf, type ScheduleRequest } from '../cron.js';
import type { Ending } from './ending.js';
import type { Memory } from './quick-js.js';

export interface Host {
  /** Of the call under way. */
  view(): CallView;
  /** Log time when the call under way began. */
  logMs(): number;
  end(ending: Ending): void;
  /** What the call has read of what it was given, and written: JSON. */
  replay(done: string): void;
}

type Implementation = (...args: QuickJSHandle[]) => QuickJSHandle | undefined;

/**
 * The object through which the guest speaks to the outside; see `GUEST_CODE`. All texts come as JSON: so that none is empty
 * (which means that there was no memory for it), and that no character is lost on the way.
 */
export function hostFunctions(context: QuickJSContext, memory: Memory, host: Host): QuickJSHandle {
  const json = (handle: QuickJSHandle | undefined): string => {
    const text = handle === undefined ? '' : context.getString(handle);
    if (text === '') throw memory.exhausted();
    return text;
  };
  const text = (handle: QuickJSHandle | undefined): string => String(JSON.parse(json(handle)));
  const number = (handle: QuickJSHandle | undefined): number =>
    handle === undefined ? Number.NaN : context.getNumber(handle);
  const refuse = (code: ErrorCode, message: string): never => {
    throw host.view().fail(new BalsaError(code, message, { outcome: 'not-applied' }));
  };
  const functions: Record<string, Implementation> = {
    get: (key) => {
      const found = host.view().get(text(key));
      return found === null ? undefined : context.newString(found);
    },
    replay: (done) => void host.replay(json(done)),
    put: (key, value) => void host.view().put(text(key), json(value)),
    delete: (key) => void host.view().delete(text(key)),
    update: (type, key, by) =>
      void host.view().add(text(type) === 'max' ? 'max' : 'add', text(key), number(by)),
    setIfAbsent: (key, value) => void host.view().setIfAbsent(text(key), json(value)),
    emit: (name, payload) => void host.view().emit(text(name), json(payload)),
    log: (line) => void host.view().log(text(line)),
    checkpoint: (value) => void host.view().checkpoint(json(value)),
    abort: (reason) => host.view().abort(text(reason)),
    due: (request) => {
      const wanted = JSON.parse(json(request)) as ScheduleRequest;
      return context.newNumber(dueOf(wanted, host.logMs()));
    },
    scan: (options) => {
      const pairs = host.view().scan(toScan(JSON.parse(json(options))));
      return context.newString(JSON.stringify(pairs));
    },
    cell: (cell, key, action, ...operands) => {
      const request = { cell: text(cell), key: text(key), action: text(action) };
      return context.newString(host.view().cell({ ...request, operands: operands.map(json) }));
    },
    // The last one is answered: those before it are changes.
    cells: (requests) =>
      context.newString(performAll(host.view(), JSON.parse(json(requests)) as CellRequestList)),
    done: (result) => void host.end({ type: 'done', result: json(result) }),
    failed: (name, message, stack) => {
      const thrown = { name: text(name), message: text(message), stack: text(stack) };
      host.end({ type: 'threw', thrown });
      return undefined;
    },
    unknown: (name) => refuse('PROCEDURE_NOT_FOUND', `the code defines no procedure ${text(name)}`),
    unexpected: (mode) =>
      refuse('PROCEDURE_NOT_FOUND', `the procedure is declared as ${text(mode)} in its code`),
    refuse: (issues) => refuse('INVALID_ARGUMENT', `arguments: ${text(issues)}`),
    undecodable: (key) => refuse('VALUE_NOT_DECODABLE', `the value of ${text(key)} is not JSON`),
  };
  const object = context.newObject();
  for (const [name, run] of Object.entries(functions)) {
    const handle = context.newFunction(name, (...args) => {
      try {
        return run(...args);
      } catch (error) {
        const { code, message } = asBalsaError(error);
        return { error: context.newError({ name: code, message }) };
      }
    });
    context.setProp(object, name, handle);
    handle.dispose();
  }
  return object;
}

/** What calls do with cells, as the guest tells it: type, key, action, operands. */
export type CellRequestList = [cell: unknown, key: string, action: string, ...string[]][];

/** @returns the answer to the last one @throws BalsaError as {@link CallView.cell} */
export function performAll(view: CallView, requests: CellRequestList): string {
  let answer = 'null';
  for (const [cell, key, action, ...operands] of requests) {
    answer = view.cell({ cell: String(cell), key, action, operands });
  }
  return answer;
}

/** @throws BalsaError `INVALID_ARGUMENT` */
export function toScan(options: Record<string, unknown>): ScanOptions {
  const { prefix, from, to, limit } = options;
  for (const [name, value] of Object.entries({ prefix, from, to })) {
    if (value !== undefined && typeof value !== 'string') {
      throw invalid(`${name} must be a string, found ${typeof value}`);
    }
    if (value !== undefined) checkText(value);
  }
  if (limit !== undefined && !(Number.isSafeInteger(limit) && (limit as number) >= 0)) {
    throw invalid(`limit must be a whole number from 0, found ${String(limit)}`);
  }
  if (prefix !== undefined && (from !== undefined || to !== undefined)) {
    throw invalid('either prefix, or from and to');
  }
  const begin = Buffer.from((prefix ?? from ?? '') as string);
  const end =
    prefix === undefined ? (to === undefined ? null : Buffer.from(to as string)) : prefixEnd(begin);
  return { from: begin, to: end, limit: (limit as number | undefined) ?? Number.POSITIVE_INFINITY };
}

function invalid(message: string): BalsaError {
  return new BalsaError('INVALID_ARGUMENT', `ctx.scan: ${message}`, { outcome: 'not-applied' });
}
