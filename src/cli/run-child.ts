import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import type { Child, ChildEnd } from './io.js';

/** What shells give for a command that is not there. */
const NOT_FOUND = 127;
const NOT_RUNNABLE = 126;

/** Runs a command of the machine with our stdout and stderr, until it has ended. */
export function runChild({ command, env, input, signal }: Child): Promise<ChildEnd> {
  const [file = '', ...args] = command;
  return new Promise((resolve) => {
    const child = spawn(file, args, {
      env: { ...process.env, ...env },
      stdio: [input === null ? 'inherit' : 'pipe', 'inherit', 'inherit'],
    });
    const stop = (): void => void child.kill('SIGTERM');
    signal.addEventListener('abort', stop, { once: true });
    if (signal.aborted) stop();
    const end = (exit: number): void => {
      signal.removeEventListener('abort', stop);
      resolve({ exit });
    };
    child.once('error', (error: NodeJS.ErrnoException) => {
      process.stderr.write(`${file}: ${error.message}\n`);
      end(error.code === 'ENOENT' ? NOT_FOUND : NOT_RUNNABLE);
    });
    child.once('close', (code, name) => {
      end(code ?? 128 + (name === null ? 0 : constants.signals[name]));
    });
    // A command need not read what it is given.
    child.stdin?.on('error', () => undefined);
    child.stdin?.end(input ?? undefined);
  });
}
