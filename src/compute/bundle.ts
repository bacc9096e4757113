import { createHash } from 'node:crypto';
import { basename, dirname, join, resolve } from 'node:path';
import { type BuildFailure, build, type Message, type Metafile, type Plugin } from 'esbuild';
import { systemClock } from '../base/clock.js';
import { asBalsaError, BalsaError } from '../base/errors.js';
import type { DeclaredProcedure, Mode } from '../base/operation.js';
import { BUNDLE_BYTES_MAX } from '../base/operation-check.js';
import { AUTHORING, authoring } from './authoring.js';
import { type Bundle, CALL_LIMITS } from './execution.js';
import { Vm } from './sandbox/vm.js';
import { isOfPackage, placeText, type Replacement, thrownAt } from './source-place.js';

const MODES: ReadonlySet<string> = new Set<Mode>(['cp', 'read', 'ap']);

/** The bundler gives modules of the older kind the name of the file in which they were found. */
const MODULE_PATH = /__commonJS\(\{"[^"]*"\(/g;
const NO_MODULE_PATH = '__commonJS({"module"(';

/** Messages of the bundler that are shown. */
const SHOWN_MAX = 5;

/** Code to be deployed, and what it defines. */
export interface ProcedureBundle extends Bundle {
  readonly procedures: readonly DeclaredProcedure[];
}

export interface BundleOptions {
  /**
   * Told of each file that the code is made of before it is read, the packages of others left out; and when something is
   * not there, of what would be another file or folder if it were. So whoever looks at all of these knows when to try again.
   */
  readonly onFile?: (path: string) => void;
}

/**
 * Makes one piece of code of a TypeScript or JavaScript module and all that it imports, and looks what procedures it
 * exports. The same sources give the same code, wherever they lie.
 *
 * @throws BalsaError `FILE_INVALID`: it cannot be compiled, imports what the sandbox does not have, or exports no
 *   procedure; `PROCEDURE_LIMIT` (`bundleBytesMax`)
 */
export async function bundleProcedures(
  file: string,
  { onFile = () => {} }: BundleOptions = {},
): Promise<ProcedureBundle> {
  const path = resolve(file);
  const compiled = await compile(path, onFile);
  const { code } = compiled;
  const bytes = Buffer.byteLength(code);
  if (bytes > BUNDLE_BYTES_MAX) {
    throw new BalsaError(
      'PROCEDURE_LIMIT',
      `${file} with all that it imports has ${bytes} bytes; the limit is ${BUNDLE_BYTES_MAX} (bundleBytesMax)`,
      { details: { limit: 'bundleBytesMax', max: BUNDLE_BYTES_MAX } },
    );
  }
  const hash = createHash('sha256').update(code).digest('hex');
  return { hash, code, procedures: await declaredIn({ hash, code }, file, compiled) };
}

interface Compiled {
  readonly code: string;
  /** Where each part of the code is from, before anything was replaced in it. */
  readonly sourceMap: string;
  readonly replaced: readonly Replacement[];
  /** Names of files in the map begin here. */
  readonly folder: string;
}

async function compile(file: string, onFile: (path: string) => void): Promise<Compiled> {
  const folder = dirname(file);
  onFile(file);
  try {
    const { made, sourceMap } = await bundledBody(file, onFile);
    const replaced = [...made.matchAll(MODULE_PATH)].map(({ 0: { length }, index }) => ({
      index,
      grownBy: NO_MODULE_PATH.length - length,
    }));
    const code = made.replaceAll(MODULE_PATH, NO_MODULE_PATH);
    return { code, sourceMap, replaced, folder };
  } catch (cause) {
    const { errors } = cause as Partial<BuildFailure>;
    if (errors === undefined) throw cause;
    for (const error of errors) for (const path of missingFor(error, folder)) onFile(path);
    const shown = errors.slice(0, SHOWN_MAX).map((error) => textOfError(error, file));
    throw new BalsaError('FILE_INVALID', shown.join('\n'), { cause });
  }
}

/** As the body of a function that returns what the modules export. */
async function bundledBody(file: string, onFile: (path: string) => void): Promise<Bundled> {
  const modules = await bundled(file, 'esm', onFile);
  const body = asBody(modules);
  if (body !== null) return { ...modules, made: body };
  const whole = await bundled(file, 'iife', onFile);
  return { ...whole, made: `${whole.made}return procedures;` };
}

interface Bundled {
  readonly made: string;
  readonly sourceMap: string;
  readonly metafile: Metafile;
}

/** @param format `iife`: `procedures` is an object that the bundler has made of what is exported */
async function bundled(
  file: string,
  format: 'esm' | 'iife',
  onFile: (path: string) => void,
): Promise<Bundled> {
  const { outputFiles, metafile } = await build({
    entryPoints: [`./${basename(file)}`],
    absWorkingDir: dirname(file),
    bundle: true,
    write: false,
    outfile: 'procedures.js',
    sourcemap: 'external',
    sourcesContent: false,
    metafile: true,
    format,
    globalName: 'procedures',
    // It becomes the body of a function, which knows neither.
    supported: { 'top-level-await': false, 'import-meta': false },
    platform: 'neutral',
    mainFields: ['module', 'main'],
    target: 'es2023',
    // Comments name the paths of this machine.
    minifyWhitespace: true,
    legalComments: 'none',
    logLevel: 'silent',
    plugins: [authoring, filesTold(onFile)],
  });
  const textOf = (name: string): string =>
    outputFiles.find(({ path }) => path.endsWith(name))?.text ?? '';
  return { made: textOf('.js'), sourceMap: textOf('.js.map'), metafile };
}

/** At the end of all modules: what they export. */
const EXPORTS = /export\{([^{}]*)\};\s*$/;

/** One of them: the name that it has in the code, and the one, or the text, under which it is exported. */
const EXPORTED = /([^\s,{}"]+)(?:\s+as\s*("(?:[^"\\]|\\.)*"|[^\s,{}"]+))?/gu;

/**
 * The bundler's own object has an accessor for each export, and making it takes a third of a call: the code is run anew for each. So
 * what is exported is returned in an object of its own; `null` where only the bundler's tells what that is: a module of the older
 * kind decides when it runs.
 */
function asBody({ made, metafile: { inputs, outputs } }: Bundled): string | null {
  if (Object.values(inputs).some(({ format }) => format === 'cjs')) return null;
  const [statement, list = ''] = EXPORTS.exec(made) ?? [''];
  const fields = [...list.matchAll(EXPORTED)].map(([, local, name = local]) =>
    name === '__proto__' ? `["__proto__"]:${local}` : `${name}:${local}`,
  );
  const exported = Object.values(outputs).flatMap(({ exports }) => exports);
  if (fields.length !== exported.length) return null;
  return `${made.slice(0, made.length - statement.length)}return{${fields.join()}};`;
}

function filesTold(onFile: (path: string) => void): Plugin {
  return {
    name: 'balsa-files',
    setup({ onLoad }) {
      onLoad({ filter: /./, namespace: 'file' }, ({ path }) => {
        if (path !== AUTHORING && !isOfPackage(path)) onFile(path);
        return undefined;
      });
    },
  };
}

/** Where there would be something new if what could not be found were there. */
function missingFor({ text, location }: Message, folder: string): readonly string[] {
  const [, wanted] = /^Could not resolve "([^"]+)"/.exec(text) ?? [];
  if (wanted === undefined || location === null) return [];
  const importer = dirname(resolve(folder, location.file));
  if (/^\.{0,2}\//.test(wanted)) return [dirname(resolve(importer, wanted))];
  const [name = '', part] = wanted.split('/');
  const found = name.startsWith('@') && part !== undefined ? join(name, part) : name;
  return [...ancestors(importer)].map((each) => join(each, 'node_modules', found));
}

function* ancestors(folder: string): Generator<string> {
  yield folder;
  const parent = dirname(folder);
  if (parent !== folder) yield* ancestors(parent);
}

function textOfError({ text, location }: Message, file: string): string {
  const isForeign = /Could not resolve "(?:node:)?[a-z_/]+"/.test(text);
  const said = `${text}${isForeign ? '; procedures have nothing of Node.js' : ''}`;
  // What nobody imports is the module itself.
  if (location === null) return `${file}: ${said}`;
  const { line, column } = location;
  const path = resolve(dirname(file), location.file);
  return `${placeText({ path, line, column: column + 1 })}: ${said}`;
}

async function declaredIn(
  bundle: Bundle,
  file: string,
  compiled: Compiled,
): Promise<readonly DeclaredProcedure[]> {
  const vm = await Vm.make(bundle, CALL_LIMITS, systemClock);
  let procedures: readonly DeclaredProcedure[];
  try {
    // Whose code it is that has called a package may lie deep.
    const errorStackLinesMax = Number.POSITIVE_INFINITY;
    procedures = vm.list({ ...CALL_LIMITS, computeMsMax: 5000, errorStackLinesMax });
  } catch (cause) {
    const { message, details } = asBalsaError(cause);
    const place = thrownAt(String(details.stack ?? ''), compiled);
    const where = place === null ? file : placeText(place);
    const said = message.replace(/^the procedure threw /, 'the module throws ');
    throw new BalsaError('FILE_INVALID', `${where}: ${said}`, { cause });
  }
  if (procedures.length === 0) {
    throw new BalsaError('FILE_INVALID', `${file} exports no procedure; see balsa/procedures`);
  }
  const unknown = procedures.find(({ mode }) => !MODES.has(mode));
  if (unknown !== undefined) {
    const message = `${file}: ${unknown.name} is declared as ${unknown.mode}; known are ${[...MODES].join(', ')}`;
    throw new BalsaError('FILE_INVALID', message);
  }
  const called = procedures.find(({ mode, trigger }) => trigger !== null && mode !== 'cp');
  if (called !== undefined) {
    const message = `${file}: ${called.name} is declared as ${called.mode}, and a trigger is cp`;
    throw new BalsaError('FILE_INVALID', message);
  }
  return procedures;
}
