import {
  existsSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { compile, type Diagnostic, findTypeScript } from './typescript.js';

/** What became of a check of types. */
export type TypeCheck =
  | {
      readonly checked: true;
      /** In the code that is deployed. */
      readonly errors: readonly Diagnostic[];
      /** What was looked at, beyond the code: types that are imported, and the settings. */
      readonly files: readonly string[];
    }
  | { readonly checked: false; readonly why: string };

/**
 * Checks the types of a module and what it imports, with the settings of the project that it belongs to; but the code runs
 * in the sandbox, where there is nothing of Node.js and of browsers.
 *
 * @param made of which files the code is made
 */
export async function checkTypes(
  file: string,
  made: readonly string[],
  signal: AbortSignal,
): Promise<TypeCheck> {
  const typeScript = findTypeScript(file);
  if (typeScript === null) {
    return { checked: false, why: 'there is no TypeScript here (npm install -D typescript)' };
  }
  const { version } = typeScript;
  if (isOlder(version, VERSION_MIN)) {
    return { checked: false, why: `TypeScript ${version} is too old (${VERSION_MIN} will do)` };
  }
  // Compilers name files by their real paths.
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'balsa-types-')));
  try {
    const settings = nearestSettings(file);
    writeProject(folder, { file, settings, version });
    const { passed, diagnostics, files, said } = await compile(typeScript, folder, signal);
    if (!passed && diagnostics.length === 0) {
      const why = said.split('\n')[0] ?? '';
      return { checked: false, why: `TypeScript ${version} cannot be run: ${why}` };
    }
    const deployed = new Set(made.flatMap((path) => [path, realPath(path)]));
    const errors = diagnostics.filter((one) => isOurs(one, deployed)).map(inOtherWords);
    const looked = files.filter((path) => !isForeign(path) && !path.startsWith(folder));
    return {
      checked: true,
      errors,
      files: [...looked, ...(settings === null ? [] : [settings])],
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const VERSION_MIN = '5.0';

function isOlder(version: string, than: string): boolean {
  return version.localeCompare(than, 'en', { numeric: true }) < 0;
}

/** Of the file, as editors find them. */
function nearestSettings(file: string): string | null {
  for (let folder = dirname(file); ; folder = dirname(folder)) {
    const path = join(folder, 'tsconfig.json');
    if (existsSync(path)) return path;
    if (dirname(folder) === folder) return null;
  }
}

/** Where nobody has said how it shall be: as the bundler reads the code. */
const USUAL = {
  strict: true,
  target: 'esnext',
  module: 'esnext',
  moduleResolution: 'bundler',
  allowImportingTsExtensions: true,
  resolveJsonModule: true,
  allowJs: true,
};

/** Settings that are about what a compiler writes, and that some of them allow together with others only. */
const NOTHING_WRITTEN = {
  noEmit: true,
  composite: false,
  incremental: false,
  declaration: false,
  declarationMap: false,
  emitDeclarationOnly: false,
  verbatimModuleSyntax: false,
  rootDir: null,
  outDir: null,
  outFile: null,
  tsBuildInfoFile: null,
};

const OF_THE_SANDBOX = { lib: ['esnext'], types: [] };

/** Worth a word in an editor; no reason not to run the code. */
const LENIENT = { skipLibCheck: true, noUnusedLocals: false, noUnusedParameters: false };

interface Project {
  readonly file: string;
  /** The settings that hold for it; `null`: none. */
  readonly settings: string | null;
  /** Of the compiler. */
  readonly version: string;
}

function writeProject(folder: string, { file, settings, version }: Project): void {
  const files = [file];
  const authoring = authoringTypes();
  if (authoring !== null) {
    const path = join(folder, 'procedures.d.ts');
    // The code gets the `balsa/procedures` of this command, whatever is installed where it lies.
    writeFileSync(path, `declare module 'balsa/procedures' {\n${authoring}\n}\n`);
    files.push(path);
  }
  const project = {
    ...(settings === null ? {} : { extends: settings }),
    compilerOptions: {
      ...(settings === null ? USUAL : {}),
      ...NOTHING_WRITTEN,
      // One that does not know a setting refuses it, also when it is off.
      ...(isOlder(version, '5.5') ? {} : { isolatedDeclarations: false }),
      ...OF_THE_SANDBOX,
      ...LENIENT,
    },
    ...{ files, include: [], references: [] },
  };
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(project));
}

/** From `dist/cli/deploy`, and from `src/cli/deploy` when the source is run as it is. */
const AUTHORING_TYPES = ['../../compute/procedures.d.ts', '../../../dist/compute/procedures.d.ts'];

function authoringTypes(): string | null {
  const paths = AUTHORING_TYPES.map((path) => fileURLToPath(new URL(path, import.meta.url)));
  const found = paths.find((path) => existsSync(path));
  if (found === undefined) return null;
  return readFileSync(found, 'utf8').replaceAll(/^(export )?declare /gm, '$1');
}

/** Modules that are imported for their types alone are of another world, perhaps. */
function isOurs({ path }: Diagnostic, deployed: ReadonlySet<string>): boolean {
  if (path === null) return true;
  return path.endsWith('.json') || deployed.has(path) || deployed.has(realPath(path));
}

/** What is known everywhere else. */
const FOREIGN_NAMES =
  /^Cannot find name '(console|process|Buffer|global|require|module|__dirname|__filename|window|document|fetch|URL|URLSearchParams|TextEncoder|TextDecoder|crypto|performance|structuredClone|queueMicrotask|set(?:Timeout|Interval|Immediate)|clear(?:Timeout|Interval|Immediate)|AbortController|AbortSignal|Blob|WebSocket|navigator|localStorage)'/;

/** The compiler would have another library added; here none can be. */
function inOtherWords(diagnostic: Diagnostic): Diagnostic {
  const [cannotFind, name] = FOREIGN_NAMES.exec(diagnostic.text) ?? [];
  if (cannotFind === undefined) return diagnostic;
  const instead = name === 'console' ? '; ctx.log writes a line for balsa proc logs' : '';
  const text = `${cannotFind}; procedures have nothing of Node.js or of browsers${instead}`;
  return { ...diagnostic, text };
}

function isForeign(path: string): boolean {
  return /[\\/]node_modules[\\/]/.test(path);
}

function realPath(path: string): string {
  return existsSync(path) ? realpathSync(path) : path;
}
