import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { expect } from 'vitest';
import { findEntry } from '../../src/cluster/entry.js';
import { freePorts } from '../../src/cluster/free-ports.js';
import { Talker } from './support.js';

/** Pages of `docs` as programs: their blocks of TypeScript and their lines of `balsa`, in the order in which they stand there. */

const ROOT = resolve(import.meta.dirname, '../..');
const execute = promisify(execFile);

/** Endpoints as pages write them: those of the cluster take their place. */
const AS_TEXT = "'127.0.0.1:7001,127.0.0.1:7002,127.0.0.1:7003'";
const AS_LIST = "['127.0.0.1:7001', '127.0.0.1:7002', '127.0.0.1:7003']";
/** Where a replica listens that a block starts by itself. */
const OWN_ADDRESS = '127.0.0.1:7101';

interface Block {
  readonly type: 'block';
  /** It is to be a module of this name, which others import: its first line says so. Else it is a program. */
  readonly module: string | null;
  readonly code: string;
}

interface Command {
  readonly type: 'command';
  /** As a shell reads it, with what is printed behind `#`. */
  readonly line: string;
}

type Part = Block | Command;

export function partsOf(page: string): readonly Part[] {
  const found = page.matchAll(/^```ts\n([\s\S]*?)^```$|^ {4}(balsa .*)$/gm);
  return [...found].map(([, code, line = '']): Part => {
    if (code === undefined) return { type: 'command', line };
    return { type: 'block', module: /^\/\/ (\S+\.ts)\n/.exec(code)?.[1] ?? null, code };
  });
}

/** What a block prints, a line each: it stands behind each `console.log`. `a, then b` is two lines. */
function printedBy(code: string): readonly string[] {
  const lines = code.matchAll(/\bconsole\.log\(.*\);? *\/\/ (.+)$/gm);
  return [...lines].flatMap(([, text = '']) => text.split(', then '));
}

/** A page that is run, in a folder of its own within the package: `balsa` is this package as it is published. */
export class Page implements AsyncDisposable {
  readonly parts: readonly Part[];
  readonly #folder: string;
  readonly #endpoints: readonly string[];
  readonly #names = new Map<Part, string>();
  readonly #workers: Talker[] = [];

  static async open(name: string, endpoints: readonly string[]): Promise<Page> {
    const page = new Page(name, endpoints);
    const [port = 0] = await freePorts(1);
    page.#write(`127.0.0.1:${port}`);
    return page;
  }

  private constructor(name: string, endpoints: readonly string[]) {
    this.parts = partsOf(readFileSync(join(ROOT, 'docs', name), 'utf8'));
    this.#endpoints = endpoints;
    this.#folder = mkdtempSync(join(ROOT, '.readme-'));
  }

  #write(ownAddress: string): void {
    for (const [i, part] of this.parts.entries()) {
      if (part.type !== 'block') continue;
      const name = part.module ?? `program-${i}.ts`;
      this.#names.set(part, name);
      const code = part.code
        .replaceAll(AS_TEXT, JSON.stringify(this.#endpoints.join()))
        .replaceAll(AS_LIST, JSON.stringify(this.#endpoints))
        .replaceAll(OWN_ADDRESS, ownAddress);
      writeFileSync(join(this.#folder, name), part.module === null ? this.#program(code) : code);
    }
    // Examples end where what they show is there.
    const compilerOptions = { paths: {}, noUnusedLocals: false };
    const settings = { extends: '../tsconfig.json', compilerOptions, include: ['*.ts'] };
    writeFileSync(join(this.#folder, 'tsconfig.json'), JSON.stringify(settings));
  }

  /** A program that goes on with `db` of an earlier one has it. */
  #program(code: string): string {
    if (!/\bdb\b/.test(code) || /\bdb = /.test(code)) return code;
    const endpoints = JSON.stringify(this.#endpoints.join());
    return `import { connect as connectFirst } from 'balsa';\nawait using db = await connectFirst(${endpoints});\n${code}`;
  }

  /** Types of all blocks. */
  async check(): Promise<void> {
    const { stdout } = await execute(join(ROOT, 'node_modules/.bin/tsc'), ['-p', this.#folder], {
      cwd: ROOT,
    }).catch((error: { readonly stdout: string }) => error);
    expect(stdout).toBe('');
  }

  /** Everything, in order; programs that follow one another in one process. */
  async run(): Promise<void> {
    let programs: Block[] = [];
    for (const part of this.parts) {
      if (part.type === 'block') {
        if (part.module === null) programs.push(part);
        continue;
      }
      await this.#runPrograms(programs);
      programs = [];
      await this.#runCommand(part);
    }
    await this.#runPrograms(programs);
  }

  async #runPrograms(programs: readonly Block[]): Promise<void> {
    if (programs.length === 0) return;
    const files = programs.map((program) => this.#names.get(program) ?? '');
    const main = files.map((file) => `console.log('--- ${file}');\nawait import('./${file}');\n`);
    writeFileSync(join(this.#folder, 'main.mjs'), main.join(''));
    const { stdout, stderr } = await execute(join(ROOT, 'node_modules/.bin/tsx'), ['main.mjs'], {
      cwd: this.#folder,
    });
    expect(stderr).toBe('');
    const expected = programs.flatMap((program, i) => [
      `--- ${files[i]}`,
      ...printedBy(program.code),
    ]);
    expect(stdout.trimEnd().split('\n')).toEqual(expected);
  }

  async #runCommand({ line }: Command): Promise<void> {
    const command = line.replace(/^balsa /, `exec "${process.execPath}" "${findEntry()}" `);
    if (line.startsWith('balsa worker ')) {
      const endpoints = this.#endpoints.join();
      const worker = new Talker('sh', ['-c', `${command} --endpoints ${endpoints}`], this.#folder);
      this.#workers.push(worker);
      await worker.says(/waits for tasks/);
      return;
    }
    // The first call compiles the interpreter: that takes its time on a busy machine.
    const set = { BALSA_ENDPOINTS: this.#endpoints.join(), BALSA_TIMEOUT: '30s' };
    const { stdout } = await execute('sh', ['-c', command], {
      cwd: this.#folder,
      env: { ...process.env, ...set },
    });
    const [, printed] = / # (.+)$/.exec(line) ?? [];
    if (printed !== undefined) expect(stdout.trim().split('\n').join(' '), line).toBe(printed);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const worker of this.#workers) await worker[Symbol.asyncDispose]();
    rmSync(this.#folder, { recursive: true });
  }
}
