import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { describe, expect, test } from 'vitest';
import { ERROR_CODES, isErrorCode } from '../src/base/errors.js';
import { HINTS } from '../src/cli/errors-to-exit.js';
import { EXIT_OF_CODE } from '../src/cli/exit-codes.js';
import { FIELDS, isFieldName } from '../src/server/config-fields.js';
import { LIMIT_NAMES } from '../src/server/config-limits.js';
import { loadConfig } from '../src/server/load-config.js';
import { fieldRows, limitRows } from './limits-page.js';
import { MUTATIONS } from './mutants/mutations.js';
import { hasTest, readTestFile, type TestFile } from './test-titles.js';

/** What the documents name is there, and as they say. */

const ROOT = resolve(import.meta.dirname, '..');
const DOCUMENTS = [
  ...['README.md', 'ARCHITECTURE.md'],
  ...readdirSync(join(ROOT, 'docs')).flatMap((name) =>
    name.endsWith('.md') ? [`docs/${name}`] : [],
  ),
];

/** Code is imported under the name that it has when it is compiled. */
const isThere = (path: string): boolean =>
  existsSync(path) || existsSync(path.replace(/\.js$/, '.ts'));

describe('paths that documents name', () => {
  test('are there', () => {
    const named = DOCUMENTS.flatMap((document) => {
      const lines = readFileSync(join(ROOT, document), 'utf8');
      const paths = lines.matchAll(
        /(?<![\w/@.-])(?:\.\/)?((?:bench|deploy|docs|examples|jepsen-like|src|test)\/[\w./-]*\w)/g,
      );
      return [...paths].map(([, path = '']) => ({ document, path }));
    });
    expect(named.length).toBeGreaterThan(300);
    const missing = named.filter(({ path }) => !isThere(join(ROOT, path)));
    expect(missing).toEqual([]);
  });

  test('are there where they are those of files of src without its name', () => {
    const layers = readdirSync(join(ROOT, 'src')).join('|');
    const named = DOCUMENTS.flatMap((document) => {
      const lines = readFileSync(join(ROOT, document), 'utf8');
      const paths = lines.matchAll(new RegExp(`\`((?:${layers})/[\\w./-]*\\w)\``, 'g'));
      return [...paths].map(([, path = '']) => ({ document, path }));
    });
    expect(named.length).toBeGreaterThan(40);
    const missing = named.filter(({ path }) => !isThere(join(ROOT, 'src', path)));
    expect(missing).toEqual([]);
  });

  test('are there where they are linked to', () => {
    const links = DOCUMENTS.flatMap((document) => {
      const lines = readFileSync(join(ROOT, document), 'utf8');
      return [...lines.matchAll(/\]\(([^)#\s]+)(?:#[^)]*)?\)/g)].map(([, path = '']) => ({
        document,
        path,
      }));
    }).filter(({ path }) => !/^\w+:/.test(path));
    expect(links.length).toBeGreaterThan(10);
    const missing = links.filter(
      ({ document, path }) => !existsSync(join(ROOT, dirname(document), path)),
    );
    expect(missing).toEqual([]);
  });
});

/** How many cells each row has, the head first; the line between the two is left out. */
function cellsOfTables(text: string): { head: string; cells: number[] }[] {
  const tables = text.matchAll(/^(\|.*\|)\n\|[-:| ]+\|\n((?:\|.*\n)*)/gm);
  return [...tables].map(([, head = '', rows = '']) => {
    const lines = [head, ...rows.split('\n').filter((line) => line !== '')];
    return { head, cells: lines.map((line) => line.split(/(?<!\\)\|/).length - 2) };
  });
}

describe('tables', () => {
  test('have rows, each with as many cells as the head', () => {
    const tables = DOCUMENTS.flatMap((document) =>
      cellsOfTables(readFileSync(join(ROOT, document), 'utf8')).map((table) => ({
        document,
        ...table,
      })),
    );
    expect(tables.length).toBeGreaterThan(40);
    const odd = tables.filter(
      ({ cells: [first, ...others] }) =>
        others.length === 0 || others.some((count) => count !== first),
    );
    expect(odd).toEqual([]);
  });
});

describe('figures and benchmarks', () => {
  const README = readFileSync(join(ROOT, 'README.md'), 'utf8');
  const page = readFileSync(join(ROOT, 'docs/performance.md'), 'utf8');

  test('of the README are those of docs/performance.md', () => {
    const rows = [
      ...README.matchAll(/^\| (\d+) \| ([\d,]+) \| (.*? ms) \| ([\d,]+) \| (.*? ms) \|$/gm),
    ];
    expect(rows).toHaveLength(4);
    for (const [, outstanding, puts, putMs, gets, getMs] of rows) {
      expect(page).toMatch(
        new RegExp(`^\\| put, ${outstanding}\\b[^|]*\\| ${puts} \\(${putMs}\\) `, 'm'),
      );
      expect(page).toMatch(
        new RegExp(`^\\| get, ${outstanding}\\b[^|]*\\| ${gets} \\(${getMs}\\) `, 'm'),
      );
    }
  });

  test('that can be run are in a document', () => {
    const { scripts } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
      scripts: Record<string, string>;
    };
    const all = DOCUMENTS.map((document) => readFileSync(join(ROOT, document), 'utf8')).join('\n');
    const unnamed = Object.keys(scripts).filter(
      (name) => name.startsWith('bench') && !new RegExp(`npm run ${name}(?![\\w:])`).test(all),
    );
    expect(unnamed).toEqual([]);
  });
});

describe('docs/errors.md', () => {
  test('has all error codes, as they are in the code', () => {
    const page = readFileSync(join(ROOT, 'docs/errors.md'), 'utf8');
    const told = page.split('\n').filter((line) => /^\| `[A-Z_]+` \|/.test(line));
    const known = Object.entries(ERROR_CODES).map(([code, { meaning, retryable }]) => {
      const [exit, hint] = isErrorCode(code) ? [EXIT_OF_CODE[code], HINTS[code]] : ['', null];
      const todo = (hint ?? '').replaceAll('<', '\\<');
      return `| \`${code}\` | ${meaning} | ${retryable ? 'yes' : 'no'} | ${exit} | ${todo} |`;
    });
    expect(told).toEqual(known);
  });
});

describe('docs/limits.md', () => {
  const page = readFileSync(join(ROOT, 'docs/limits.md'), 'utf8');
  const rows = page.split('\n').filter((line) => line.startsWith('| `'));
  const told = (names: readonly string[]) =>
    rows.filter((row) => names.includes(/^\| `(\w+)`/.exec(row)?.[1] ?? ''));

  test('has all limits, as they are in the code', () => {
    expect(told(LIMIT_NAMES)).toEqual(limitRows());
  });

  test('has all fields of the configuration, as they are in the code', () => {
    expect(told(Object.keys(FIELDS))).toEqual(fieldRows());
  });
});

describe('the files of deploy', () => {
  const sample = readFileSync(join(ROOT, 'deploy/balsa.json'), 'utf8');

  test('have a configuration that a replica takes, and that the document shows', () => {
    const { config, entries } = loadConfig({
      ...{ flags: { config: '/etc/balsa/balsa.json' }, env: {} },
      readFile: () => sample,
    });
    expect(Object.keys(config.members)).toEqual(['n1', 'n2', 'n3']);
    const { limits, ...fields } = JSON.parse(sample) as Record<string, unknown>;
    expect(Object.keys(fields).filter((name) => !isFieldName(name))).toEqual([]);
    const set = entries.filter(({ source }) => source === '/etc/balsa/balsa.json');
    expect(set).toHaveLength(Object.keys(fields).length + Object.keys(limits ?? {}).length);
    const page = readFileSync(join(ROOT, 'docs/operations.md'), 'utf8');
    expect(page).toContain(`\`\`\`json\n${sample}\`\`\``);
  });

  test('have a unit for systemd that starts a replica with it', () => {
    const unit = readFileSync(join(ROOT, 'deploy/balsa.service'), 'utf8');
    expect(unit).toMatch(/^ExecStart=\S+\/balsa start --config \/etc\/balsa\/balsa\.json$/m);
    const { dataFolder } = JSON.parse(sample) as { dataFolder: string };
    const [, state = ''] = /^StateDirectory=(\S+)$/m.exec(unit) ?? [];
    expect(dataFolder.startsWith(`/var/lib/${state}/`)).toBe(true);
  });
});

const text = readFileSync(join(ROOT, 'docs/raft-behaviours.md'), 'utf8');

interface Row {
  readonly what: string;
  readonly shownBy: readonly string[];
}

const rows: readonly Row[] = text
  .split('\n')
  .filter((line) => line.startsWith('| ') && !/^\| (?:---|behaviour|bug) /.test(line))
  .map((line) => {
    const [, what = '', shownBy = ''] = line.split(/(?<!\\)\|/).map((cell) => cell.trim());
    return { what, shownBy: shownBy.replaceAll('\\|', '|').split('<br>') };
  });
const proofs = rows.flatMap((row) => row.shownBy);

describe('the list of behaviours and bugs', () => {
  test('has a proof of each, in a form that is known', () => {
    expect(rows.length).toBeGreaterThan(150);
    expect(new Set(rows.map((row) => row.what)).size).toBe(rows.length);
    const unknown = proofs.filter(
      (proof) => !/^`test\/[\w/.-]+\.ts` \S|^mutation `[a-z0-9-]+`$/.test(proof),
    );
    expect(unknown).toEqual([]);
  });

  test('names tests that are there, under these titles', () => {
    const files = new Map<string, TestFile | null>();
    const missing: string[] = [];
    for (const proof of proofs) {
      const [, file, title] = /^`(test\/[^`]+)` (.+)$/.exec(proof) ?? [];
      if (file === undefined || title === undefined) continue;
      const path = join(ROOT, file);
      if (!files.has(file)) files.set(file, existsSync(path) ? readTestFile(path) : null);
      const found = files.get(file) ?? null;
      if (found === null || !hasTest(found, title)) missing.push(proof);
    }
    expect(missing).toEqual([]);
    expect(files.size).toBeGreaterThan(20);
  });

  test('names mutations that are there', () => {
    const names = new Set(MUTATIONS.map((mutation) => mutation.name));
    const named = proofs.flatMap((proof) => /^mutation `(.+)`$/.exec(proof)?.[1] ?? []);
    expect(named.filter((name) => !names.has(name))).toEqual([]);
    expect(named.length).toBeGreaterThan(30);
  });
});
