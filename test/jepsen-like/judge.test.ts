import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { CHECKERS } from '../../jepsen-like/checkers/all-checkers.js';
import type { HistoryOperation } from '../../jepsen-like/history/operation.js';
import { renderTimeline } from '../../jepsen-like/picture/timeline.js';
import { runJudge } from '../../jepsen-like/run-judge.js';
import { event, lines, type Planned } from './histories.js';

const ROOT = resolve(import.meta.dirname, '../..');
const folder = mkdtempSync(join(tmpdir(), 'balsa-judge-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function write(name: string, operations: readonly object[]): string {
  const path = join(folder, name);
  writeFileSync(path, operations.map((one) => `${JSON.stringify(one)}\n`).join(''));
  return path;
}

async function judge(...args: string[]): Promise<{ code: number; out: string; talk: string }> {
  const printed: string[] = [];
  const talked: string[] = [];
  const code = await runJudge(args, {
    print: (text) => printed.push(text),
    talk: (text) => talked.push(text),
  });
  return { code, out: printed.join('\n'), talk: talked.join('\n') };
}

const put: Planned = {
  begin: 0,
  end: 1000,
  f: 'put',
  key: 'x',
  asked: '<a>',
  more: { revision: 1 },
};
const stale: Planned = {
  begin: 2000,
  end: 3000,
  f: 'get',
  key: 'x',
  answer: null,
  more: { revision: 0 },
};
const fresh: Planned = { ...stale, answer: '<a>', more: { revision: 1 } };
const good = write('good.jsonl', lines(put, fresh));
const bad = write('bad.jsonl', lines(put, stale));
const watch = write('watch.jsonl', [event(1, 'x', '<a>')]);

describe('npm run judge', () => {
  test('says what is valid with several checkers, and ends with 0', async () => {
    const { code, out } = await judge(good, '--checker', 'register,strict', '--watch', watch);
    expect(out).toContain('register: valid (2 operations)');
    expect(out).toContain('strict: valid (2 operations)');
    expect(code).toBe(0);
  });

  test('shows what contradicts itself, draws it, and ends with 1', async () => {
    const svg = join(folder, 'out.svg');
    const { code, out } = await judge(bad, '--svg', svg);
    expect(out).toContain('register: NOT VALID (2 operations)');
    expect(out).toContain('"type":"invoke","time":2000');
    expect(readFileSync(svg, 'utf8')).toContain('put x &quot;&lt;a&gt;&quot;');
    expect(code).toBe(1);
  });

  test('is a command, which ends with the code', () => {
    const tsx = join(ROOT, 'node_modules/tsx/dist/cli.mjs');
    const command = [tsx, join(ROOT, 'jepsen-like/judge.ts'), bad];
    const { status, stdout } = spawnSync(process.execPath, command, { encoding: 'utf8' });
    expect(stdout).toContain('register: NOT VALID (2 operations)');
    expect(status).toBe(1);
  });

  test('ends with 3 when it does not know, and with 2 when the file or the arguments are wrong', async () => {
    expect((await judge(good, '--checker', 'strict')).code).toBe(3);
    const broken = join(folder, 'broken.jsonl');
    writeFileSync(broken, '{"process":1}\n');
    const { code, talk } = await judge(broken);
    expect(talk).toContain(`judge: ${broken}:1: "type" is missing`);
    expect(code).toBe(2);
    const unknown = await judge(good, '--checker', 'regster');
    expect(unknown.talk).toContain('no checker "regster"; there are register, strict');
    expect(unknown.code).toBe(2);
  });
});

describe('the list of checkers', () => {
  test('has each under its own name, and none that finds a history without operations valid', async () => {
    const empty = { source: 'empty', async *[Symbol.asyncIterator]() {} };
    for (const [name, make] of Object.entries(CHECKERS)) {
      const checker = make({});
      expect(checker.name).toBe(name);
      expect(await checker.check(empty, empty)).toMatchObject({ valid: 'unknown', checker: name });
    }
  });

  test('is the one of the documentation', () => {
    const docs = readFileSync(join(ROOT, 'docs/checkers.md'), 'utf8');
    for (const name of Object.keys(CHECKERS)) {
      expect(docs.split('\n').filter((line) => line.startsWith(`| \`${name}\` |`))).toHaveLength(2);
    }
  });
});

describe('the picture of a history', () => {
  const operations: HistoryOperation[] = lines(
    { ...put, process: 1 },
    { ...stale, process: 2 },
    {
      begin: 500,
      end: 900,
      f: 'put',
      key: 'x',
      asked: 'b',
      process: 3,
      type: 'info',
      more: { error: 'TIMEOUT' },
    },
  );

  test('has a row for each process, a bar for each operation, and a band for each fault', () => {
    const svg = renderTimeline({
      title: 'one & two',
      operations,
      faults: [
        { time: 100, fault: 'kill', nodes: ['n1'], phase: 'begin' },
        { time: 2500, fault: 'kill', nodes: ['n1'], phase: 'end' },
        { time: 90_000, fault: 'pause', nodes: ['n2'], phase: 'begin' },
      ],
    });
    expect(svg.match(/>process \d</g)).toEqual(['>process 1<', '>process 2<', '>process 3<']);
    expect(svg.match(/<rect [^>]*rx="3"/g)).toHaveLength(3);
    // Of unknown outcome: it may take effect at any time.
    expect(svg.match(/stroke-dasharray="5 3"/g)).toHaveLength(1);
    expect(svg).toContain('>kill n1<');
    expect(svg).not.toContain('pause');
    expect(svg).toContain('one &amp; two');
    expect(svg).not.toContain('NaN');
  });

  test('leaves room for what is close together, and says what it leaves out', () => {
    const apart = lines(
      { begin: 0, end: 10, f: 'get', process: 1, answer: 1 },
      { begin: 60e9, end: 60e9 + 10, f: 'get', process: 1, answer: 2 },
    );
    const svg = renderTimeline({ title: 'apart', operations: apart });
    const widths = [...svg.matchAll(/width="([\d.]+)" height="24"/g)].map(([, width]) =>
      Number(width),
    );
    expect(Math.min(...widths)).toBeGreaterThan(50);
    expect(renderTimeline({ title: 't', operations: apart, operationsMax: 1 })).toContain(
      '1 operations left out',
    );
    expect(renderTimeline({ title: 'nothing', operations: [] })).not.toContain('NaN');
  });
});
