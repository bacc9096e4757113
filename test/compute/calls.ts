import type { Effects } from '../../src/base/call.js';
import { type Clock, systemClock } from '../../src/base/clock.js';
import type { Mode } from '../../src/base/operation.js';
import {
  CALL_LIMITS,
  type CallLimits,
  type Execution,
  type Source,
} from '../../src/compute/execution.js';
import { Vm } from '../../src/compute/sandbox/vm.js';
import { MemorySource } from './memory-source.js';

/** Compiled by `npm run build`: a thread cannot load what the test runner only has in memory. */
export const WORKER_FILE = new URL('../../dist/compute/sandbox/worker.js', import.meta.url);

/** A bundle with one procedure `p`; `body` is that of its handler `(ctx, args)`. */
export function oneProcedure(body: string, mode: Mode = 'cp', before = ''): string {
  return `${before}\nreturn { p: { mode: '${mode}', handler: (ctx, args) => {\n${body}\n} } };`;
}

/** A sandbox with some code, and calls of it. */
export class Sandbox {
  readonly vm: Vm;

  private constructor(vm: Vm) {
    this.vm = vm;
  }

  static async with(
    code: string,
    limits: Partial<CallLimits> = {},
    clock: Clock = systemClock,
    delayMs?: () => number,
  ): Promise<Sandbox> {
    const bundle = { hash: 'test', code };
    return new Sandbox(await Vm.make(bundle, { ...CALL_LIMITS, ...limits }, clock, delayMs));
  }

  call(
    options: {
      readonly name?: string;
      readonly args?: unknown;
      readonly mode?: Mode;
      readonly source?: Source;
      readonly limits?: Partial<CallLimits>;
      readonly nowMs?: number;
      readonly seed?: number;
      readonly origin?: string;
    } = {},
  ): Execution {
    const { name = 'p', args = null, mode = 'cp', source = new MemorySource() } = options;
    return this.vm.run(
      {
        bundle: { hash: 'test', code: '' },
        name,
        args: JSON.stringify(args),
        nowMs: options.nowMs ?? 1_700_000_000_000,
        seed: options.seed ?? 1,
        origin: options.origin ?? '',
        limits: { ...CALL_LIMITS, ...options.limits },
      },
      mode,
      source,
    );
  }
}

/** The result of one call of a procedure with this body. */
export async function resultOf(
  body: string,
  options: Parameters<Sandbox['call']>[0] = {},
): Promise<unknown> {
  return parsed((await Sandbox.with(oneProcedure(body, options.mode))).call(options));
}

export function parsed(execution: Execution): unknown {
  if (!execution.ok) throw execution.error;
  return JSON.parse(execution.result);
}

/** Its error code and, behind a space, its message. */
export function failureOf(execution: Execution): string {
  return execution.ok
    ? `it gave ${execution.result}`
    : `${execution.error.code} ${execution.error.message}`;
}

/** Effects with text for bytes. */
export function effectsOf(execution: Execution): unknown {
  if (!execution.ok) throw execution.error;
  return shown(execution.effects);
}

function shown(effects: Effects): unknown {
  const toText = (value: unknown): unknown => {
    if (value instanceof Uint8Array) return Buffer.from(value).toString();
    if (Array.isArray(value)) return value.map(toText);
    if (typeof value !== 'object' || value === null) return value;
    return Object.fromEntries(Object.entries(value).map(([key, field]) => [key, toText(field)]));
  };
  return toText(effects);
}

/**
 * The code of a thread that tells, as a checkpoint, when it begins to load the code of a call.
 * @param stepMax of those calls alone whose step is no more, see `AnswerWriter`: -1 for all, -2 for all but the first one
 */
export function tellingLoads(stepMax: number): URL {
  const code = `
    import { parentPort } from 'node:worker_threads';
    const { store } = Atomics;
    Atomics.store = (array, at, value) => {
      store(array, at, value);
      if (value <= ${stepMax}) parentPort.postMessage({ type: 'checkpoint', json: String(value) });
      return value;
    };
    await import(${JSON.stringify(WORKER_FILE.href)});`;
  return new URL(`data:text/javascript,${encodeURIComponent(code)}`);
}
