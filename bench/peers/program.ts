import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import { basename } from 'node:path';
import { BalsaError } from '../../src/base/errors.js';
import { guardChild, unguardChild } from '../../src/cluster/child-guard.js';

/** Of what a program wrote, so much is told. */
const TAIL_CHARS = 2000;

/**
 * Starts what does not outlive this process, however that ends. Ctrl-C at the terminal is for this process alone,
 * which then ends the others in order.
 */
export function spawnGuarded(
  program: string,
  args: readonly string[],
  options: SpawnOptions,
): ChildProcess {
  const child = spawn(program, args, { ...options, detached: true });
  const { pid } = child;
  if (pid === undefined) return child;
  guardChild(pid);
  child.once('exit', () => unguardChild(pid));
  return child;
}

/** How a process ended. `error`: it did not even start. */
export interface ProcessEnd {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly error?: Error;
}

export function endInWords({ code, signal, error }: ProcessEnd): string {
  if (error !== undefined) return `did not start: ${error.message}`;
  return signal === null ? `ended with exit code ${code}` : `was ended by ${signal}`;
}

/** The last that was written, on lines of its own. */
export function tailInWords(written: string): string {
  const whole = written.trim();
  // A line that is not all there says little.
  const from = whole.length <= TAIL_CHARS ? 0 : whole.indexOf('\n', -TAIL_CHARS + whole.length) + 1;
  const tail = whole.slice(from).slice(-TAIL_CHARS);
  return tail === '' ? 'it wrote nothing' : `the last that it wrote:\n${tail}`;
}

export interface ProgramOptions {
  /** It is killed when it takes longer. */
  readonly timeoutMs: number;
  /** Kills it. */
  readonly signal?: AbortSignal | undefined;
  onStart?(pid: number): void;
  /** Called with all of its standard output so far. */
  onOutput?(output: string, pid: number): void;
}

export interface ProgramOutput {
  readonly output: string;
  readonly errors: string;
}

/**
 * Runs a program to its end.
 *
 * @throws BalsaError `INTERNAL` when it fails or cannot be started, `TIMEOUT`; what `signal` was aborted with; what a
 *   callback throws
 */
export function runProgram(
  program: string,
  args: readonly string[],
  options: ProgramOptions,
): Promise<ProgramOutput> {
  const { timeoutMs, signal, onStart, onOutput } = options;
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const child = spawnGuarded(program, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    const { pid } = child;
    let output = '';
    let errors = '';
    const fail = (code: 'INTERNAL' | 'TIMEOUT', what: string): BalsaError => {
      const call = [basename(program), ...args].join(' ');
      return new BalsaError(code, `${call}: ${what}; ${tailInWords(errors || output)}`);
    };
    const giveUp = (reason: unknown): void => {
      child.kill('SIGKILL');
      reject(reason);
    };
    const attempt = (callback: () => void): void => {
      try {
        callback();
      } catch (error) {
        giveUp(error);
      }
    };
    const late = setTimeout(
      () => giveUp(fail('TIMEOUT', `did not end within ${timeoutMs / 1000} s, and was killed`)),
      timeoutMs,
    );
    const onAbort = (): void => giveUp(signal?.reason);
    signal?.addEventListener('abort', onAbort, { once: true });
    const over = (): void => {
      clearTimeout(late);
      signal?.removeEventListener('abort', onAbort);
    };
    child.stdout?.setEncoding('utf8').on('data', (chunk: string) => {
      output += chunk;
      if (pid !== undefined) attempt(() => onOutput?.(output, pid));
    });
    child.stderr?.setEncoding('utf8').on('data', (chunk: string) => {
      errors += chunk;
    });
    child.once('error', (error) => {
      over();
      reject(fail('INTERNAL', endInWords({ code: null, signal: null, error })));
    });
    // Not `exit`: what it wrote may come behind that.
    child.once('close', (code, by) => {
      over();
      if (code === 0) resolve({ output, errors });
      else reject(fail('INTERNAL', endInWords({ code, signal: by })));
    });
    if (pid !== undefined) attempt(() => onStart?.(pid));
  });
}
