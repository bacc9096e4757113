import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { describe, expect, test } from 'vitest';
import { findEntry } from '../../src/cluster/entry.js';
import { freePorts } from '../../src/cluster/free-ports.js';

/** The command as a process; `npm test` builds it first. */
function balsa(args: readonly string[]) {
  const child = spawn(process.execPath, [findEntry(), ...args], {
    env: { PATH: process.env.PATH, NO_COLOR: '1' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const texts = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].on('data', (chunk: Buffer) => {
      texts[name] += chunk.toString();
    });
  }
  return { child, texts };
}

async function exitOf(child: ChildProcess): Promise<unknown> {
  const [code] = await once(child, 'close');
  return code;
}

/** What a source file loads when it is loaded: its imports, not those of `import()`, nor of types. */
function staticImports(path: string): string[] {
  const text = readFileSync(path, 'utf8');
  const statements = text.matchAll(/^(?:import|export) (?!type )[^;]*?from '([^']+)';/gm);
  return [...statements].map((match) => match[1] ?? '');
}

describe('the balsa process', () => {
  test('refuses wrong usage with exit code 2 and a suggestion', async () => {
    const { child, texts } = balsa(['stauts']);
    expect(await exitOf(child)).toBe(2);
    expect(texts).toEqual({
      stdout: '',
      stderr: "error: unknown command 'stauts'\n(Did you mean status?)\ntry: balsa --help\n",
    });
  });

  test('ends quietly when nobody reads its output any more', async () => {
    const args = ['start', '--print-config', '--name', 'n1', '--members', 'n1=127.0.0.1:7001'];
    const { child, texts } = balsa(args);
    child.stdout.destroy();
    expect(await exitOf(child)).toBe(0);
    expect(texts.stderr).toBe('');
  });

  test('serves until Ctrl-C, and then exits 0', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'balsa-cli-'));
    const [port = 0] = await freePorts(1);
    const members = `n1=127.0.0.1:${port}`;
    const { child, texts } = balsa([
      'start',
      '--name',
      'n1',
      '--members',
      members,
      '--data',
      folder,
    ]);
    while (!texts.stderr.includes('\n')) await once(child.stderr, 'data');
    child.kill('SIGINT');
    expect(await exitOf(child)).toBe(0);
    expect(texts.stderr).toBe(
      `balsa: n1 is ready at 127.0.0.1:${port}, data in ${folder}, members ${members}\n` +
        'balsa: n1 stops\n',
    );
    for (const line of texts.stdout.trimEnd().split('\n')) JSON.parse(line);
    rmSync(folder, { recursive: true });
  });
});

test('what every command loads does not include the heavy libraries', () => {
  const packages = new Set<string>();
  const seen = new Set<string>();
  const visit = (path: string): void => {
    if (seen.has(path)) return;
    seen.add(path);
    for (const name of staticImports(path)) {
      if (!name.startsWith('.')) packages.add(name);
      else visit(resolve(dirname(path), name.replace(/\.js$/, '.ts')));
    }
  };
  visit(resolve('src/cli/main.ts'));
  expect(seen.size).toBeGreaterThan(20);
  const foreign = [...packages].filter((name) => !name.startsWith('node:'));
  expect(foreign).toEqual(['commander']);
});
