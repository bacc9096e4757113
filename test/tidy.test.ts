import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { describe, expect, test } from 'vitest';

/** The code tests itself: the layer rules of ARCHITECTURE.md are facts, not wishes. */

const ROOT = resolve(import.meta.dirname, '..');
const SRC = join(ROOT, 'src');

/** What each layer may import of the others, and of the libraries. */
const LAYERS: Record<string, { layers: readonly string[]; packages: readonly string[] | 'any' }> = {
  base: { layers: [], packages: ['msgpackr', 'node:zlib', 'node:net'] },
  raft: { layers: ['base'], packages: [] },
  statemachine: { layers: ['base'], packages: [] },
  storage: { layers: ['base', 'raft', 'statemachine'], packages: 'any' },
  compute: { layers: ['base'], packages: 'any' },
  rpc: { layers: ['base', 'raft'], packages: 'any' },
  server: {
    layers: ['base', 'raft', 'statemachine', 'storage', 'compute', 'rpc'],
    packages: 'any',
  },
  cluster: { layers: ['base', 'compute', 'rpc', 'client'], packages: 'any' },
  client: { layers: ['base', 'rpc'], packages: 'any' },
  cli: { layers: ['base', 'compute', 'rpc', 'client', 'cluster', 'server'], packages: 'any' },
};

/** `raft` and `statemachine` are functions of their past. */
const PURE_LAYERS = ['raft', 'statemachine'];
const IMPURE = [
  /\bDate\b/,
  /\bperformance\b/,
  /\bMath\.random\b/,
  /\bset(?:Timeout|Interval|Immediate)\b/,
  /\bqueueMicrotask\b/,
  /\bprocess\b/,
  /\bconsole\b/,
  /\bcrypto\b/,
  /\blocaleCompare\b/,
  /\bIntl\b/,
  /\bimport\(/,
  /base\/clock\.js/,
];

interface Source {
  readonly path: string;
  readonly layer: string;
  /** Without comments, so that prose is not taken for code. */
  readonly code: string;
  readonly imports: readonly string[];
}

function filesBelow(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
    .map((entry) => join(entry.parentPath, entry.name));
}

function withoutComments(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/(^|[^:'"`])\/\/.*$/gm, '$1');
}

function importsOf(code: string): string[] {
  const statements = code.matchAll(/^(?:import|export)\s[\w\s*{},$]*?\bfrom\s+['"]([^'"]+)['"];/gm);
  const bare = code.matchAll(/^import\s+['"]([^'"]+)['"];/gm);
  const dynamic = code.matchAll(/\bimport\(\s*['"]([^'"]+)['"]/g);
  return [...statements, ...bare, ...dynamic].map((match) => match[1] as string);
}

const sources: Source[] = filesBelow(SRC).map((path) => {
  const code = withoutComments(readFileSync(path, 'utf8'));
  return {
    path: relative(ROOT, path),
    layer: relative(SRC, path).split('/')[0] as string,
    code,
    imports: importsOf(code),
  };
});

/** Layer of what is imported; `null` for a package. */
function layerOf(source: Source, specifier: string): string | null {
  if (!specifier.startsWith('.')) return null;
  const target = resolve(ROOT, dirname(source.path), specifier);
  return relative(SRC, target).split('/')[0] as string;
}

describe('the layers', () => {
  test('there is source to look at, and every folder is a known layer', () => {
    expect(sources.length).toBeGreaterThan(50);
    const layers = [...new Set(sources.map((s) => s.layer))];
    expect(layers.filter((layer) => LAYERS[layer] === undefined)).toEqual([]);
  });

  test('each layer imports only what it may', () => {
    const offences: string[] = [];
    for (const source of sources) {
      const rule = LAYERS[source.layer];
      for (const specifier of source.imports) {
        const layer = layerOf(source, specifier);
        const allowed =
          layer === null
            ? rule?.packages === 'any' || rule?.packages.includes(specifier)
            : layer === source.layer || rule?.layers.includes(layer);
        if (!allowed) offences.push(`${source.path} imports ${specifier}`);
      }
    }
    expect(offences).toEqual([]);
  });

  test('ARCHITECTURE.md has the same table', () => {
    const text = readFileSync(join(ROOT, 'ARCHITECTURE.md'), 'utf8');
    const [, table = ''] = /Who may import whom.*:\n\n((?: {4}.*\n)+)/.exec(text) ?? [];
    const told = [...table.matchAll(/^ {4}(\w+) +(.+)$/gm)].map(
      ([, layer = '', others = '']): [string, string[]] => [
        layer,
        others === 'nobody' ? [] : others.split(', ').sort(),
      ],
    );
    const known = Object.entries(LAYERS).map(([layer, { layers }]) => [layer, layers.toSorted()]);
    expect(Object.fromEntries(told)).toEqual(Object.fromEntries(known));
  });

  test('jepsen-like knows the system as its users do: the public client, and a cluster with switches', () => {
    const path = join(ROOT, 'jepsen-like');
    const imports = filesBelow(path).flatMap((file) =>
      importsOf(withoutComments(readFileSync(file, 'utf8')))
        .filter((specifier) => specifier.startsWith('.'))
        .map((specifier) => relative(ROOT, resolve(dirname(file), specifier))),
    );
    const outside = imports.filter((target) => !target.startsWith('jepsen-like/'));
    expect(outside.length).toBeGreaterThan(10);
    const isAllowed = (target: string): boolean =>
      target === 'src/client/client.js' || target.startsWith('src/cluster/');
    // What builds replicas with bugs is shared with the other hunt for them.
    const isWorkshop = (target: string): boolean =>
      target.startsWith('test/mutants/') || target === 'test/compile-tools.js';
    expect(outside.filter((target) => !isAllowed(target) && !isWorkshop(target))).toEqual([]);
  });

  test('no layer has a barrel', () => {
    expect(sources.filter((s) => s.path.endsWith('/index.ts')).map((s) => s.path)).toEqual([]);
  });

  test('only console modules write to the console', () => {
    const offenders = sources.filter((s) => /\bconsole\./.test(s.code)).map((s) => s.path);
    expect(offenders).toEqual([]);
  });
});

describe('purity', () => {
  test('raft and statemachine know no clock, no chance, no timer, no process, no locale', () => {
    const offences: string[] = [];
    for (const source of sources.filter((s) => PURE_LAYERS.includes(s.layer))) {
      for (const pattern of IMPURE) {
        if (pattern.test(source.code)) offences.push(`${source.path}: ${pattern.source}`);
      }
    }
    expect(offences).toEqual([]);
  });

  test('raft has no promise: nothing interleaves inside a step', () => {
    const offenders = sources
      .filter((s) => s.layer === 'raft' && /\b(?:async|await|Promise)\b/.test(s.code))
      .map((s) => s.path);
    expect(offenders).toEqual([]);
  });

  test('a verdict of jepsen-like is a function of the lines of a history', () => {
    const folders = ['checkers', 'history', 'picture'];
    const files = folders.flatMap((folder) => filesBelow(join(ROOT, 'jepsen-like', folder)));
    const offences: string[] = [];
    for (const path of files) {
      const code = withoutComments(readFileSync(path, 'utf8'));
      const name = relative(ROOT, path);
      const isReader = name.startsWith('jepsen-like/history/');
      for (const specifier of importsOf(code)) {
        const target = relative(ROOT, resolve(dirname(path), specifier));
        const isWithin = folders.some((folder) => target.startsWith(`jepsen-like/${folder}/`));
        if (specifier.startsWith('.') ? !isWithin : !isReader) {
          offences.push(`${name} imports ${specifier}`);
        }
      }
      // Histories have processes, too.
      for (const pattern of isReader ? [] : IMPURE) {
        const isWord = pattern.source === /\bprocess\b/.source;
        if (!isWord && pattern.test(code)) offences.push(`${name}: ${pattern.source}`);
      }
    }
    expect(files.length).toBeGreaterThan(30);
    expect(offences).toEqual([]);
  });

  test('time and chance enter the other layers in one place each', () => {
    const clock = sources.filter((s) => s.path !== 'src/base/clock.ts');
    const readers = clock.filter((s) => /\bDate\.now\b|\bperformance\.now\b/.test(s.code));
    expect(readers.filter((s) => !CLOCK_EXEMPT.test(s.path)).map((s) => s.path)).toEqual([]);
  });
});

/** The command line and the process harness live in real time only. */
const CLOCK_EXEMPT = /^src\/(?:cli|cluster)\//;

describe('size', () => {
  test('no file is longer than 500 lines', () => {
    const all = [SRC, join(ROOT, 'test'), join(ROOT, 'jepsen-like')].flatMap(filesBelow);
    const long = all
      .map((path) => ({ path, lines: readFileSync(path, 'utf8').split('\n').length }))
      .filter(({ lines }) => lines > 501)
      .map(({ path, lines }) => `${relative(ROOT, path)}: ${lines}`);
    expect(long).toEqual([]);
  });
});

describe('the project speaks of itself alone', () => {
  test('no path of a machine and no registry host is in the tree', () => {
    const tracked = ['src', 'test', 'jepsen-like']
      .flatMap((folder) => filesBelow(join(ROOT, folder)))
      .filter((path) => !path.endsWith('tidy.test.ts'));
    const offenders = tracked.filter((path) =>
      /\/work\/|\/root\/|registry\./.test(readFileSync(path, 'utf8')),
    );
    expect(offenders.map((path) => relative(ROOT, path))).toEqual([]);
  });
});

describe('the lock file', () => {
  test('has the builds of every platform, or `npm ci` fails on all but one', () => {
    const text = readFileSync(join(ROOT, 'package-lock.json'), 'utf8');
    const { packages } = JSON.parse(text) as {
      packages: Record<string, { optionalDependencies?: Record<string, string> }>;
    };
    const wanted = Object.entries(packages).flatMap(([owner, entry]) =>
      Object.keys(entry.optionalDependencies ?? {}).map((name) => ({ owner, name })),
    );
    const missing = wanted.filter(
      ({ owner, name }) =>
        packages[`node_modules/${name}`] === undefined &&
        packages[`${owner}/node_modules/${name}`] === undefined,
    );
    expect(wanted.length).toBeGreaterThan(10);
    expect(missing).toEqual([]);
    expect(text).not.toMatch(/"resolved"/);
  });
});
