import { existsSync, readdirSync, readFileSync, realpathSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { BalsaError } from '../../base/errors.js';

/** What one key holds, apart from the round in which it was written. */
export interface SourceRecord {
  readonly key: string;
  readonly content: unknown;
}

const DOCUMENT_BYTES_MAX = 256 * 1024;

/**
 * The package.json of every package installed below `nodeModules`, nested ones too: one record
 * `package/<name>@<version>` for the whole, and one `package/<name>@<version>/<field>` per field.
 * Sorted by key.
 */
export function readRecords(nodeModules: string): SourceRecord[] {
  const documents = new Map<string, object>();
  for (const folder of packageFolders(nodeModules)) {
    const document = readDocument(join(folder, 'package.json'));
    if (document !== null) documents.set(document.id, document.content);
  }
  return [...documents]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .flatMap(([id, content]) => toRecords(id, content));
}

/**
 * The `node_modules` with packages in it that is next to one of `folders` or above it; the first
 * folder goes first.
 * @throws BalsaError `FILE_UNREADABLE`
 */
export function findNodeModules(folders: readonly string[]): string {
  for (const start of folders) {
    for (let folder = start; ; folder = dirname(folder)) {
      const candidate = join(folder, 'node_modules');
      if (existsSync(candidate) && packageFolders(candidate).length > 0) return candidate;
      if (dirname(folder) === folder) break;
    }
  }
  throw new BalsaError(
    'FILE_UNREADABLE',
    `no node_modules with packages at or above ${folders.join(' or ')}; run: npm install`,
  );
}

function toRecords(id: string, content: object): SourceRecord[] {
  const fields = Object.entries(content).map(([field, value]) => ({
    key: `package/${id}/${field}`,
    content: value as unknown,
  }));
  return [{ key: `package/${id}`, content }, ...fields];
}

/** Folders of installed packages, nested ones included; links are followed once. */
function packageFolders(nodeModules: string, seen = new Set<string>()): string[] {
  const real = realpathSync(nodeModules);
  if (seen.has(real)) return [];
  seen.add(real);
  const found: string[] = [];
  for (const name of namesIn(real)) {
    const names = name.startsWith('@')
      ? namesIn(join(real, name)).map((inner) => join(name, inner))
      : [name];
    for (const packageName of names) {
      const folder = join(real, packageName);
      if (existsSync(join(folder, 'package.json'))) found.push(folder);
      const nested = join(folder, 'node_modules');
      if (existsSync(nested)) found.push(...packageFolders(nested, seen));
    }
  }
  return found;
}

function namesIn(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() || entry.isSymbolicLink())
    .map((entry) => entry.name)
    .filter((name) => !name.startsWith('.'))
    .sort();
}

/** `null` for what is not a package's document: the demo is not here to judge other people's files. */
function readDocument(path: string): { readonly id: string; readonly content: object } | null {
  const text = readFileSync(path, 'utf8');
  if (text.length > DOCUMENT_BYTES_MAX) return null;
  const content = parse(text);
  if (typeof content !== 'object' || content === null) return null;
  const { name, version } = content as { readonly name?: unknown; readonly version?: unknown };
  if (typeof name !== 'string' || typeof version !== 'string') return null;
  return { id: `${name}@${version}`, content };
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
