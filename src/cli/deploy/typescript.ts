import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';

/** A compiler of TypeScript that is there. */
export interface TypeScript {
  readonly version: string;
  /** Its command, a script. */
  readonly tsc: string;
}

/** The TypeScript of the project that the file belongs to, or of this folder, or what comes with Balsa. */
export function findTypeScript(file: string): TypeScript | null {
  for (const from of [file, join(resolve('.'), 'x.js'), import.meta.url]) {
    const found = typeScriptFrom(from);
    if (found !== null) return found;
  }
  return null;
}

function typeScriptFrom(from: string): TypeScript | null {
  try {
    const path = createRequire(from).resolve('typescript/package.json');
    const { version, bin } = JSON.parse(readFileSync(path, 'utf8')) as {
      readonly version?: string;
      readonly bin?: { readonly tsc?: string };
    };
    if (bin?.tsc === undefined) return null;
    return { version: version ?? '', tsc: join(dirname(path), bin.tsc) };
  } catch {
    // It is not there, or not as it is published: for us that is the same.
    return null;
  }
}

/** One message of the compiler. */
export interface Diagnostic {
  /** `null`: it is about the compilation as a whole. */
  readonly path: string | null;
  readonly line: number;
  readonly column: number;
  /** `TS2322` */
  readonly code: string;
  /** May have more lines. */
  readonly text: string;
}

export interface Compilation {
  /** It ran to its end, and had nothing to say. */
  readonly passed: boolean;
  readonly diagnostics: readonly Diagnostic[];
  /** All that it has read. */
  readonly files: readonly string[];
  /** What else it has said. */
  readonly said: string;
}

const OUTPUT_BYTES_MAX = 64 * 1024 * 1024;

/** Compiles a project, for its messages alone. @throws the error of the signal */
export function compile(
  { tsc }: TypeScript,
  project: string,
  signal: AbortSignal,
): Promise<Compilation> {
  const args = [tsc, '--project', project, '--pretty', 'false', '--listFiles'];
  return new Promise((done, failed) => {
    const options = { signal, maxBuffer: OUTPUT_BYTES_MAX, encoding: 'utf8' } as const;
    execFile(process.execPath, args, options, (error, stdout, stderr) => {
      if (signal.aborted) failed(signal.reason);
      else done({ ...parseOutput(stdout, stderr), passed: error === null });
    });
  });
}

const WITH_PLACE = /^(.+)\((\d+),(\d+)\): error (TS\d+): (.*)$/;
const WITHOUT_PLACE = /^error (TS\d+): (.*)$/;

function parseOutput(stdout: string, stderr: string): Omit<Compilation, 'passed'> {
  const diagnostics: Diagnostic[] = [];
  const files: string[] = [];
  const said: string[] = stderr.split('\n').filter((line) => line !== '');
  for (const line of stdout.split(/\r?\n/)) {
    const last = diagnostics.at(-1);
    const [, file = '', row, column, code = '', text = ''] = WITH_PLACE.exec(line) ?? [];
    const [, globalCode, globalText = ''] = WITHOUT_PLACE.exec(line) ?? [];
    if (code !== '') {
      const place = { path: resolve(file), line: Number(row), column: Number(column) };
      diagnostics.push({ ...place, code, text });
    } else if (globalCode !== undefined) {
      diagnostics.push({ path: null, line: 0, column: 0, code: globalCode, text: globalText });
    } else if (/^\s+\S/.test(line) && last !== undefined) {
      // It goes on to explain.
      diagnostics[diagnostics.length - 1] = { ...last, text: `${last.text}\n${line}` };
    } else if (/^(?:\/|[A-Za-z]:[\\/])/.test(line)) {
      files.push(resolve(line));
    } else if (line !== '') {
      said.push(line);
    }
  }
  return { diagnostics, files, said: said.join('\n') };
}
