import { createHash } from 'node:crypto';
import { basename, dirname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type BuildFailure, build, type Message, type Plugin } from 'esbuild';
import { systemClock } from '../base/clock.js';
import { BalsaError } from '../base/errors.js';
import type { DeclaredProcedure, Mode } from '../base/operation.js';
import { BUNDLE_BYTES_MAX } from '../base/operation-check.js';
import { type Bundle, CALL_LIMITS } from './execution.js';
import { Vm } from './sandbox/vm.js';

const MODES: ReadonlySet<string> = new Set<Mode>(['cp', 'read']);

/** The bundler gives modules of the older kind the name of the file in which they were found. */
const MODULE_PATH = /__commonJS\(\{"[^"]*"\(/g;

/** Messages of the bundler that are shown. */
const SHOWN_MAX = 5;

/** Code to be deployed, and what it defines. */
export interface ProcedureBundle extends Bundle {
  readonly procedures: readonly DeclaredProcedure[];
}

/**
 * Makes one piece of code of a TypeScript or JavaScript module and all that it imports, and looks what procedures it
 * exports. The same sources give the same code, wherever they lie.
 *
 * @throws BalsaError `FILE_INVALID`: it cannot be compiled, imports what the sandbox does not have, or exports no
 *   procedure; `PROCEDURE_LIMIT` (`bundleBytesMax`)
 */
export async function bundleProcedures(file: string): Promise<ProcedureBundle> {
  const code = await compile(resolve(file));
  const bytes = Buffer.byteLength(code);
  if (bytes > BUNDLE_BYTES_MAX) {
    throw new BalsaError(
      'PROCEDURE_LIMIT',
      `${file} with all that it imports has ${bytes} bytes; the limit is ${BUNDLE_BYTES_MAX} (bundleBytesMax)`,
      { details: { limit: 'bundleBytesMax', max: BUNDLE_BYTES_MAX } },
    );
  }
  const hash = createHash('sha256').update(code).digest('hex');
  return { hash, code, procedures: await declaredIn({ hash, code }, file) };
}

async function compile(file: string): Promise<string> {
  try {
    const { outputFiles } = await build({
      entryPoints: [`./${basename(file)}`],
      absWorkingDir: dirname(file),
      bundle: true,
      write: false,
      format: 'iife',
      globalName: 'procedures',
      platform: 'neutral',
      mainFields: ['module', 'main'],
      target: 'es2023',
      // Comments name the paths of this machine.
      minifyWhitespace: true,
      legalComments: 'none',
      logLevel: 'silent',
      plugins: [authoring],
    });
    const code = (outputFiles[0]?.text ?? '').replaceAll(MODULE_PATH, '__commonJS({"module"(');
    return `${code}return procedures;`;
  } catch (cause) {
    const { errors } = cause as Partial<BuildFailure>;
    if (errors === undefined) throw cause;
    throw new BalsaError('FILE_INVALID', errors.slice(0, SHOWN_MAX).map(textOf).join('\n'), {
      cause,
    });
  }
}

/** `balsa/procedures` is part of this package, wherever the user's code lies. */
const authoring: Plugin = {
  name: 'balsa-procedures',
  setup({ onResolve }) {
    const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
    const path = fileURLToPath(new URL(`./procedures.${extension}`, import.meta.url));
    onResolve({ filter: /^balsa\/procedures$/ }, () => ({ path }));
  },
};

function textOf({ text, location }: Message): string {
  const where =
    location === null ? '' : `${location.file}:${location.line}:${location.column + 1}: `;
  const isForeign = /Could not resolve "(?:node:)?[a-z_/]+"/.test(text);
  return `${where}${text}${isForeign ? '; procedures have nothing of Node.js' : ''}`;
}

async function declaredIn(bundle: Bundle, file: string): Promise<readonly DeclaredProcedure[]> {
  const vm = await Vm.make(bundle, CALL_LIMITS, systemClock);
  let procedures: readonly DeclaredProcedure[];
  try {
    procedures = vm.list({ ...CALL_LIMITS, computeMsMax: 5000 });
  } catch (cause) {
    throw new BalsaError('FILE_INVALID', `${file}: ${(cause as Error).message}`, { cause });
  }
  if (procedures.length === 0) {
    throw new BalsaError('FILE_INVALID', `${file} exports no procedure; see balsa/procedures`);
  }
  const unknown = procedures.find(({ mode }) => !MODES.has(mode));
  if (unknown !== undefined) {
    const message = `${file}: ${unknown.name} is declared as ${unknown.mode}; known are ${[...MODES].join(', ')}`;
    throw new BalsaError('FILE_INVALID', message);
  }
  return procedures;
}
