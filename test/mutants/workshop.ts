import { spawn } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { compileSource, compileTools } from '../compile-tools.js';
import { applyEdit, type Edit } from './mutation.js';

const COPIED = [
  'src',
  'test',
  'bench',
  'jepsen-like',
  'package.json',
  'tsconfig.json',
  'tsconfig.build.json',
  'tsconfig.tools.json',
  'vitest.config.ts',
];

/** A scratch copy of the project, in which one mutation at a time is put. */
export class Workshop {
  readonly folder: string;
  readonly #root: string;

  constructor(root: string) {
    this.#root = root;
    this.folder = mkdtempSync(join(tmpdir(), 'balsa-mutants-'));
    for (const name of COPIED) {
      cpSync(join(root, name), join(this.folder, name), { recursive: true });
    }
    symlinkSync(join(root, 'node_modules'), join(this.folder, 'node_modules'));
  }

  /** Makes the edits, does the work, and takes them back. */
  async with<T>(edits: readonly Edit[], work: () => Promise<T>): Promise<T> {
    const files = [...new Set(edits.map((edit) => edit.file))];
    for (const edit of edits) {
      writeFileSync(join(this.folder, edit.file), applyEdit(this.#read(edit.file), edit));
    }
    try {
      return await work();
    } finally {
      for (const file of files) cpSync(join(this.#root, file), join(this.folder, file));
    }
  }

  /**
   * Runs test files of what is here now, until one of them fails.
   * @param only tests whose names have this in them; default: all
   */
  async test(files: readonly string[], timeoutMs: number, only = ''): Promise<RunResult> {
    // Those that run procedures in a thread run what the build has made of it.
    if (files.some((file) => this.#read(file).includes('WORKER_FILE'))) {
      await compileSource(this.folder);
    }
    const args = ['run', '--bail', '1', '--reporter', 'verbose', '--maxWorkers', '1', ...files];
    if (only !== '') args.push('--testNamePattern', only);
    return this.#spawn(join(this.folder, 'node_modules/.bin/vitest'), args, timeoutMs);
  }

  /** Compiles what is here now and runs one of its programs. */
  async runCompiled(
    program: string,
    args: readonly string[],
    timeoutMs: number,
  ): Promise<RunResult> {
    await this.compile();
    return this.run(program, args, timeoutMs);
  }

  compile(): Promise<void> {
    // A mutation may well offend the types.
    return compileTools(this.folder, join(this.folder, '.tools'));
  }

  /** Runs one of the programs that were compiled last. */
  run(program: string, args: readonly string[], timeoutMs: number): Promise<RunResult> {
    return this.#spawn(process.execPath, [join('.tools', program), ...args], timeoutMs);
  }

  #read(file: string): string {
    return readFileSync(join(this.folder, file), 'utf8');
  }

  #spawn(file: string, args: readonly string[], timeoutMs: number): Promise<RunResult> {
    return new Promise((resolve, reject) => {
      const child = spawn(file, args, {
        cwd: this.folder,
        detached: true,
        env: { ...process.env, NO_COLOR: '1', CI: 'true' },
        stdio: ['ignore', 'pipe', 'pipe'],
      });
      let output = '';
      const gather = (bytes: Buffer): void => {
        output = (output + bytes.toString('utf8')).slice(-200_000);
      };
      child.stdout.on('data', gather);
      child.stderr.on('data', gather);
      let timedOut = false;
      const timer = setTimeout(() => {
        timedOut = true;
        // Its workers, too.
        if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
      }, timeoutMs);
      child.once('error', reject);
      child.once('close', (code) => {
        clearTimeout(timer);
        resolve({ code: code ?? -1, output, timedOut });
      });
    });
  }

  dispose(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}

export interface RunResult {
  readonly code: number;
  readonly output: string;
  readonly timedOut: boolean;
}
