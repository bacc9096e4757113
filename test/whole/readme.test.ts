import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { LocalCluster } from '../../src/cluster/local-cluster.js';
import { waitUntil } from '../../src/cluster/wait-until.js';
import { balsaHere, expectDone } from './support.js';

const ROOT = resolve(import.meta.dirname, '../..');
const README = readFileSync(join(ROOT, 'README.md'), 'utf8');
const run = promisify(execFile);

/** The blocks of code of a language, as they stand in the README. */
function blocks(language: string): string[] {
  return [...README.matchAll(new RegExp(`\`\`\`${language}\\n([\\s\\S]*?)\`\`\``, 'g'))].map(
    (match) => match[1] as string,
  );
}

/** What `balsa dev` does with a file, it does to a cluster of its own. */
const asDeployed = (command: string): string => command.replace(/^dev /, 'deploy ');

describe('the README', () => {
  let cluster: LocalCluster;
  let folder = '';
  beforeAll(async () => {
    cluster = await LocalCluster.start();
    // Inside the package, so that `import … from 'balsa'` means this one.
    folder = mkdtempSync(join(ROOT, '.readme-'));
  });
  afterAll(async () => {
    await cluster.close();
    rmSync(folder, { recursive: true });
  });

  const env = () => ({ BALSA_ENDPOINTS: cluster.endpoints.join() });

  /** A command as a shell reads it. It has to end well. */
  async function balsa(command: string): Promise<string> {
    const line = `"${process.execPath}" dist/cli/main.js ${command}`;
    return (await run('sh', ['-c', line], { cwd: ROOT, env: { ...process.env, ...env() } })).stdout;
  }

  /** The same, without a process of its own but for the shell. */
  async function balsaQuickly(command: string): Promise<string> {
    const words = (await run('sh', ['-c', `printf '%s\\0' ${command}`], { cwd: ROOT })).stdout;
    const args = words.split('\0').slice(0, -1);
    return expectDone(command, await balsaHere(args, '', env())).stdout;
  }

  /** One that says `# 100 as soon as …` prints that in the end, and until then something else. */
  async function all(commands: readonly string[], runs = balsaQuickly): Promise<string[]> {
    const outputs: string[] = [];
    for (const command of commands) {
      const [, awaited] = / # (\S+) as soon as /.exec(command) ?? [];
      const output = await waitUntil(command, async () => {
        const printed = await runs(asDeployed(command));
        return awaited === undefined || printed === `${awaited}\n` ? { printed } : undefined;
      });
      outputs.push(output.printed);
    }
    return outputs;
  }

  /** Commands that stand to be copied in a part of the README. */
  function shown(heading: string, names: RegExp): string[] {
    const part = README.split(`\n## ${heading}\n`)[1]?.split('\n## ')[0] ?? '';
    const commands = [...part.matchAll(/^ {4}npx balsa (.*)$/gm)].map(([, line = '']) => line);
    return commands.filter((command) => names.test(command));
  }

  /** Checks the types of an example, and runs it. */
  async function runExample(example: string): Promise<string> {
    writeFileSync(join(folder, 'example.ts'), example);
    writeFileSync(
      join(folder, 'tsconfig.json'),
      JSON.stringify({ extends: '../tsconfig.json', include: ['example.ts'] }),
    );
    await run('node_modules/.bin/tsc', ['-p', folder], { cwd: ROOT });
    const { stdout, stderr } = await run('node_modules/.bin/tsx', [join(folder, 'example.ts')], {
      cwd: ROOT,
    });
    expect(stderr.replace(/^npm warn.*\n/gm, '')).toBe('');
    return stdout;
  }

  test('has an example of the client that type-checks and runs as it stands', async () => {
    const [example = ''] = blocks('ts');
    const local = example.replace(
      /\['127\.0\.0\.1:7001', '127\.0\.0\.1:7002', '127\.0\.0\.1:7003'\]/,
      JSON.stringify(cluster.endpoints),
    );
    expect(local, 'the example names three endpoints').not.toBe(example);
    expect(await runExample(local)).toMatch(
      /^Ada n[123] true\nuser\/1 \{ name: 'Ada', visits: 1 \}\n$/,
    );
  });

  test('shows commands of the command line that do what they say', async () => {
    const outputs = await all(shown('The command', /^(?!start )/), balsa);
    expect(outputs.length).toBeGreaterThanOrEqual(8);
    expect(outputs[1]).toBe('hello');
    expect(outputs).toContain('1\n');
    expect(outputs).toContain('mine\n');
    expect(await balsaQuickly('get ada')).toBe('{"name":"Ada Lovelace","city":"London"}');
    expect(outputs.at(-1)).toContain('leader');
  });

  test('shows procedures that can be called as it says, one after the other', async () => {
    const commands = shown('Stored procedures', /./);
    const opened = commands.slice(0, -2);
    expect((await all(opened)).slice(1)).toEqual([
      '{"account":"ada","balance":100}\n',
      '{"account":"bob","balance":100}\n',
      '100\n',
    ]);
    const example = (blocks('ts')[1] ?? '')
      .replace('127.0.0.1:7001,127.0.0.1:7002,127.0.0.1:7003', cluster.endpoints.join())
      .replace('./examples/', '../examples/');
    expect(await runExample(example)).toBe('70 130\n');
    expect((await all(commands.slice(-2)))[1]).toBe('1\n');
    // The same accounts are opened below.
    await balsaQuickly('del --prefix account/');
  });

  test('shows a job that counts words', async () => {
    const outputs = await all(shown('Jobs', /^(?!worker )/));
    expect(outputs.length).toBe(3);
    const id = outputs.at(-1)?.split('\n')[0] ?? '';
    expect(JSON.parse(await balsaQuickly(`job result ${id}`))).toEqual({
      the: 2,
      more: 1,
      merrier: 1,
    });
  });

  test.each([
    ['bank.ts', '100\n'],
    ['secondary-index.ts', /"ada@example.org"/],
    ['shop.ts', /^\[.*\]\n$/],
    ['word-count/words.ts', '{"the":2,"more":1,"merrier":1}\n'],
  ])('has examples whose own first lines work as they are written: %s', async (name, last) => {
    const text = readFileSync(join(ROOT, 'examples', name), 'utf8');
    const commands = [...text.matchAll(/^ \* {5}balsa (.*)$/gm)].map(([, line = '']) => line);
    expect(commands.length).toBeGreaterThanOrEqual(3);
    expect((await all(commands)).at(-1)).toEqual(
      typeof last === 'string' ? last : expect.stringMatching(last),
    );
  });

  test('names every exit code as the command does', async () => {
    const { stdout } = await run(process.execPath, [join(ROOT, 'dist/cli/main.js'), '--help']);
    const table = /^\| exit code \|[\s\S]*?\n\n/m.exec(README)?.[0] ?? '';
    const documented = [...table.matchAll(/^\| (\d+) \|/gm)].map((match) => match[1]);
    const known = [...stdout.slice(stdout.indexOf('Exit codes')).matchAll(/^ {2}(\d+) /gm)];
    expect(documented).toEqual(known.map((match) => match[1]));
  });
});
